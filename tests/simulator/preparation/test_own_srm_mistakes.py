"""Small models of the user's own that cannot be used: each is told in one line."""

import pytest

from fleetrec import InputError
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.simulator.preparation.training import train_models
from fleetrec.simulator.scenario.inputs import TrainingInputs
from tests.simulator.preparation.own_srms import FITTED, SCORES, SMALL, STATES, load

pytestmark = pytest.mark.usefixtures("in_a_folder")


READ: dict[str, tuple[str, str]] = {
    "neither": (
        SMALL,
        r"mine\.py:5: Mine has neither forward\(windows\) nor score\(history, candidates\); give it one",
    ),
    "no type": (
        STATES.replace("n_users, dim", "n_users, dim, memory=8"),
        r"Mine\.memory has no type; write memory: int in its constructor",
    ),
    "any number": (
        STATES.replace("n_users, dim", "n_users, dim, **others"),
        r"Mine\(\.\.\.\) takes \*\*others; name each parameter",
    ),
    "no build": ("class Mine:\n    memory: int = 3\n", r"Mine has no method build\(self, n_items\); give it one"),
    "a taken name": (
        STATES.replace("self, n_items, n_users, dim", "self, n_items, n_users, dim, network: int = 1"),
        r"Mine\.network means something of",
    ),
}
BUILDS: dict[str, tuple[str, str]] = {
    "no module": (
        "class Mine:\n    def build(self, n_items):\n        return 3\n",
        r"mine\.py:1: Mine\.build returned int; return a torch\.nn\.Module",
    ),
    "wants more": (
        "class Mine:\n    def build(self, n_items, log):\n        return 3\n",
        r"mine\.py:1: Mine\.build takes 'log', which nobody gives it; it may take n_items, n_users",
    ),
    "raises as it is built": (STATES.replace("super().__init__()", "super().__init__(1 / 0)"), r"mine\.py:7: ZeroDiv"),
    "no table": (STATES.replace("self.embedding", "self.table"), r"its item table `embedding` is not there; make it"),
    "a small table": (
        STATES.replace("n_items + 1", "n_items"),
        r"`embedding` is \(100, 8\); make it nn\.Embedding\(n_items \+ 1, dim, padding_idx=0\), \(101, 8\)",
    ),
    "raises": (STATES.replace("self.embedding(windows)", "1 / 0"), r"mine\.py:12: ZeroDivisionError: division by zero"),
    "a wrong shape": (
        STATES.replace("self.embedding(windows)", "self.embedding(windows)[:, -1]"),
        r"Mine\.forward returned torch\.float32 \(2, 8\) of windows \(2, 10\); return a state after each item, \(2, 10",
    ),
    "no tensor": (STATES.replace("self.embedding(windows)", "None"), r"Mine\.forward returned NoneType of windows"),
    "no number": (
        STATES.replace("self.embedding(windows)", "self.embedding(windows) * float('nan')"),
        r"Mine\.forward gives a state that is no number",
    ),
    "the future": (
        STATES.replace(
            "self.embedding(windows)", "self.embedding(windows).mean(dim=1, keepdim=True).expand(-1, 10, -1)"
        ),
        r"Mine\.forward (returned|gives states that change with later items)",
    ),
    "chance": (
        STATES.replace("self.embedding(windows)", "self.embedding(windows) + 1e-9 * torch.rand(1)"),
        r"Mine draws random numbers while it ranks; draw them in training only",
    ),
    "scores of a wrong shape": (
        SCORES.replace(".squeeze(-1)", ""),
        r"Mine\.score returned torch\.float32 \(2, 3, 1\) of candidates \(2, 3\); return a score for each",
    ),
    "whole numbers": (
        SCORES.replace(".squeeze(-1)", ".squeeze(-1).long()"),
        r"Mine\.score returned torch\.int64 \(2, 3\) of .*; return a score for each, in floating point",
    ),
    "seeds as it is built": (
        STATES.replace("super().__init__()", "super().__init__(); import random; random.seed(3)"),
        r"Mine\.build: changes the global random numbers of random",
    ),
    "no score": (
        SCORES.replace(".squeeze(-1)", ".squeeze(-1) * float('inf')"),
        r"Mine\.score returned a score that is no number; return one for each candidate",
    ),
    "single precision": (
        SCORES.replace(".squeeze(-1)", ".squeeze(-1) @ torch.ones(3, 3)"),
        r"mine\.py:12: RuntimeError: .* \(with its weights in float64; make tensors of their dtype\)",
    ),
    "padding": (
        SCORES.replace(".squeeze(-1)", ".squeeze(-1) / history.windows.shape[1]"),
        r"Mine\.score changes with the padding of a window; leave its zeros out",
    ),
    "its windows": (
        STATES.replace("self.embedding(windows)", "self.embedding(windows.sub_(1).clamp_(0))"),
        r"Mine\.forward writes into `windows`, which it is handed; work on a copy, such as windows \+ 1",
    ),
    "its candidates": (
        SCORES.replace("        return ", "        candidates += 1\n        return ", 1),
        r"Mine\.score writes into `candidates`, which it is handed; work on a copy",
    ),
    "company": (
        SCORES.replace("        return ", "        x = ").replace(
            ".squeeze(-1)", ".squeeze(-1)\n        return x - x.mean(dim=1, keepdim=True)"
        ),
        r"Mine\.score changes with the company of a history or in float32; score each candidate by itself",
    ),
    "a part that was not there": (
        FITTED.replace("counts = ", "self.more = nn.Parameter(torch.ones(3)); counts = "),
        r"Mine\.fit makes or reshapes module\.more; make it whole in the constructor",
    ),
    "leaves": (STATES.replace("self.embedding(windows)", "exit(3)"), r"mine\.py:12: SystemExit: 3"),
    "raises as it fits": (FITTED.replace("counts.max()", "counts.most()"), r"mine\.py:17: AttributeError: .*'most'"),
    "global random numbers": (
        FITTED.replace("counts = ", "import random; random.random(); counts = "),
        r"Mine\.fit: changes the global random numbers of random",
    ),
    "prints": (
        FITTED.replace("counts = ", "print('hello'); counts = "),
        r"mine\.py:15: prints, and standard output is",
    ),
}


@pytest.mark.parametrize("mistake", READ)
def test_a_class_that_cannot_be_an_srm_is_one_line_as_the_scenario_is_read(mistake: str) -> None:
    source, expected = READ[mistake]
    with pytest.raises(InputError, match=expected) as told:
        load(source)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("mistake", BUILDS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_network_that_does_not_do_what_an_srm_does_is_one_line(mistake: str, store: ArtifactStore) -> None:
    source, expected = BUILDS[mistake]
    scenario = load(source)
    with pytest.raises(InputError, match=expected) as told:
        train_models(TrainingInputs.of(scenario), store, "cpu", NullProgress())
    assert "\n" not in str(told.value)
    assert not list(store.root.glob("srm/*"))


def test_a_full_softmax_over_pairs_is_refused_as_for_din() -> None:
    with pytest.raises(
        InputError, match=r"srm\.loss: full_softmax is too much for kind mine\.py:Mine, which scores item"
    ):
        load(SCORES, "dim: 8, loss: full_softmax")
