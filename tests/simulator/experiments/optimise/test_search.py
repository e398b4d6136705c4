"""Whole searches, on runs whose figures are a formula of their policy instead of a simulation."""

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pytest

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.simulator.core.notes import data_of
from fleetrec.simulator.experiments.comparison.compare import compare
from fleetrec.simulator.experiments.folders import ExperimentFolder
from fleetrec.simulator.experiments.optimise import Found, Problem, Space, optimise, read_goals
from fleetrec.simulator.experiments.optimise.space import SearchParameter
from fleetrec.simulator.experiments.sweeps import Outcome, RunJob
from fleetrec.simulator.experiments.sweeps.jobs import Job
from tests.small import noted

KINDS = ("random", "every")
SPACE = Space(
    (
        SearchParameter("policy.request.kind", KINDS),
        SearchParameter(
            "policy.request.ratio", low=0.0, high=1.0, step=0.05, when={"policy.request.kind": ("random",)}
        ),
        SearchParameter("policy.request.n", (1, 2, 3, 5, 8), when={"policy.request.kind": ("every",)}),
        SearchParameter("policy.fusion.srm_weight", low=0.25, high=4.0, log=True),
    )
)
N = 1000
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
        hits = max(round(N * (0.9 * share**0.5 - 0.1 * off + 0.001 * job.scenario.seed)), 0)
        job.folder.mkdir(parents=True)
        order = np.random.default_rng(job.scenario.seed).permutation(N)  # whoever hits more hits these too
        rows = pd.DataFrame({"device": np.arange(N) // 25, "step": np.arange(N) % 25, "t_s": 0.0})
        rows.assign(rank=np.where(order < hits, 0, -1)).to_parquet(job.folder / "interactions.parquet")
        devices = range(N // 25)
        users = pd.DataFrame({"device": devices, "user": [f"u{d}" for d in devices]})
        users.to_parquet(job.folder / "devices.parquet")
        accuracy = {"ndcg@10": hits / N}
        summary = {"notes": [], "interactions": N, "accuracy": accuracy, "cost": {"usd": share, "usd_odd": None}}
        (job.folder / "timing.json").write_text('{"simulate_s": 1.0}', encoding="utf-8")
        (job.folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
        return Outcome()


@pytest.fixture(scope="module")
def problem(tmp_path_factory: pytest.TempPathFactory) -> Problem:
    path = tmp_path_factory.mktemp("scenario") / "s.yaml"
    path.write_text("name: s\npolicy: {request: {kind: random, ratio: 0.5}}\n", encoding="utf-8")
    return Problem(path, [], GOALS, SPACE, trials=18, sampler="tpe", seeds=(1, 2))


def run(problem: Problem, out: Path, executor: Formula, resume: bool = False) -> Found:
    return optimise(problem, out, executor, NullProgress(), resume)


@dataclass(frozen=True)
class Whole:
    """A search that nothing disturbed: where it is, what it found, and what ran."""

    folder: Path
    found: Found
    executor: Formula


@pytest.fixture(scope="module")
def whole(problem: Problem, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder, executor = tmp_path_factory.mktemp("whole") / "o", Formula()
    return Whole(folder, run(problem, folder, executor), executor)


FILES = ("experiment.json", "results.parquet", "comparisons.parquet", "answer.json")


def kept_bytes(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in FILES}


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "gp"])
def test_a_search_that_was_interrupted_ends_as_one_that_was_not(
    problem: Problem, whole: Whole, tmp_path: Path, sampler: str
) -> None:
    folder, executor = whole.folder, whole.executor
    if sampler != problem.sampler:
        problem = replace(
            problem, sampler=sampler, trials=10 if sampler == "gp" else 18, seeds=(1,) if sampler == "gp" else (1, 2)
        )
        folder, executor = tmp_path / "whole", Formula()
        run(problem, folder, executor)
    ran = 0
    for most in (3, 5) if sampler == "gp" else (3, 9, 7):
        broken = Formula(most=most)
        with pytest.raises(KeyboardInterrupt):
            run(problem, tmp_path / "broken", broken, resume=True)
        ran += len(broken.ran)
    rest = Formula()
    run(problem, tmp_path / "broken", rest, resume=True)
    assert kept_bytes(tmp_path / "broken") == kept_bytes(folder)
    assert ran + len(rest.ran) == len(executor.ran)  # no run was made twice


def test_the_order_in_which_runs_end_changes_nothing(problem: Problem, whole: Whole, tmp_path: Path) -> None:
    run(problem, tmp_path / "o", Formula(backwards=True))
    assert kept_bytes(tmp_path / "o") == kept_bytes(whole.folder)


def test_failed_points_are_recorded_and_the_others_go_on(problem: Problem, tmp_path: Path) -> None:
    found = run(problem, tmp_path / "o", Formula(fails_above=0.6))
    folder = ExperimentFolder(tmp_path / "o")
    manifest = folder.manifest()
    failed = {place.variant.name for place in folder.runs(manifest) if place.failure == "the run broke"}
    assert failed
    assert len(manifest.variants) == 18
    assert not failed & {point["variant"] for point in found.comparison.answer["frontier"]}
    assert "the run broke" in noted(data_of(*found.notes))["failed"]["reason"]
    table = pd.read_parquet(tmp_path / "o" / "results.parquet")
    assert set(table["variant"]) == {variant.name for variant in manifest.variants} - failed


def test_no_point_beyond_a_limit_is_on_the_front(problem: Problem, tmp_path: Path) -> None:
    limited = replace(problem, goals=read_goals(["ndcg@10"], ["cost.usd"], ["cost.usd=0.3"]))
    answer = run(limited, tmp_path / "o", Formula()).comparison.answer
    assert answer["frontier"]
    assert all(point["x"] <= 0.3 for point in answer["frontier"])


def test_the_front_is_every_point_that_none_beats(whole: Whole) -> None:
    answer = whole.found.comparison.answer
    table = pd.read_parquet(whole.folder / "results.parquet")
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
    small = Space((SearchParameter("policy.fusion.srm_weight", (0.5, 1.0, 2.0)),))
    executor = Formula()
    found = run(replace(problem, space=small), tmp_path / "o", executor)
    assert len(executor.ran) == len(set(executor.ran)) == 2 * (3 + 1)  # three points and the base, at two seeds
    assert noted(data_of(*found.notes)) == {"searched_through": {"run": 4, "trials": 18}}


def test_a_search_goes_on_with_the_same_terms_only(problem: Problem, whole: Whole, tmp_path: Path) -> None:
    shutil.copytree(whole.folder, tmp_path / "o")
    with pytest.raises(InputError, match="add --resume"):
        run(problem, tmp_path / "o", Formula())
    with pytest.raises(InputError, match=r"other terms \(seeds\)"):
        run(replace(problem, seeds=(1, 3)), tmp_path / "o", Formula(), resume=True)


def test_a_figure_that_no_summary_has_is_told_after_the_first_run(problem: Problem, tmp_path: Path) -> None:
    executor = Formula()
    with pytest.raises(InputError, match=r"cost\.usdd: no figure .* did you mean cost\.usd"):
        run(replace(problem, goals=read_goals(["ndcg@10"], ["cost.usdd"], [])), tmp_path / "o", executor)
    assert len(executor.ran) == 2  # the base at both seeds


def test_a_search_concludes_as_a_sweep_does(whole: Whole) -> None:
    """Of a kind of request, more is dearer and better, so weight 1 is the front; no other weight helps."""
    answer = whole.found.comparison.answer
    assert answer == json.loads((whole.folder / "answer.json").read_text(encoding="utf-8"))
    for point in answer["frontier"]:
        assert point["y_low"] < point["y"] < point["y_high"] or point["y"] == 0
        assert 0 < point["probability_on_front"] <= 1
    table = pd.read_parquet(whole.folder / "results.parquet")
    means = table.groupby("variant")[["cost.usd", "accuracy.ndcg@10"]].mean()
    assert answer["hypervolume"]["reference"] == pytest.approx(
        [means["cost.usd"].max(), means["accuracy.ndcg@10"].min()]
    )
    assert answer["hypervolume"]["low"] <= answer["hypervolume"]["value"] <= answer["hypervolume"]["high"]
    weights = [row["key"] for row in answer["sensitivity"] if row["metric"] == "cost.usd"]
    assert weights[0] in ("policy.request.ratio", "policy.request.n", "policy.request.kind")
    assert "chosen_by_search" in noted(answer["notes"])
    assert compare(whole.folder).answer == answer


def test_the_cheapest_point_as_good_as_the_scenario_is_named_with_how_sure_that_is(
    problem: Problem, tmp_path: Path
) -> None:
    """The scenario wastes nothing but its weight of 3: half as many requests are as good at weight 1."""
    dear = replace(problem, overrides=["policy.fusion={kind: linear, srm_weight: 3}"])
    answer = run(dear, tmp_path / "o", Formula()).comparison.answer
    table = pd.read_parquet(tmp_path / "o" / "results.parquet")
    means = table.groupby("variant")[["cost.usd", "accuracy.ndcg@10"]].mean()
    able = means[means["accuracy.ndcg@10"] >= means.at["base", "accuracy.ndcg@10"]].drop(index="base")
    cheapest = answer["cheapest_as_good"]
    assert cheapest["variant"] == able["cost.usd"].idxmin()
    assert cheapest["share_saved"] == pytest.approx(1 - able["cost.usd"].min() / 0.5)
    assert 0.5 < cheapest["probability"] <= 1


def test_no_request_keeps_any_limit_on_requests() -> None:
    """A policy that never asks has no response time; one that asks and has none is not known to keep the limit."""
    goals = read_goals(["ndcg@10"], ["cost.usd"], ["latency_s.request.p95=1s"])
    never = {"accuracy.ndcg@10": 0.1, "cost.usd": 0.0, "requests.ratio": 0.0}
    assert goals.missing([never]) == []
    assert goals.excess(goals.means([never])) == [0.0]
    assert goals.missing([never, never | {"requests.ratio": 0.5}]) == ["latency_s.request.p95"]
    late = never | {"requests.ratio": 0.5, "latency_s.request.p95": 3.0}
    assert goals.excess(goals.means([late])) == [2.0]


def test_where_the_scenario_itself_fails_the_other_points_are_compared(problem: Problem, tmp_path: Path) -> None:
    answer = run(problem, tmp_path / "o", Formula(fails_above=0.45)).comparison.answer  # the scenario's ratio is 0.5
    assert answer["baseline"] != "base"
    assert answer["frontier"]
    assert compare(tmp_path / "o").answer == answer


def test_where_every_point_fails_the_first_reason_is_told(problem: Problem, tmp_path: Path) -> None:
    problem = replace(problem, trials=5)
    with pytest.raises(InputError, match=r"no point has all figures; failed: 'base' and \d+ more: .*the run broke"):
        run(problem, tmp_path / "o", Formula(fails_above=-1.0))


def test_three_goals_share_a_front(problem: Problem, tmp_path: Path) -> None:
    three = replace(problem, goals=read_goals(["ndcg@10"], ["cost.usd", "interactions"], []), trials=10)
    answer = run(three, tmp_path / "o", Formula()).comparison.answer
    assert answer["third"] == "interactions"
    assert all(point["z"] == N for point in answer["frontier"])


def test_points_of_another_world_are_refused_as_soon_as_they_show(problem: Problem, tmp_path: Path) -> None:
    class Smaller(Formula):
        def _do(self, job: RunJob) -> Outcome:
            outcome = super()._do(job)
            if job.folder.parent.name != "base":
                path = job.folder / "summary.json"
                held = json.loads(path.read_text(encoding="utf-8"))
                path.write_text(json.dumps(held | {"interactions": 7}), encoding="utf-8")
            return outcome

    executor = Smaller()
    with pytest.raises(InputError, match=r"evaluates other interactions .* \(7 against 1,000\)"):
        run(problem, tmp_path / "o", executor)
    assert len(executor.ran) == 2 * (1 + problem.batch)


def test_the_scenario_as_it_stands_has_its_own_values_of_the_parameters(problem: Problem, tmp_path: Path) -> None:
    run(replace(problem, trials=2), tmp_path / "o", Formula())
    base = ExperimentFolder(tmp_path / "o").manifest().variants[0]
    own = {"policy.request.kind": "random", "policy.request.ratio": 0.5, "policy.fusion.srm_weight": 1.0}
    assert (base.name, base.settings) == ("base", own)
