"""The figures of a summary against hand-made cases."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.simulator.core.costs import Cost
from fleetrec.simulator.core.notes import data_of
from fleetrec.simulator.experiments.policy_comparison import shown_as
from fleetrec.simulator.results import summary as parts
from tests.simulator.tiny import scenario_of, simulate_tiny
from tests.small import noted


def test_targets_are_repeat_new_head_middle_or_tail() -> None:
    counts = np.array([50, 30, 15, 5, 0])  # shares .5 .3 .15 .05: item 0 draws half, items 2 and 3 the last fifth
    items = np.array([0, 1, 2, 3, 4, 0])
    first_seen = np.array([7, 7, 7, 7, 7, 2])
    groups = parts.target_groups(items, parts.kinds_of_items(counts), first_seen, np.full(6, 7))
    assert [parts.TARGETS[group] for group in groups] == ["head", "middle", "tail", "tail", "new", "repeat"]


def test_gaps_are_tie_minute_hour_or_longer() -> None:
    groups = parts.gap_groups(np.array([0.0, 60.0, 61.0, 3600.0, 3601.0, math.inf]))
    assert [parts.GAPS[group] for group in groups] == ["tie", "<=60s", "<=1h", "<=1h", "longer", "longer"]


def test_per_user_accuracy_counts_each_user_the_same() -> None:
    ranks, users = np.array([0, 0, 0, -1]), np.array([1, 1, 1, 2])
    section = parts.accuracy_section(ranks, users, (5,))
    assert section["hr@5"] == 0.75
    assert section["per_user"]["hr@5"] == 0.5


def headline(
    own: float, gain: tuple[float, float, float], requests: Mapping[str, float] | None = None, known: bool = True
) -> str:
    """Of a run that reaches `own` where the phone's own model has 0.2, at a mean gain with this interval."""
    added = {"metric": "ndcg@10", "mean": gain[0], "low": gain[1], "high": gain[2]}
    ends = (("", 21_600.0), ("_low", 19e3), ("_high", 24_049.0))
    cost = {f"usd_provisioned_per_month{end}": usd if known else None for end, usd in ends}
    baselines = {"popular": {"ndcg@10": 0.05}, "srm": {"ndcg@10": 0.2}}
    summary = {"accuracy": {"ndcg@10": own}, "baselines": baselines, "requests": requests or {}, "cost": cost}
    summary |= {"gain_over": {"srm": added}, "represented": {"devices": 1_000_000}}
    return parts.headline(scenario_of().policy, summary)


def test_the_headline_is_whether_to_call_and_for_how_much() -> None:
    money = "for $21,600 a month (95% $19,000 to $24,000) and 1,000,000 phones."
    assert headline(0.1, (-0.1, -0.12, -0.08)) == (
        "Do not call: the phone's own model alone reaches NDCG@10 0.2000 for nothing; 'random' reaches 0.1000, "
        f"−0.1000 (95% −0.1200 to −0.0800) {money}"
    )
    assert headline(0.3, (0.1, 0.08, 0.12)) == (
        "Calling adds accuracy: 'random' reaches NDCG@10 0.3000 against 0.2000 of the phone's own model alone, "
        f"+0.1000 (95% +0.0800 to +0.1200) {money}"
    )
    assert headline(0.1, (-0.1, -0.12, -0.08), {"realised_ratio": 0.0}).startswith("no request is made: NDCG@10 0.1000")
    unknown = headline(0.3, (0.1, 0.08, 0.12), known=False)
    assert unknown.endswith(", for dollars a month that are not known: the notes say why.")
    assert headline(0.21, (0.01, -0.01, 0.03)).startswith("No gain from calling is shown: the phone's own model alone")


def test_what_a_run_adds_to_a_baseline_is_paired_by_interaction() -> None:
    """Hits where the baseline misses at one of four interactions of two users: 0.25, of two clusters 0.5 and 0."""
    gain = parts.gain_section(np.array([0, 0, -1, 0]), {"srm": np.array([-1, 0, -1, 0])}, np.array([1, 1, 2, 2]), (10,))
    assert gain["srm"]["mean"] == 0.25
    half = 1.959964 * math.sqrt(2 / 1 * (0.5**2 + 0.5**2)) / 4  # residuals of the sums: 0.5 and -0.5
    assert gain["srm"]["high"] - 0.25 == pytest.approx(half)


def test_costs_add_up_and_are_given_per_thousand_interactions() -> None:
    section = parts.cost_section(
        Cost(usd=2, joules=5, gco2=1), Cost(usd=9), Cost(usd=1, bytes_up=3), Cost(joules=4), 500
    )
    assert section["usd_marginal"] == 3
    assert section["usd_marginal_per_1k_interactions"] == 6
    assert section["usd_replicas"] == 9
    assert (section["gpu_joules"], section["device_joules"], section["bytes_up"], section["gco2"]) == (5, 4, 3, 1)


def test_percentiles_leave_out_what_never_happened() -> None:
    assert parts.percentiles(pd.Series([1.0, math.nan, 3.0]))["p50"] == 2.0
    assert parts.percentiles(pd.Series([math.nan]))["p50"] is None


def test_no_number_that_is_not_finite_reaches_a_file() -> None:
    assert parts.finite({"a": [math.nan, np.float64(2.0), (np.int64(3), math.inf)]}) == {"a": [None, 2.0, [3, None]]}


def test_requests_that_nobody_could_hear_and_those_of_a_crowd_at_the_door_are_told() -> None:
    requests = pd.DataFrame(
        [
            (0, 0.0, 0.1, "rejected", 9.0),  # made as device 0 joined
            (1, 5.0, 5.1, "timed_out", 9.0),  # made as device 1 joined
            (1, 7.0, 7.1, "rejected", 9.0),  # later
            (0, 8.0, math.nan, "lost", 0.0),  # never sent
            (0, 9.0, math.nan, "lost", 9.0),  # lost on its way
            (2, 6.0, 6.1, "completed", 9.0),
        ],
        columns=["device", "t_issued_s", "t_arrived_s", "outcome", "bytes_up"],
    )
    notes = parts.request_notes(requests, np.array([0.0, 5.0, 6.0]))
    assert noted(data_of(*notes)) == {"never_sent": {"requests": 1}, "joined_in_vain": {"requests": 2}}
    assert parts.request_notes(requests[requests["outcome"] == "completed"], np.zeros(3)) == []


def test_what_was_asked_what_was_sent_and_what_was_answered_are_three_counts() -> None:
    requests = pd.DataFrame(
        {
            "outcome": ["completed", "completed", "lost", "lost", "timed_out", "unfinished"],
            "bytes_up": [9.0, 9.0, 0.0, 9.0, 9.0, 0.0],  # two were made offline
        }
    )
    section = parts.request_section(requests, 10)
    assert [section[name] for name in ("asked", "sent", "answered")] == [6, 4, 2]
    assert [section[name] for name in ("asked_ratio", "ratio", "answered_ratio")] == [0.6, 0.4, 0.2]


def test_a_request_has_a_column_for_serving_and_one_for_its_traffic(tmp_path: Path) -> None:
    tariffs = {"gb_up": 2.0, "gb_down": 3.0}
    result = simulate_tiny(scenario_of(tariffs=tariffs), ArtifactStore(tmp_path))
    requests = result.requests
    assert requests["usd"].sum() == pytest.approx(result.summary["cost"]["usd_serving"])
    traffic = (2.0 * requests["bytes_up"] + 3.0 * requests["bytes_down"]) / 1e9
    assert traffic.sum() > 0
    np.testing.assert_allclose(requests["usd_network"], traffic)


def test_a_run_bears_its_share_of_an_installation(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    whole = simulate_tiny(scenario_of(duration="6h", fleet={"install_life": "6h"}), store)
    part = simulate_tiny(scenario_of(duration="6h", fleet={"install_life": "60h"}), store)
    saved = whole.summary["cost"]["bytes_down"] - part.summary["cost"]["bytes_down"]
    assert saved == pytest.approx(0.9 * whole.summary["cost"]["bytes_installed"])
    assert part.summary["cost"]["bytes_installed"] == pytest.approx(0.1 * whole.summary["cost"]["bytes_installed"])
    assert whole.summary["cost"]["bytes_installed"] > 0
    assert whole.summary["cost"]["usd_network"] > part.summary["cost"]["usd_network"]


def test_headroom_of_the_configured_cloud_is_in_the_units_of_its_replicas(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    one, four = (
        simulate_tiny(scenario_of(cloud={"replicas": n, "slo": {"p95_latency": "10s"}}), store).summary["cloud"][
            "headroom"
        ]
        for n in (1, 4)
    )
    assert 1 + four == pytest.approx(4 * (1 + one), rel=1e-6)
    growing = {"slo": {"p95_latency": "10s"}, "autoscale": {"min": 1, "max": 2}}
    assert simulate_tiny(scenario_of(cloud=growing), store).summary["cloud"]["headroom"] is None


def test_what_a_duration_cuts_off_is_counted(tmp_path: Path) -> None:
    whole = simulate_tiny(scenario_of(), ArtifactStore(tmp_path))
    cut = simulate_tiny(scenario_of(duration=3600.0), ArtifactStore(tmp_path))
    missing = whole.summary["interactions"] - cut.summary["interactions"]
    assert missing > 0
    assert noted(cut.summary["notes"])["after_duration"] == {"interactions": missing}


def test_events_out_of_calendar_order_are_said_to_be_and_why(tmp_path: Path) -> None:
    said = {}
    for kind in ("poisson", "replay"):
        summary = simulate_tiny(scenario_of(workload={"arrivals": {"kind": kind}}), ArtifactStore(tmp_path)).summary
        said[kind] = noted(summary["notes"]).get("not_calendar")
    assert said == {"poisson": {"why": "moments of interactions are drawn"}, "replay": None}


def test_a_policy_that_asks_more_than_it_was_told_says_so_first() -> None:
    told = {"decisions": 1000, "wanted_ratio": 0.4, "realised_ratio": 0.93}
    assert headline(0.3, (0.1, 0.08, 0.12), told).startswith(
        "policy random asked 93%, told 40% of decisions, so it is not the policy that was named; Calling adds accuracy"
    )
    assert parts.off_share(told | {"realised_ratio": 0.43}) is None
    assert parts.off_share(told | {"realised_ratio": 0.44, "decisions": 20}) is None  # a coin would do so, too
    assert parts.off_share(told | {"wanted_ratio": None}) is None
    assert shown_as("inconsistency 40%", told) == "inconsistency (asked 93%, told 40%)"


def test_the_baselines_own_ranks_are_kept_by_interaction(tmp_path: Path) -> None:
    """Their hit rates are those of the summary, and they stand in the order of the interactions."""
    result = simulate_tiny(scenario_of(), ArtifactStore(tmp_path))
    kept = result.baselines
    assert (kept[["device", "step"]].to_numpy() == result.interactions[["device", "step"]].to_numpy()).all()
    for name, figures in result.summary["baselines"].items():
        hits = (kept[name] >= 0) & (kept[name] < 10)
        assert hits[kept[name] >= -1].mean() == figures["hr@10"]
    gain = result.summary["gain_over"]["popular"]
    own, popular = (
        section["ndcg@10"] for section in (result.summary["accuracy"], result.summary["baselines"]["popular"])
    )
    assert gain["mean"] == pytest.approx(own - popular)


def test_devices_that_a_presence_trace_leaves_out_are_counted(tmp_path: Path) -> None:
    trace = tmp_path / "presence.csv"
    trace.write_text("device,start_s,end_s\n3,0,2000000\n4,9000000,9000001\n")
    changes = {"fleet": {"churn": {"kind": "trace", "path": str(trace)}}}
    of_one, of_all = (simulate_tiny(scenario_of(**c), ArtifactStore(tmp_path)).summary["notes"] for c in (changes, {}))
    assert noted(of_one)["never_there"] == {"absent": 49, "devices": 50}
    assert "never_there" not in noted(of_all)
