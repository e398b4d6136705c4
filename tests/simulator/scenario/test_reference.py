"""docs/reference/scenario.md says what the sections say, and its examples work."""

import re
import shlex
from pathlib import Path

from fleetrec.simulator.scenario import load_scenario, sections
from fleetrec.simulator.scenario.reference import MARKER, PAGE, with_reference
from fleetrec.simulator.scenario.shapes import fields_of


def test_the_reference_page_is_what_the_sections_say() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page.count(MARKER) == 1
    assert with_reference(page) == page, "run: python -m fleetrec.simulator.scenario.reference"


def test_the_reference_names_every_key_of_every_section() -> None:
    page = PAGE.read_text(encoding="utf-8")
    models = [m for m in vars(sections).values() if isinstance(m, type) and issubclass(m, sections.Section)]
    for model in models:
        for name in fields_of(model):
            assert f"| `{name}` |" in page or name == "kind"


def test_the_links_of_the_reference_lead_to_its_headings_and_no_two_are_alike() -> None:
    page = PAGE.read_text(encoding="utf-8")
    headings = [
        re.sub(r"[^\w -]", "", line.lstrip("# ")).lower().replace(" ", "-")
        for line in page.split("\n")
        if line.startswith("#")
    ]
    assert len(headings) == len(set(headings))
    assert set(re.findall(r"\]\(#([^)]*)\)", page)) <= set(headings)


def test_the_example_of_the_page_loads_with_each_override_that_it_shows(tmp_path: Path) -> None:
    page = PAGE.read_text(encoding="utf-8").split(MARKER)[0]
    path = tmp_path / "my_fleet.yaml"
    path.write_text(page.split("```yaml\n")[1].split("```")[0])
    load_scenario(path)
    lines = [line for line in page.split("\n") if line.startswith("--set ")]
    assert len(lines) > 5
    for line in lines:
        words = shlex.split(line, comments=True)
        overrides = [word for word in words if word != "--set"]
        mending = {"share": "fleet.classes.high_end.share=0", "ratio=null": "policy.request.threshold=18"}
        load_scenario(path, [*overrides, *(more for part, more in mending.items() if part in line)])
