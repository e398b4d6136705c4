"""The built-in world: users with a long-term taste, and sessions in which an intent goes through series of items.

Every event follows the intent with probability `freshness` and the taste otherwise. Users are simulated side by side,
one step of all their logs at a time. Rules, formulas and keys: docs/background/synthetic_world.md.
"""

from typing import Any

import numpy as np
import pandas as pd
import scipy  # loads optimize and special where they are used: most runs need neither
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from fleetrec.models.runtime.artifacts import ArtifactStore, content_hash
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario.sections import SyntheticWorld
from fleetrec.simulator.workload.log import InteractionLog
from fleetrec.simulator.workload.synthetic_catalogue import Catalogue, make_catalogue, titles
from fleetrec.simulator.workload.synthetic_walk import Walk

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

FORMAT = 3  # of the artifact, the times and the walk: raise it when one changes
START_S = 1_704_067_200.0  # 2024-01-01T00:00:00Z
_DAY_S = 86_400.0
_LENGTH_SPREAD = 0.5  # log-normal sigma of a user's number of events
_GAP_SPREAD = 1.0  # log-normal sigma of pauses inside a session
_BREAK_S = 2_400.0  # shortest pause between two sessions
_FULLEST = 0.8  # largest share of the calendar that a user's sessions and the breaks after them take
_BLOCK_CELLS = 16_000_000  # users x items of one block's table of seen items, in bytes
_ARTIFACT, _FILE = "synthetic_world", "events.safetensors"


def synthetic_log(section: SyntheticWorld, store: ArtifactStore | None = None) -> InteractionLog:
    """The log of a world: a pure function of `section` (its seed included), in absolute time from 2024-01-01 UTC.

    Users and items are labelled u0.. and i0..; items carry titles and attributes (genre, style, series, part, maker).
    What the users had, and when, is kept in `store`, where one is given.
    """
    draws, catalogue = Draws(section.seed), catalogue_of(section)
    key = {"format": FORMAT, "world": section.model_dump(mode="json")}
    folder = store.open(_ARTIFACT, key) if store is not None else None
    if folder is not None:
        events = load_file(folder / _FILE)
    else:
        events = _events(section, catalogue, draws)
        if store is not None:
            with store.creating(_ARTIFACT, key) as temporary:
                save_file(events, temporary / _FILE)
    offsets, items, times = (events[name] for name in ("offsets", "items", "times"))
    attributes = catalogue.attributes()
    return InteractionLog(
        user_ids=np.array([f"u{u}" for u in range(section.users)], dtype=object),
        item_ids=np.array([f"i{i}" for i in range(section.items)], dtype=object),
        offsets=offsets,
        items=items,
        times=times,
        clock="absolute",
        titles=titles(attributes),
        attributes=attributes,
        problems={},
        source="synthetic",
        content_hash=content_hash("synthetic world", offsets, items, times, attributes),
    )


def _events(section: SyntheticWorld, catalogue: Catalogue, draws: Draws) -> dict[str, NDArray[Any]]:
    """Where each user's events begin [U+1], and the item and time of every event [E]."""
    users = np.arange(section.users)
    spread = np.exp(_LENGTH_SPREAD * draws.normal("log length", users) - _LENGTH_SPREAD**2 / 2)
    lengths = np.maximum(1, np.rint(section.events_per_user * spread)).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    user = np.repeat(users, lengths)
    step = np.arange(offsets[-1]) - offsets[user]
    starts = (step == 0) | (draws.uniform("session start", user, step) < 1 / section.session_length)
    times, starts = _event_times(section, offsets, user, step, starts, draws)
    del user, step
    return {"offsets": offsets, "items": _walked(section, catalogue, offsets, starts, draws), "times": times}


def catalogue_of(section: SyntheticWorld) -> Catalogue:
    """The items of a world."""
    how = section.items, section.genres, section.styles, section.series_length, section.popularity_exponent
    return make_catalogue(*how, Draws(section.seed))


def _walked(
    section: SyntheticWorld, catalogue: Catalogue, offsets: Ints, starts: Flags, draws: Draws
) -> NDArray[np.int32]:
    """The items of all events [E]; `starts` [E] are the first events of sessions."""
    items = np.empty(offsets[-1], dtype=np.int32)
    by_length = np.argsort(-np.diff(offsets), kind="stable")
    block = int(np.clip(_BLOCK_CELLS // section.items, 64, 16_384))
    for begin in range(0, section.users, block):
        Walk(section, catalogue, by_length[begin : begin + block], draws).run(offsets, starts, items)
    return items


def _event_times(
    section: SyntheticWorld, offsets: Ints, user: Ints, step: Ints, starts: Flags, draws: Draws
) -> tuple[Floats, Flags]:
    """Seconds since 1970 of every event [E], and which events begin sessions once each user's are in order of time.

    Sessions by the daily cycle, log-normal pauses inside them, on a calendar whose end is joined to its beginning: what
    would happen after the end happens as much after the beginning, so that the rate is the law's at both.
    """
    span_s = section.days * _DAY_S
    session = np.cumsum(starts) - 1
    owner, first = user[starts], np.flatnonzero(starts)
    moments = _daily_cycle(section, draws.uniform("session moment", owner, step[starts]), span_s)
    moments = moments[np.lexsort((moments, owner))]

    pauses = section.event_gap * np.exp(_GAP_SPREAD * draws.normal("pause", user, step))
    pauses[starts] = 0.0
    elapsed = np.cumsum(pauses)
    inside = elapsed - elapsed[first][session]
    taken = np.append(inside[first[1:] - 1], inside[-1:]) + _BREAK_S
    haste = np.maximum(1.0, np.bincount(owner, taken) / (_FULLEST * span_s))  # of a user too busy for the calendar
    taken, inside = taken / haste[owner], inside / haste[user]

    # A session waits for the user's previous one: start_i = max(moment_i, start_{i-1} + taken_{i-1}). With busy_i the
    # sum of what earlier sessions take, start_i - busy_i is the running maximum of moment_i - busy_i. The first session
    # waits for the last one, which may still be under way when the calendar ends.
    by_user = pd.Series(taken).groupby(owner)
    busy = by_user.cumsum().to_numpy() - taken
    latest = pd.Series(moments - busy).groupby(owner).cummax()
    left_over = (latest.groupby(owner).last() + by_user.sum()).to_numpy() - span_s
    begun = np.maximum(latest.to_numpy(), left_over[owner]) + busy

    times = np.mod(begun[session] + inside, span_s)
    order = np.lexsort((times, user))
    starts = starts[order]
    starts[offsets[:-1]] = True  # a session that the calendar's end cuts in two is two
    return START_S + np.floor(times[order] * 1000) / 1000, starts  # whole ms


def _daily_cycle(section: SyntheticWorld, uniform: Floats, span_s: float) -> Floats:
    """Moments in [0, span_s) whose rate over the day is a von Mises curve with the section's peak."""
    if section.peak_to_mean == 1:
        return uniform * span_s
    i0e = scipy.special.i0e  # i0e(k) = I0(k) exp(-k)
    sharpness = scipy.optimize.brentq(lambda k: 1 / i0e(k) - section.peak_to_mean, 0, 100)
    grid = np.linspace(0, span_s, max(2, int(span_s / 300) + 1))
    rate = np.exp(sharpness * np.cos(2 * np.pi * (grid / 3600 - section.peak_hour) / 24))
    cumulative = np.concatenate([[0.0], np.cumsum((rate[1:] + rate[:-1]) / 2)])
    return np.interp(uniform, cumulative / cumulative[-1], grid)
