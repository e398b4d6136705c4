"""What the README promises a newcomer: a log of their own, then their LLM's answers, with the scenario for it."""

import json
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fleetrec import Scenario, cli, simulate
from fleetrec.simulator.cloud.pools import check_cloud
from fleetrec.simulator.scenario import advice, load_scenario
from tests.small import noted

ROOT = Path(__file__).parent.parent
SMALLER = "--set srm.epochs=1 --set fleet.devices=40 --set fleet.represents=1000"


@pytest.mark.parametrize("path", sorted((ROOT / "scenarios").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_shipped_scenario_loads_has_no_idle_setting_and_fits_its_gpus(path: Path) -> None:
    scenario = load_scenario(path)
    assert scenario.name == path.stem
    assert advice(scenario) == []
    check_cloud(scenario.llm, scenario.cloud)


def typed(monkeypatch: pytest.MonkeyPatch, command: str, code: int = 0) -> None:
    """The command as the README has it, in this process; it must end with that code."""
    monkeypatch.setattr("sys.argv", ["cli.py", *shlex.split(command)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == code


@pytest.mark.usefixtures("undrawn")
def test_a_log_and_answers_of_ones_own_run_as_the_readme_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    rows = [
        (f"u{user}", f"item {rng.integers(90)}", 1.6e9 + 40_000 * k + user) for user in range(60) for k in range(25)
    ]
    pd.DataFrame(rows, columns=["customer_id", "product_id", "ts"]).to_csv("my_log.csv", index=False)
    log = f"{ROOT / 'scenarios' / 'own_log.yaml'} --set workload.interactions.path=my_log.csv"

    typed(monkeypatch, "data describe my_log.csv")
    typed(monkeypatch, f"simulate {log} {SMALLER} --set llm.candidates.epochs=1 --quiet --out trained")
    assert json.loads(Path("trained/summary.json").read_text())["interactions"] > 100

    typed(monkeypatch, f"prompts export {log} --set fleet.devices=40 --out prompts.parquet")
    prompts = pd.read_parquet("prompts.parquet")
    answers = prompts.loc[prompts.index.repeat(10), ["user_id", "as_of"]]
    answers["rank"] = answers.groupby(["user_id", "as_of"]).cumcount()
    answers["item_id"] = [f"item {(7 * i) % 90}" for i in range(len(answers))]
    answers.to_parquet("my_llm.parquet")
    capsys.readouterr()
    Path("my_log.csv").write_text(Path("my_log.csv").read_text() + "u0,item 3,never\n")
    typed(monkeypatch, "data check-table my_llm.parquet my_log.csv --format csv --on-error skip --json")
    checked = json.loads(capsys.readouterr().out)
    assert checked["lists"] == len(prompts)
    assert checked["verdict"].startswith("no sign")
    log += " --set workload.interactions.on_error=skip"
    table = "--set llm.candidates='{kind: table, path: my_llm.parquet, missing: previous}'"
    typed(monkeypatch, f"simulate {log} {table} {SMALLER} --quiet --out mine")
    notes = noted(json.loads(Path("mine/summary.json").read_text())["notes"])
    assert notes["quality_and_cost"] == {"quality_of": "table my_llm.parquet", "cost_of": "llama-3.1-8b"}

    asking = f"{table} {SMALLER} --set policy.request='{{kind: inconsistency, ratio: 0.2}}'"
    path, *settings = shlex.split(f"{log} {asking}")
    assert simulate(Scenario.load(path, settings[1::2])).summary["requests"]["threshold"] > 0
    stream = prompts.loc[prompts["part"] == "stream", ["user_id", "as_of"]]
    answers.merge(stream).to_parquet("my_llm.parquet")
    capsys.readouterr()
    typed(monkeypatch, f"simulate {log} {asking} --quiet --out refused", code=2)
    said = capsys.readouterr().err
    assert "policy.request.ratio: the table has lists for 0 of the" in said
    assert "part is 'calibration' (prompts export), or give a threshold" in said
