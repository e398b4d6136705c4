"""How much of what a run will ask a table of answers covers."""

from pathlib import Path

import pandas as pd

from fleetrec.simulator.preparation.prompt_export import check_answers, export_prompts
from fleetrec.simulator.scenario.inputs import PreparationInputs
from tests.simulator.tiny import scenario_of


def test_a_tables_coverage_is_of_what_the_scenario_will_ask(tmp_path: Path) -> None:
    scenario = scenario_of(policy={"request": {"kind": "inconsistency", "ratio": 0.2}})
    counts = export_prompts(PreparationInputs.of(scenario), tmp_path / "prompts.parquet")
    prompts = pd.read_parquet(tmp_path / "prompts.parquet")
    stream = prompts[prompts["part"] == "stream"]
    calibration = prompts[prompts["part"] == "calibration"]
    assert counts == {"stream": len(stream), "calibration": len(calibration)}
    assert len(calibration) > 4
    kept = pd.concat([stream.iloc[: len(stream) // 2], calibration.iloc[::4]])
    answers = kept[["user_id", "as_of"]].assign(item_id="i3", rank=1)
    answers.to_parquet(tmp_path / "answers.parquet", index=False)
    coverage = check_answers(PreparationInputs.of(scenario), tmp_path / "answers.parquet")["coverage"]
    assert coverage["stream"] == len(stream) // 2 / len(stream)
    assert coverage["calibration"] == len(calibration.iloc[::4]) / len(calibration)
