"""Code of the user's own, read anew by workers: processes of this machine and Ray's."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetrec import InputError, Scenario
from fleetrec.simulator.experiments.sweeps import RunJob, executor_for
from fleetrec.simulator.experiments.sweeps.local import LocalProcesses
from fleetrec.simulator.regions.executors import LocalShards
from fleetrec.simulator.regions.messages import RunSpec, Task
from tests.simulator.experiments.sweeps.files import SCENARIO, results_of

OWN = """\
from fleetrec import QueueOrder, RequestPolicy, Router


class Stale(RequestPolicy):
    unseen: int = 3

    def wants(self, device):
        return device.staleness >= self.unseen


class Last(Router):
    def choose(self, cluster, request):
        return cluster.accepting[-1].number


class Roomy:
    def admits(self, arrival):
        return arrival.waiting < 3


class Longest:
    def key(self, request):
        return -request.prompt_tokens


class Following:
    def candidates(self, histories):
        n = histories.n_items
        return [[(history[-1] + 1 + k) % n for k in range(histories.list_length)] for history in histories]
"""
KINDS = (
    "policy.request={kind: 'mine.py:Stale', unseen: 2}",
    "cloud.router=mine.py:Last",
    "cloud.admission=mine.py:Roomy",
    "cloud.order=mine.py:Longest",
    "cloud.replicas=2",
    "duration=12h",
    "llm.candidates=mine.py:Following",
    "srm.epochs=0",  # a worker that trains nothing loads less
)


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scenario]:
    """One with five kinds of one's own."""
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(OWN, encoding="utf-8")
    Path("tiny.yaml").write_text(SCENARIO, encoding="utf-8")
    yield Scenario.load("tiny.yaml", KINDS)
    Path("mine.py").unlink(missing_ok=True)


def test_a_worker_says_which_own_file_it_cannot_read(scenario: Scenario) -> None:
    mine = Path("mine.py").absolute()
    with LocalProcesses(1) as executor:
        mine.unlink()
        ((_, gone),) = executor.outcomes([RunJob(scenario, Path("run").absolute())])
        mine.write_text(OWN + "# a word\n", encoding="utf-8")
        ((_, changed),) = executor.outcomes([RunJob(scenario, Path("run").absolute())])
    assert gone.error == (
        f"{mine} does not exist; check the path; it could be read when this began: put it back, or begin again"
    )
    assert changed.error == "mine.py:26: was changed since this began; begin again"
    regions = Scenario.load("tiny.yaml", [*KINDS, "regions=[{name: all, share: 1}]"])
    mine.unlink()
    spec = RunSpec(regions, "cpu", 1, None)
    with LocalShards(1) as shards, pytest.raises(InputError, match=r"mine\.py does not exist; .* put it back"):
        shards.run_until_barrier(spec, [[Task()]], [Path("run")])


def test_ray_workers_run_kinds_of_ones_own_with_the_same_bytes_and_say_what_they_cannot_read(
    scenario: Scenario, tmp_path: Path
) -> None:
    pytest.importorskip("ray")
    with executor_for("ray", 1) as by_ray:
        ((_, outcome),) = by_ray.outcomes([RunJob(scenario, tmp_path / "by_ray")])
        assert outcome.error is None
        with executor_for(jobs=1) as here:
            ((_, outcome),) = here.outcomes([RunJob(scenario, tmp_path / "run")])
        assert outcome.error is None
        assert results_of(tmp_path / "by_ray") == results_of(tmp_path / "run")
        Path("mine.py").write_text(OWN + "# a word\n", encoding="utf-8")
        ((_, outcome),) = by_ray.outcomes([RunJob(scenario, tmp_path / "again")])
    assert outcome.error == "mine.py:26: was changed since this began; begin again"
