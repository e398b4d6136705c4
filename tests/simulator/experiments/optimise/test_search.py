"""Whole searches, on runs whose figures are a formula of their policy instead of a simulation."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import optuna
import pandas as pd
import pytest

from models.errors import InputError
from models.progress import NullProgress
from simulator.experiments.folders import ExperimentFolder
from simulator.experiments.optimise import Problem, Space, optimise, read_goals
from simulator.experiments.optimise.space import Knob
from simulator.experiments.sweeps import Outcome, RunJob
from simulator.experiments.sweeps.jobs import Job

KINDS = ("random", "every")
SPACE = Space(
    (
        Knob("policy.request.kind", KINDS),
        Knob("policy.request.ratio", low=0.0, high=1.0, step=0.05, when={"policy.request.kind": ("random",)}),
        Knob("policy.request.n", (1, 2, 3, 5, 8), when={"policy.request.kind": ("every",)}),
        Knob("policy.fusion.srm_weight", low=0.25, high=4.0, log=True),
    )
)
GOALS = read_goals(["ndcg@10"], ["cost.usd"], [])


class Formula:
    """An executor of runs whose cost is their share of requests, and whose accuracy grows with it, best at weight 1.

    It ends its jobs in reverse where told to, fails those of a share above `fails_above`, and stops after `most` runs.
    """

    workers = 1

    def __init__(self, backwards: bool = False, fails_above: float = 2.0, most: int | None = None):
        self.backwards, self.fails_above, self.most = backwards, fails_above, most
        self.ran: list[tuple[str, int]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def outcomes(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Outcome]]:
        numbered = list(enumerate(jobs))
        for number, job in reversed(numbered) if self.backwards else numbered:
            yield number, self._do(job) if isinstance(job, RunJob) else Outcome()

    def _do(self, job: RunJob) -> Outcome:
        if self.most is not None and len(self.ran) >= self.most:
            raise KeyboardInterrupt
        self.ran.append((job.folder.parent.name, job.scenario.seed))
        policy: Any = job.scenario.policy
        share = policy.request.ratio if policy.request.kind == "random" else 1 / policy.request.n
        if share > self.fails_above:
            return Outcome("the run broke")
        off = abs(policy.fusion.srm_weight - 1.0)
        accuracy = share**0.5 - 0.1 * off + 0.001 * job.scenario.seed
        summary = {"notes": [], "accuracy": {"ndcg@10": accuracy}, "cost": {"usd": share, "usd_odd": None}}
        job.folder.mkdir(parents=True)
        (job.folder / "timing.json").write_text('{"simulate_s": 1.0}', encoding="utf-8")
        (job.folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
        return Outcome()


@pytest.fixture
def problem(tmp_path: Path) -> Problem:
    path = tmp_path / "s.yaml"
    path.write_text("name: s\npolicy: {request: {kind: random, ratio: 0.5}}\n", encoding="utf-8")
    return Problem(path, [], GOALS, SPACE, trials=18, sampler="tpe", seeds=(1, 2))


def run(problem: Problem, out: Path, executor: Formula, resume: bool = False) -> dict[str, Any]:
    return optimise(problem, out, executor, NullProgress(), resume)


def kept_bytes(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in ("experiment.json", "results.parquet", "answer.json")}


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "gp"])
def test_a_search_that_was_interrupted_ends_as_one_that_was_not(problem: Problem, tmp_path: Path, sampler: str) -> None:
    problem = replace(
        problem, sampler=sampler, trials=10 if sampler == "gp" else 18, seeds=(1,) if sampler == "gp" else (1, 2)
    )
    whole = Formula()
    run(problem, tmp_path / "whole", whole)
    ran = 0
    for most in (3, 5) if sampler == "gp" else (3, 9, 7):
        broken = Formula(most=most)
        with pytest.raises(KeyboardInterrupt):
            run(problem, tmp_path / "broken", broken, resume=True)
        ran += len(broken.ran)
    rest = Formula()
    run(problem, tmp_path / "broken", rest, resume=True)
    assert kept_bytes(tmp_path / "broken") == kept_bytes(tmp_path / "whole")
    assert ran + len(rest.ran) == len(whole.ran)  # no run was made twice


def test_the_order_in_which_runs_end_changes_nothing(problem: Problem, tmp_path: Path) -> None:
    run(problem, tmp_path / "a", Formula())
    run(problem, tmp_path / "b", Formula(backwards=True))
    assert kept_bytes(tmp_path / "a") == kept_bytes(tmp_path / "b")


def test_a_study_that_lost_the_end_of_a_batch_asks_for_it_again(problem: Problem, tmp_path: Path) -> None:
    run(problem, tmp_path / "whole", Formula())
    run(replace(problem, trials=9), tmp_path / "cut", Formula())
    storage = f"sqlite:///{tmp_path / 'cut' / 'study.db'}"
    held = optuna.load_study(study_name="optimisation", storage=storage)
    trials, terms = held.trials, held.user_attrs["terms"]
    optuna.delete_study(study_name="optimisation", storage=storage)
    shorter = optuna.create_study(
        study_name="optimisation", storage=storage, directions=list(GOALS.directions.values())
    )
    shorter.set_user_attr("terms", terms)
    shorter.add_trials(trials[:-2])
    run(problem, tmp_path / "cut", Formula(), resume=True)
    assert kept_bytes(tmp_path / "cut") == kept_bytes(tmp_path / "whole")


def test_failed_points_are_recorded_and_the_others_go_on(problem: Problem, tmp_path: Path) -> None:
    answer = run(problem, tmp_path / "o", Formula(fails_above=0.6))
    folder = ExperimentFolder(tmp_path / "o")
    manifest = folder.manifest()
    failed = {place.variant.name for place in folder.runs(manifest) if place.failure == "the run broke"}
    assert failed
    assert len(manifest.variants) == 18
    assert not failed & {point["variant"] for point in answer["frontier"]}
    assert any("the run broke" in note for note in answer["notes"])
    table = pd.read_parquet(tmp_path / "o" / "results.parquet")
    assert set(table["variant"]) == {variant.name for variant in manifest.variants} - failed


def test_no_point_beyond_a_limit_is_on_the_front(problem: Problem, tmp_path: Path) -> None:
    limited = replace(problem, goals=read_goals(["ndcg@10"], ["cost.usd"], ["cost.usd=0.3"]))
    answer = run(limited, tmp_path / "o", Formula())
    assert answer["frontier"]
    assert all(point["x"] <= 0.3 for point in answer["frontier"])


def test_the_front_is_every_point_that_none_beats(problem: Problem, tmp_path: Path) -> None:
    answer = run(problem, tmp_path / "o", Formula())
    table = pd.read_parquet(tmp_path / "o" / "results.parquet")
    points = table.groupby("variant")[["accuracy.ndcg@10", "cost.usd"]].mean()
    points = points.round(12)
    beaten = {
        name
        for name, (accuracy, cost) in points.iterrows()
        if any(
            other >= accuracy and paid <= cost and (other > accuracy or paid < cost)
            for other, paid in points.itertuples(index=False)
        )
    }
    assert {point["variant"] for point in answer["frontier"]} == set(points.index) - beaten


def test_a_small_space_is_searched_through_and_no_point_runs_twice(problem: Problem, tmp_path: Path) -> None:
    small = Space((Knob("policy.fusion.srm_weight", (0.5, 1.0, 2.0)),))
    executor = Formula()
    answer = run(replace(problem, space=small), tmp_path / "o", executor)
    assert len(executor.ran) == len(set(executor.ran)) == 2 * (3 + 1)  # three points and the base, at two seeds
    assert any("4 of 18" in note for note in answer["notes"])


def test_a_search_goes_on_with_the_same_terms_only(problem: Problem, tmp_path: Path) -> None:
    run(problem, tmp_path / "o", Formula())
    with pytest.raises(InputError, match="add --resume"):
        run(problem, tmp_path / "o", Formula())
    with pytest.raises(InputError, match="another seeds"):
        run(replace(problem, seeds=(1, 3)), tmp_path / "o", Formula(), resume=True)


def test_a_figure_that_no_summary_has_is_told_after_the_first_run(problem: Problem, tmp_path: Path) -> None:
    executor = Formula()
    with pytest.raises(InputError, match=r"cost\.usdd: no figure .* did you mean cost\.usd"):
        run(replace(problem, goals=read_goals(["ndcg@10"], ["cost.usdd"], [])), tmp_path / "o", executor)
    assert len(executor.ran) == 2  # the base at both seeds


def test_a_damaged_study_is_one_line(problem: Problem, tmp_path: Path) -> None:
    run(problem, tmp_path / "o", Formula())
    (tmp_path / "o" / "study.db").write_bytes(b"not a database at all, but text")
    with pytest.raises(InputError, match=r"study\.db: cannot be read") as raised:
        run(problem, tmp_path / "o", Formula(), resume=True)
    assert "\n" not in str(raised.value)
