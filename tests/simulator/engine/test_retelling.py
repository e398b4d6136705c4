"""Runs that differ in fusion alone share their events, and nothing else changes."""

from pathlib import Path
from typing import Any

import pytest

from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.simulator.engine import retelling
from fleetrec.simulator.preparation.prepare import Prepared
from fleetrec.simulator.results.run_result import RunResult
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.simulation import simulate_prepared
from tests.simulator.tiny import prepare_tiny, scenario_of

FUSIONS: list[dict[str, Any]] = [
    {"kind": "linear", "srm_weight": 0.3},
    {"kind": "linear", "srm_weight": 3},
    {"kind": "llm_only"},
]


def runs_of(request: dict[str, Any], store: ArtifactStore, shared: bool, **others: Any) -> list[RunResult]:
    """The runs of all fusions, on one preparation where it is `shared`."""
    each = [scenario_of(policy={"request": request, "fusion": fusion}, **others) for fusion in FUSIONS]
    held = prepare_tiny(each[0], store)
    return [run_of(scenario, held if shared else prepare_tiny(scenario, store)) for scenario in each]


def run_of(scenario: sections.Scenario, prepared: Prepared) -> RunResult:
    return simulate_prepared(scenario, prepared, None, "cpu", NullProgress())


@pytest.mark.parametrize(
    ("request_policy", "events"),
    [
        ({"kind": "staleness", "threshold": 2}, 1),
        ({"kind": "inconsistency", "ratio": 0.3}, 1),
        ({"kind": "learned", "ratio": 0.3}, 3),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else str(value),
)
def test_runs_that_differ_in_fusion_are_what_they_are_alone_and_share_their_events_where_nothing_asks_by_slates(
    request_policy: dict[str, Any], events: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`llm_only` asks no SRM, so that its rankings take devices less time: unless the policy asks it."""
    store = ArtifactStore(tmp_path)
    alone = runs_of(request_policy, store, shared=False)
    lived: list[str] = []
    run = retelling.run

    def counted(*parts: Any) -> None:
        lived.append(parts[1].policy.fusion.kind)
        run(*parts)

    monkeypatch.setattr(retelling, "run", counted)
    together = runs_of(request_policy, store, shared=True)
    for one, other in zip(alone, together, strict=True):
        assert one.summary == other.summary
        assert all(table.equals(other.tables[name]) for name, table in one.tables.items())
    assert len({str(one.summary["accuracy"]) for one in together}) > 1
    quick = [] if request_policy["kind"] == "inconsistency" else ["llm_only"]
    assert lived == (["linear", *quick] if events == 1 else [fusion["kind"] for fusion in FUSIONS])


def test_a_world_in_which_something_is_learnt_is_lived_anew(tmp_path: Path) -> None:
    update = {"kind": "on_device", "when": {"kind": "every", "n": 3}}
    assert not retelling.may_be_retold(scenario_of(policy={"update": update}))
    assert retelling.may_be_retold(scenario_of())
