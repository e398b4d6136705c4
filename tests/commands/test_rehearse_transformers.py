"""A rehearsal at a real server: `transformers serve` with continuous batching, a small random model on this CPU."""

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from benchmarks.rehearsal_demo import lacking, served, write_model
from fleetrec.cli import app
from tests.small import SMALL, noted


@pytest.mark.slow
@pytest.mark.skipif(bool(lacking()), reason=f"{', '.join(lacking())} not installed, which the server needs")
def test_a_real_server_answers_the_load_of_a_small_fleet_and_is_fitted(tmp_path: Path) -> None:
    scenario, model, out = tmp_path / "small.yaml", tmp_path / "model", tmp_path / "out"
    scenario.write_text(SMALL)
    write_model(model)
    with served(model, tmp_path / "server.log") as url:
        given = ["rehearse", str(scenario), "--url", url, "--model", str(model), "--out", str(out)]
        result = CliRunner().invoke(app, [*given, "--speed", "300", "--minutes", "0.1", "--max-tokens", "24"])
    assert result.exit_code == 0, result.output + (tmp_path / "server.log").read_text()
    rows, summary = pd.read_parquet(out / "rehearsal.parquet"), json.loads((out / "rehearsal.json").read_text())
    assert (rows["outcome"] == "answered").all()
    assert len(rows) > 20
    assert (rows["output_tokens"] == 24).all()  # of random weights, which never come to an end
    assert (rows["first_s"] > rows["sent_s"]).all()
    assert (rows["last_s"] > rows["first_s"]).all()
    assert rows["prompt_tokens"].min() > 100
    assert {"weak_prior", "scheduler_seen"} <= set(noted(summary["notes"]))
    fitted = summary["errors"]["first"]["profile"]
    assert abs(fitted["latency_mean"]) < 0.5  # how near depends on who else uses this machine
    assert (out / "profile.yaml").is_file()
