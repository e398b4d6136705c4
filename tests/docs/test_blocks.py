"""Every block of code of the documentation does what it says: Python runs, commands parse, scenarios load."""

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import typer
import yaml

from fleetrec import Scenario, cli, simulate
from fleetrec.simulator.experiments.optimise.space import read_space
from fleetrec.simulator.experiments.sweeps import make_plan, read_sweep
from fleetrec.simulator.scenario import load_scenario, sections
from tests.docs.pages import ROOT, Block, blocks, command_lines
from tests.small import SMALL

LANGUAGES = {"python", "sh", "console", "usage", "yaml", "text"}
HIGH_CHURN = ROOT / "scenarios" / "high_churn.yaml"
_KINDS = {"policy.update.stages": ["policy.update=fleet"], "policy.update.fleet.stages": ["policy.update=both"]}
"""what else must be so where a part of a scenario stands under its dotted path"""
_SWEEP = """
name: policies
base: scenarios/high_churn.yaml
axes: {policy.request.ratio: [0.1, 0.3]}
"""


def ids(block: Block) -> str:
    return str(block)


def test_every_block_says_what_it_is() -> None:
    for block in blocks():
        assert block.language in LANGUAGES, f"{block}: {block.language or 'no language'}"


# ------------------------------------------------------------------------------------------ commands

COMMANDS = typer.main.get_command(cli.app)


def parsed(words: list[str]) -> None:
    """The command line of Fleetrec, parsed as it is when typed; an error where it would be refused."""
    group: Any = COMMANDS
    context = group.make_context("fleetrec", list(words))
    while hasattr(group, "resolve_command"):
        name, group, rest = group.resolve_command(context, words)
        context, words = group.make_context(name, list(rest), parent=context), rest


def told(words: list[str]) -> Any:
    """The command that a line begins with."""
    group: Any = COMMANDS
    while hasattr(group, "commands"):
        assert words[0] in group.commands, f"no command {words[0]!r}"
        group, words = group.commands[words[0]], words[1:]
    return group


def names_files_that_exist(words: list[str]) -> None:
    for word in words:
        if re.match(r"(scenarios|experiments|benchmarks|examples|docs|simulator|models|reports|tests)/", word):
            assert (ROOT / word).exists(), f"there is no {word}"


def overrides_load(words: list[str]) -> None:
    """What follows --set is taken by the scenario that the line names."""
    scenario = next((word for word in words if word.startswith("scenarios/")), None)
    settings = [value for option, value in pairwise(words) if option == "--set"]
    if scenario is not None and settings:
        load_scenario(ROOT / scenario, [one for one in settings if "..." not in one])


@pytest.mark.parametrize("block", [b for b in blocks("sh", "console", "") if "tutorials" not in b.page], ids=ids)
def test_commands_are_taken_by_the_command_line(block: Block) -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    for words in command_lines(block):
        while "=" in words[0]:
            words = words[1:]
        names_files_that_exist(words)
        if words[:2] == ["python", "cli.py"] or words[0] == "fleetrec":
            parsed(words[2 if words[0] == "python" else 1 :])
            overrides_load(words)
        elif words[0] == "make":
            assert set(words[1:]) <= set(targets)
        else:
            assert words[0] in {"python", "python3", ".venv/bin/python", "pip", ".", ".ci/run", "valgrind"}, words


@pytest.mark.parametrize("block", blocks("usage"), ids=ids)
def test_a_usage_names_commands_and_options_that_there_are(block: Block) -> None:
    text = re.sub(r"\n {8,}", " ", block.text)
    for line in re.sub(r"#.*", "", text).strip().split("\n"):
        if not line.startswith(("python cli.py ", "fleetrec ")):
            assert line.startswith("pip install "), line
            continue
        words = re.sub(r"[\[\]|]|\.\.\.", " ", line.removeprefix("python cli.py ").removeprefix("fleetrec ")).split()
        command = told(words)
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, line
        names_files_that_exist(words)


# ------------------------------------------------------------------------------------------ scenarios


@pytest.mark.parametrize("block", [b for b in blocks("yaml") if not b.title], ids=ids)
def test_parts_of_scenarios_load(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("FLEETREC_DATA", "data")
    path = tmp_path / "block.yaml"
    for text in block.text.split("\n---\n"):
        path.write_text(text, encoding="utf-8")
        keys = set(yaml.safe_load(text))
        if "base" in keys:
            assert make_plan(read_sweep(path)).n_runs > 1
        elif all("." in key for key in keys):
            assert len(read_space(path).parameters) == len(keys)
        elif keys == {block.heading.split(" ")[0].rpartition(".")[2]} and "." in block.heading:
            where = block.heading.split(" ")[0]
            part = json.dumps(yaml.safe_load(text)[where.rpartition(".")[2]])
            load_scenario(HIGH_CHURN, [*_KINDS.get(where, []), f"{where}={part}"])
        else:
            assert keys <= set(sections.Scenario.model_fields), keys
            path.write_text(text if "name" in keys else f"name: block\n{text}", encoding="utf-8")
            load_scenario(path)


# ------------------------------------------------------------------------------------------ Python


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout as the pages take one for granted, whose scenario is small: what they name is there."""
    path = tmp_path_factory.mktemp("checkout")
    (path / "scenarios").mkdir()
    (path / "experiments").mkdir()
    (path / "scenarios" / "high_churn.yaml").write_text(SMALL.replace("name: small", "name: high_churn"))
    api = "cloud: {kind: api, api: {preset: llama-3.1-8b-2026-07}}"
    (path / "scenarios" / "hosted_api.yaml").write_text(SMALL.replace("name: small", f"name: hosted_api\n{api}"))
    (path / "experiments" / "policy_sweep.yaml").write_text(_SWEEP)
    simulate(Scenario.load(path / "scenarios" / "high_churn.yaml"), path / "runs" / "high_churn-1")
    pd.DataFrame({"item_id": ["1", "2"], "title": ["The Third Man", "Vertigo"]}).to_csv(path / "items.csv", index=False)
    answers = {"user_id": ["1"], "as_of": [3], "answer": ["1. Vertigo\n2. The third man"]}
    pd.DataFrame(answers).to_parquet(path / "answers.parquet")
    return path


@pytest.mark.parametrize("page", sorted({b.page for b in blocks("python") if "tutorials" not in b.page}))
def test_python_runs(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of a page one after the other, as one program."""
    monkeypatch.chdir(folder)
    program: dict[str, Any] = {"__name__": "page"}
    for block in blocks("python"):
        if block.page == page:
            exec(compile(block.text, str(block), "exec"), program)
