"""The documentation as a site and as files: whole, linked, and loading nothing from elsewhere."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import fleetrec
from tests.docs.pages import PAGES, ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site, built as `make docs` builds it: any link that leads nowhere fails."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    built = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_the_site_loads_nothing_from_a_network(site: Path) -> None:
    loaded = re.compile(r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']?(?:https?:)?//[^>]*>|<link\b[^>]*>", re.I)
    for page in site.rglob("*.html"):
        for tag in loaded.findall(page.read_text(encoding="utf-8")):
            assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", tag), f"{page.name}: {tag}"
    for style in site.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import\s*)[\"']?(?:https?:)?//", style.read_text(encoding="utf-8")), style.name


def test_every_public_name_is_described_on_the_page_of_python(site: Path) -> None:
    page = (site / "reference" / "python.html").read_text(encoding="utf-8")
    for name in set(fleetrec.__all__) - {"__version__"}:
        assert f'id="fleetrec.{name}"' in page, name


def test_links_of_pages_outside_the_site_lead_to_files_and_headings() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
        assert len(links) > 2
        for name, _, anchor in (link.partition("#") for link in links if "://" not in link):
            target = ROOT / name if name else page
            assert target.exists(), f"{page.name}: {name}"
            assert not anchor or anchor in headings(target), f"{page.name}: {name}#{anchor}"


def test_every_page_that_the_repository_names_exists() -> None:
    folders = ("benchmarks", "commands", "docs", "experiments", "models", "reports", "scenarios", "simulator", "tests")
    files = [
        path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in {".py", ".md", ".yaml"}
    ]
    assert len(files) > 300
    for path in [ROOT / "README.md", ROOT / "Makefile", ROOT / "pyproject.toml", *files]:
        for named in re.findall(r"\bdocs/[\w/-]+\.md", path.read_text(encoding="utf-8")):
            assert (ROOT / named).exists(), f"{path.relative_to(ROOT)} names {named}"


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site make them."""
    lines = re.findall(r"^#+ +(.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", line).strip().lower().replace(" ", "-") for line in lines}


def test_every_file_of_the_repository_that_a_page_names_exists() -> None:
    folders = "benchmarks|commands|docs|experiments|fleetrec|models|reports|scenarios|simulator|tests"
    for page in PAGES:
        for path in re.findall(rf"`((?:{folders})/[\w/.-]*)`", page.read_text(encoding="utf-8")):
            assert (ROOT / path).exists(), f"{page.name} names {path}"


def test_the_floors_of_the_architecture_are_those_of_the_contract() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?) \|", page.split("## The floors")[1].split("\n## ")[0], re.MULTILINE)
    told = [re.findall(r"`(?:simulator/)?(\w+)(?:/|\.py)`", row) for row in rows]
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    floors, rooms = (next(one["layers"] for one in contracts if one["id"] == name) for name in ("floors", "rooms"))
    at = floors.index("simulator")
    held = [*floors[:at], *rooms, *floors[at + 1 :]]
    assert [room for row in told for room in row] == [room for layer in held for room in layer.split(" : ")]
