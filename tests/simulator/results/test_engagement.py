"""What users did, told of hand-made opportunities."""

import math

import numpy as np
import pandas as pd
import pytest

from fleetrec.simulator.results.engagement import (
    RATIOS,
    WORDS,
    device_totals,
    engagement_by,
    engagement_section,
    found_alone,
    thirds,
)

DAY_S = 86_400.0
_COLUMNS = ["device", "session", "t_s", "outcome", "place", "utility", "value", "best_value", "satisfaction", "ends"]


def told() -> pd.DataFrame:
    """Device 0: a session of two, one it did not come to, one of a single choice; device 1: a session, then gone."""
    nan = math.nan
    rows = [
        (0, 0, 0.0, "slate", 1, 3.0, 4.0, 5.0, 0.1, ""),
        (0, 0, 60.0, "skip", -1, 2.0, 2.5, 4.0, -0.1, ""),
        (0, 1, 5000.0, "away", -1, nan, nan, nan, -0.1, ""),
        (0, 2, 9000.0, "organic", -1, 6.0, nan, nan, 0.5, ""),
        (1, 0, 10.0, "wait", -1, 2.0, nan, nan, -0.5, "life"),
    ]
    return pd.DataFrame(rows, columns=_COLUMNS).assign(return_s=[nan, 8940.0, nan, nan, nan])


def figures(opportunities: pd.DataFrame, devices: int = 3) -> dict[str, float]:
    """Those of half a day."""
    return engagement_section(device_totals(opportunities, devices, DAY_S / 2), np.arange(devices))


def test_figures_of_opportunities_that_can_be_counted_by_hand() -> None:
    found = figures(told())
    assert (found["opportunities"], found["choices"], found["from_slate"], found["sessions"]) == (4, 2, 1, 3)
    by_hand = {
        "choices_per_day": 2 / (3 * 0.5),  # the third device, whose user never came, counts
        "choices_per_session": 2 / 3,
        "slate_share": 1 / 2,
        "reciprocal_rank": 1 / 2,
        "skip_share": 1 / 4,
        "wait_share": 1 / 4,
        "session_s": 60 / 3,
        "left_early_share": 0.0,
        "return_share": 3 / 4,
        "return_s": 8940.0,
        "churn_share": 1 / 3,
        "satisfaction": (0.5 - 0.5) / 2,
        "utility_per_choice": (3 + 6) / 2,
        "utility_per_day": (3 + 6) / 1.5,
        "screen_value": (4 + 2.5) / 2,
        "regret": (1 + 1.5) / 2,
        "regret_per_day": (1 + 1.5) / 1.5,
    }
    assert {name: found[name] for name in by_hand} == pytest.approx(by_hand)
    assert set(WORDS) == set(RATIOS)


def test_an_interval_stays_where_a_figure_can_be() -> None:
    for name, (low, high) in figures(told())["intervals"].items():  # type: ignore[attr-defined]
        assert not low < 0 or name in ("satisfaction", "utility_per_choice", "utility_per_day", "screen_value")
        assert not (name.endswith("_share") and high > 1)


def test_what_things_are_worth_to_users_of_ones_own_is_not_known() -> None:
    unknown = told().assign(utility=math.nan, value=math.nan, best_value=math.nan, satisfaction=math.nan)
    found = figures(unknown)
    assert all(math.isnan(found[name]) for name in ("regret", "utility_per_day", "satisfaction", "regret_per_day"))
    assert found["choices_per_day"] == pytest.approx(2 / 1.5)


def test_groups_hold_every_device_once() -> None:
    totals = device_totals(told(), 3, DAY_S)
    found = engagement_by(totals, np.arange(3), {"class": (np.array([0, 1, 1]), ("fast", "slow", "none"))})["class"]
    assert {name: held["devices"] for name, held in found.items()} == {"fast": 1, "slow": 2}
    assert found["fast"]["choices"] == 2
    assert thirds(np.array([5.0, 1.0, 9.0, 5.0, 5.0])).tolist() == [0, 0, 2, 0, 0]


def test_what_was_found_alone_is_told_in_whatever_order_interactions_stand() -> None:
    interactions = pd.DataFrame({"device": [0, 0], "step": [8, 7]})
    assert found_alone(interactions, told()).tolist() == [True, False]
    with pytest.raises(ValueError, match="not of one run"):
        found_alone(interactions.iloc[:1], told())
