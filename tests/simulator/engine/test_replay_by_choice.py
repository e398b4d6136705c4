"""A user who chooses, and always takes the log's item, gives the bytes of replay."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from fleetrec.simulator.engine import world
from fleetrec.simulator.preparation.prepare import Prepared
from fleetrec.simulator.scenario import Scenario
from fleetrec.simulator.workload.users.opportunities import Opportunities
from fleetrec.simulator.workload.users.utility import Floats, Ints, Laws, Moments, Past, State
from tests.docs.pages import ROOT
from tests.simulator.reacting import UPDATES, lives, reacting, replayed
from tests.simulator.tiny import merged

SMALL = (
    "workload.users=choice",
    "workload.interactions=synthetic",
    "workload.synthetic={users: 16, items: 80, events_per_user: 40, days: 2}",
    "workload.split={kind: per_user, last: 14, min_history: 5}",
    "fleet.devices=10",
    "srm={kind: gru4rec, dim: 8, layers: 1, max_length: 8, epochs: 0}",
    "llm.list_length=12",
    "llm.served_as=llama-3.1-8b",
)
ALSO = {
    "foursquare_nyc": ["policy.request={kind: inconsistency, threshold: 17.5}"],  # too few decisions to find one on
    "paper_protocol": ["srm.loss=bce"],
    "regions": ["cloud.slo={}", "fleet.represents=none"],  # what is provided for phones takes far longer than they do
    "million": [
        *("cloud.slo={}", "fleet.represents=none"),
        "regions=[{name: pacific, share: 0.5, peak_hour: 6}, {name: africa, share: 0.5, peak_hour: 17, link: 3g}]",
    ],
}
GALLERY = sorted(path.stem for path in (ROOT / "scenarios").glob("*.yaml"))
SASREC = {"srm": {"kind": "sasrec", "dim": 8, "layers": 1, "heads": 1, "max_length": 8, "epochs": 0}}


class LogTaker:
    """Everybody finds the item that the log has at that opportunity, and always comes back."""

    laws = Laws(organic=1.0, returns=800.0, churns=-800.0, returns_by_satisfaction=0.0, churns_by_satisfaction=0.0)

    def __init__(self, before: Prepared, times: Opportunities):
        split, users = before.trained.split, before.population.users
        self.n_items = split.log.n_items
        self._items, self._begin = split.log.items, split.log.offsets[users] + before.population.first_step

    def initial(self, past: Past) -> State:
        """Nothing is kept."""
        return np.zeros((len(past.users), 1))

    def advance(self, state: State, some: Ints, at: Moments, items: Ints) -> None:
        """Nothing changes."""

    def of(self, state: State, at: Moments, items: Ints) -> Floats:
        """No item of a screen is worth anything."""
        return np.full(items.shape, -np.inf)

    def catalogue(self, state: State, at: Moments) -> Floats:
        """The log's item alone is worth something."""
        worth = np.zeros((len(state), self.n_items))
        worth[np.arange(len(state)), self._items[self._begin[at.user] + at.opportunity]] = 1e6
        return worth


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"policy": {"request": {"kind": "always"}, "mode": "blocking"}},
        {"policy": {"slate": "cloud_srm", "request": {"kind": "staleness", "threshold": 2}}},
        {"policy": {"request": {"kind": "inconsistency", "threshold": 17.5}}, "workload": {"exclude_seen": "refill"}},
        {"fleet": {"devices": 30}, "workload": {"arrivals": {"kind": "replay"}}},
        *({"policy": {"update": update}, **SASREC} for update in UPDATES.values()),
        {"policy": {"update": UPDATES["fleet"]}, "srm": {"kind": "din", "dim": 8, "epochs": 0, "loss": "bce"}},
        {"policy": {"slate": "markov"}},
        {"policy": {"slate": "frequent"}, "workload": {"exclude_seen": False}},
        {"fleet": {"fallback": "popular", "preloaded": False}},
    ],
    ids=str,
)
def test_it_records_what_replay_records(changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = reacting(**merged({"workload": {"users": {"kind": "choice"}}}, changes))
    log = _recorded_by_both(scenario, monkeypatch)
    assert len(log["interactions"]) > 150
    assert len(log["updates"]) > 5 or not scenario.policy.update.learns


@pytest.mark.parametrize("name", GALLERY)
def test_so_it_does_in_every_scenario_of_the_gallery(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = Scenario.load(ROOT / "scenarios" / f"{name}.yaml", [*SMALL, *ALSO.get(name, ())])
    assert len(_recorded_by_both(scenario, monkeypatch)["interactions"]) > 50


def _recorded_by_both(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> dict[str, pd.DataFrame]:
    """What users of the log leave, and users who choose what it says leave alike."""
    monkeypatch.setattr(world, "user_model", lambda workload, before, times, past: LogTaker(before, times))
    chosen, log = lives(scenario), replayed(scenario)
    for name, table in log.items():
        assert table.equals(chosen[name]), name
    return log
