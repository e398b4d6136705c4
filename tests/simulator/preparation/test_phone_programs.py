"""What is exported is what the simulated phone has, and is said to rank as it ranks."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from fleetrec import InputError, Scenario
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.simulator.preparation import phone_programs
from fleetrec.simulator.preparation.phone_programs import export_srm
from fleetrec.simulator.preparation.training import train_models
from fleetrec.simulator.scenario.inputs import PreparationInputs
from tests.simulator.experiments.sweeps.files import SCENARIO
from tests.simulator.preparation.own_srms import STATES, load


def test_accuracy_is_that_of_each_users_first_interaction_of_the_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand: a history of at most ten items as a window, all items ranked, those that nobody had left out."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(phone_programs, "PRECISIONS", ("float32",))
    Path("tiny.yaml").write_text(SCENARIO, encoding="utf-8")
    scenario = Scenario.load("tiny.yaml", ["workload.split.min_history=10", "workload.synthetic.events_per_user=17"])
    inputs = PreparationInputs.of(scenario)
    about = export_srm("tiny", inputs, tmp_path / "phone", False, "cpu", NullProgress())
    trained = train_models(inputs.training, ArtifactStore(), "cpu", NullProgress())
    split, log = trained.split, trained.split.log
    session = onnxruntime.InferenceSession(str(tmp_path / "phone" / "srm.float32.onnx"))
    had = {int(item) for user in range(log.n_users) for item in log.items[log.offsets[user] :][: split.history[user]]}
    gains = []
    for user in np.flatnonzero(split.streamed):
        events, seen = log.items[log.offsets[user] : log.offsets[user + 1]].tolist(), int(split.history[user])
        begin = 0 if seen <= 10 else 5 * -(-(seen - 10) // 5)
        window = [item + 1 for item in events[begin:seen]]
        asked = {"window": np.array(window + [0] * (10 - len(window))), "candidates": np.arange(1, log.n_items + 1)}
        scores = session.run(["scores"], asked)[0]
        above = sum(scores[item] > scores[events[seen]] for item in had)
        gains.append(1 / np.log2(above + 2) if above < 10 and events[seen] in had else 0.0)
    assert about["held_out"]["users"] == len(gains) > 10
    assert about["programs"][0]["ndcg@10"] == pytest.approx(np.mean(gains))
    assert about["held_out"]["ndcg@10"] == pytest.approx(np.mean(gains), abs=0.02)


def test_what_cannot_be_exported_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"^srm: mine\.py:Mine has weights of each user's own"):
        export_srm("mine", PreparationInputs.of(load(STATES)), tmp_path / "phone", False, "cpu", NullProgress())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.py", "tiny.yaml"]
