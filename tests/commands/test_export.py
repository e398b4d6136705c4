"""`export` as it is typed: programs and item table of a tiny scenario, measured as on a phone."""

import ast
import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import yaml

from fleetrec import Scenario
from tests.commands.typed import one_line, scenario_in, typed
from tests.docs.pages import ROOT

PHONE = ROOT / "benchmarks" / "phone.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Holds the scenario, and `phone`: what was exported."""
    folder = tmp_path_factory.mktemp("export")
    with pytest.MonkeyPatch.context() as patch:
        scenario_in(folder, patch)
        done = typed("export", "tiny.yaml", "--srm", "phone", "--quiet", "--json")
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout) == json.loads(Path("phone/export.json").read_text(encoding="utf-8"))
        yield folder


def test_every_program_is_there_and_ranks_as_near_as_it_says(folder: Path) -> None:
    about = json.loads(Path("phone/export.json").read_text(encoding="utf-8"))
    named = {program[form] for program in about["programs"] for form in ("onnx", "torch")}
    assert {path.name for path in Path("phone").iterdir()} == {*named, "items.csv", "export.json"}
    whole, half, small = about["programs"]
    assert [program["precision"] for program in about["programs"]] == ["float32", "float16", "int8"]
    assert whole["largest_difference"] < 1e-3 < small["largest_difference"] < 0.1
    assert whole["same_first_10"] > 0.97
    assert half["same_first_10"] >= small["same_first_10"] > 0.8
    for program in about["programs"]:
        assert program["ndcg@10_lost"] == pytest.approx(about["held_out"]["ndcg@10"] - program["ndcg@10"])


def test_rows_of_the_item_table_are_the_programs(folder: Path) -> None:
    with Path("phone/items.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["row"] for row in rows] == [str(row) for row in range(1, 101)]
    assert len({row["item_id"] for row in rows}) == 100
    assert all(row["title"] for row in rows)
    session = onnxruntime.InferenceSession("phone/srm.int8.onnx")
    window = np.array([4, 9, 1, 0, 0, 0, 0, 0, 0, 0])
    scores = session.run(["scores"], {"window": window, "candidates": np.arange(1, 101)})[0]
    assert scores.shape == (100,)
    assert len(np.unique(scores)) > 90


def test_a_phone_is_measured_with_onnxruntime_alone_and_is_a_class_that_a_fleet_takes(folder: Path) -> None:
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(PHONE.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names])
    }
    assert imported - set(sys.stdlib_module_names) == {"numpy", "onnxruntime"}
    command = [sys.executable, str(PHONE), "phone", "--seconds", "0.1", "--name", "my phone", "--out", "phone.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == Path("phone.yaml").read_text(encoding="utf-8")
    keys = yaml.safe_load(Path("tiny.yaml").read_text(encoding="utf-8"))
    keys["fleet"]["classes"] = yaml.safe_load(done.stdout)
    Path("measured.yaml").write_text(yaml.safe_dump(keys), encoding="utf-8")
    (one,) = Scenario.load("measured.yaml").fleet.classes
    assert one.name == "my phone"
    assert 1e6 < one.speed < 1e13
    assert 0 <= one.overhead < 1


def test_bad_input_is_one_line_and_leaves_nothing(folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    assert "the folder is not empty" in one_line(typed("export", "tiny.yaml", "--srm", "phone", "--quiet"))
    other = one_line(typed("export", "tiny.yaml", "--srm", ".", "--overwrite", "--quiet"))
    assert other == "--srm .: holds files that are not an export's; name a new or an empty folder"
    assert "a file is there" in one_line(typed("export", "tiny.yaml", "--srm", "tiny.yaml", "--quiet"))
    done = subprocess.run([sys.executable, str(PHONE), "."], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("error: .: no exported SRM")
    assert sorted(folder.rglob("*")) == before
