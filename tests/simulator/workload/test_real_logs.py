"""Real logs, where FLEETREC_DATA names them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario.sections import GlobalTimeSplit, LogFile, PerUserSplit, ReplayArrivals
from fleetrec.simulator.workload.arrivals import arrival_times, gap_summary, gaps_of
from fleetrec.simulator.workload.loading import load_log
from fleetrec.simulator.workload.splitting import split_log

# name: (users, items, events, clock), as published in the data's own description
SETS = {
    "interactions/ml-1m/interactions.csv.gz": (5398, 3416, 902_393, "absolute"),
    "interactions/yelp/interactions.csv.gz": (30_425, 20_027, 316_324, "absolute"),
    "interactions/beauty/interactions.csv.gz": (22_363, 12_101, 198_502, "absolute"),
    "interactions/toys/interactions.csv.gz": (19_412, 11_924, 167_597, "relative"),
    "interactions/foursquare-nyc/interactions.csv.gz": (1083, 5135, 147_938, "shared"),
    "raw/Beauty.txt": (22_363, 12_101, 198_502, "none"),
    "raw/LastFM.txt": (1090, 3646, 52_551, "none"),
    "raw/ml-latest-small/ratings.csv": (610, 9724, 100_836, "absolute"),
}
pytestmark = pytest.mark.data


@pytest.mark.parametrize("name", SETS)
def test_every_set_loads_whole_with_only_counted_repeats_missing(data_dir: Path, name: str) -> None:
    log = load_log(LogFile(path=str(data_dir / name)))
    users, items, events, clock = SETS[name]
    assert (log.n_users, log.n_items, log.clock) == (users, items, clock)
    assert log.n_events + log.problems.get("duplicates_dropped", 0) == events
    inside = np.diff(log.user_of_event) == 0
    assert (np.diff(log.times)[inside] >= 0).all()


@pytest.mark.parametrize("name", ["beauty", "yelp"])
def test_a_loaded_set_holds_the_rows_of_the_file(data_dir: Path, name: str) -> None:
    folder = data_dir / "interactions" / name
    log = load_log(LogFile(path=str(folder / "interactions.csv.gz"), items=str(folder / "items.csv")))
    frame = pd.read_csv(folder / "interactions.csv.gz").sort_values(["user_id", "timestamp"], kind="stable")
    assert (log.user_ids[log.user_of_event].astype(np.int64) == frame["user_id"].to_numpy()).all()
    assert (log.item_ids[log.items].astype(np.int64) == frame["item_id"].to_numpy()).all()
    assert (log.times == frame["timestamp"].to_numpy()).all()
    assert log.titles is not None
    assert log.attributes is not None
    described = pd.read_csv(folder / "items.csv", dtype=str, keep_default_na=False).set_index("item_id")
    assert log.titles[7] == described.loc[log.item_ids[7], "title"].strip()


def test_item_attributes_of_json_belong_to_the_lines_of_ids(data_dir: Path) -> None:
    raw = data_dir / "raw"
    log = load_log(LogFile(path=str(raw / "LastFM.txt"), items=str(raw / "LastFM_item2attributes.json")))
    assert log.attributes is not None
    assert sum(map(bool, log.attributes)) > 0.9 * log.n_items


def test_lines_of_ids_hold_the_same_sequences_as_the_timed_log(data_dir: Path) -> None:
    lines = load_log(LogFile(path=str(data_dir / "raw/Beauty.txt")))
    timed = load_log(LogFile(path=str(data_dir / "interactions/beauty/interactions.csv.gz")))
    assert (lines.offsets == timed.offsets).all()
    assert (lines.items == timed.items).mean() > 0.99


def test_movielens_last_events_are_19_seconds_apart_and_47_percent_of_training_events_are_later(
    data_dir: Path,
) -> None:
    log = load_log(LogFile(path=str(data_dir / "interactions/ml-1m/interactions.csv.gz")))
    split = split_log(log, PerUserSplit(last=20))
    assert split.future_share == pytest.approx(0.46, abs=0.015)
    assert f"{split.future_share:.1%}" in split.description
    stream = arrival_times(split, ReplayArrivals(), np.flatnonzero(split.streamed), None, Draws(1))
    assert gap_summary(gaps_of(stream))["median_gap_s"] == 19
    cut = split_log(log, GlobalTimeSplit())
    assert cut.counts["training_events"] / log.n_events == pytest.approx(0.8, abs=0.001)
    assert cut.counts["streamed"] + cut.counts["ended_before_cut"] + cut.counts["too_short"] == log.n_users
