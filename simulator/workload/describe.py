"""What a log holds, in figures: the answer of `data describe`, to read before writing a scenario."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.core.notes import Note, data_of, note
from fleetrec.simulator.scenario.sections import GlobalTimeSplit, PerUserSplit
from fleetrec.simulator.workload.log import InteractionLog
from fleetrec.simulator.workload.splitting import split_log
from fleetrec.simulator.workload.time_forms import date_in_words, in_words

_DAY_S = 86_400.0


def describe(log: InteractionLog) -> dict[str, Any]:
    """JSON-able facts of a log. Shares are of 1, gaps in seconds (None where there are no times), `splits` tells for
    each kind of split with its defaults what it leaves, or why it is refused."""
    user = log.user_of_event
    same_user = np.diff(user) == 0
    gaps = np.diff(log.times)[same_user] if log.clock != "none" else np.empty(0)
    popularity = np.sort(np.bincount(log.items, minlength=log.n_items))[::-1]
    head = max(1, log.n_items // 100)
    pairs = np.sort(user * log.n_items + log.items)
    n_pairs = 1 + int(np.count_nonzero(np.diff(pairs)))
    return {
        "source": log.source,
        "read": _read(log, gaps),
        "users": log.n_users,
        "items": log.n_items,
        "events": log.n_events,
        "clock": log.clock,
        "span": _span(log),
        "events_per_user": {**_percentiles(log.lengths), "max": int(log.lengths.max())},
        "gap_s": _percentiles(gaps),
        "zero_gap_share": float((gaps == 0).mean()) if len(gaps) else None,
        "repeat_share": 1 - n_pairs / log.n_events,
        "share_of_most_popular_1_percent": float(popularity[:head].sum() / log.n_events),
        "items_with_title": sum(map(bool, log.titles)) if log.titles else 0,
        "items_with_attributes": sum(map(bool, log.attributes)) if log.attributes else 0,
        "splits": {section.kind: _usable(log, section) for section in (GlobalTimeSplit(), PerUserSplit())},
        "problems": dict(log.problems),
        "notes": data_of(*log.notes, *_advice(log, 1 - n_pairs / log.n_events, gaps)),
        "content_hash": log.content_hash,
    }


def _read(log: InteractionLog, gaps: NDArray[np.float64]) -> dict[str, Any] | None:
    """How the file was read, how that is known, what it comes to in words, and what says it; None for a made log."""
    reading = log.reading
    if reading is None:
        return None
    dated = log.clock == "absolute"
    rows = [
        f"{user} had {item}"
        + (f" on {date_in_words(moment)}" if dated else f" at {moment:g} s" if reading.timed else "")
        for user, item, moment in reading.first_rows
        if not np.isnan(moment)  # a row that was left out
    ]
    words: dict[str, Any] = {"rows": reading.rows, "first_rows": rows, "times": reading.times}
    if dated:
        words |= {"first": date_in_words(float(log.times.min())), "last": date_in_words(float(log.times.max()))}
    elif reading.timed:
        words["from_first_to_last"] = in_words(float(np.ptp(log.times)))
    if len(gaps):
        words["median_gap"] = in_words(float(np.median(gaps)))
    return {
        **reading.told,
        "columns": {role: f"{name} ({reading.known_by[role]})" for role, name in reading.columns.items()},
        **words,
        "to_say_so": reading.said,
    }


def _percentiles(values: NDArray[Any]) -> dict[str, float | None]:
    if not len(values):
        return {"p5": None, "p50": None, "p95": None}
    quantiles = np.percentile(values, (5, 50, 95))
    return {f"p{q}": float(value) for q, value in zip((5, 50, 95), quantiles, strict=True)}


def _span(log: InteractionLog) -> dict[str, Any] | None:
    if log.clock == "none":
        return None
    first, last = float(log.times.min()), float(log.times.max())
    days = {"days": (last - first) / _DAY_S}
    if log.clock != "absolute":
        return days
    start, end = (datetime.fromtimestamp(moment, UTC).isoformat() for moment in (first, last))
    return {"start": start, "end": end, **days}


def _usable(log: InteractionLog, section: GlobalTimeSplit | PerUserSplit) -> dict[str, Any]:
    try:
        split = split_log(log, section)
    except InputError as error:
        return {"refused": str(error)}
    return {
        "description": split.description,
        "streamed_user_share": split.counts["streamed"] / log.n_users,
        "streamed_event_share": split.counts["streamed_events"] / log.n_events,
        "future_share": None if np.isnan(split.future_share) else split.future_share,
        "counts": dict(split.counts),
    }


def _advice(log: InteractionLog, repeat_share: float, gaps: NDArray[np.float64]) -> list[Note]:
    advice = []
    if repeat_share > 0.2:
        said = "{share:.0%} of events repeat an item of the same user: set workload.exclude_seen=false"
        advice.append(note("repeats", said, share=repeat_share))
    if log.clock == "none":
        said = "there is nothing to replay: set workload.arrivals to poisson, diurnal or sessions"
        advice.append(note("nothing_to_replay", said))
    elif len(gaps) and (np.mod(log.times, _DAY_S) == 0).all():
        said = "times are whole days: generated arrivals (poisson, sessions) tell more than replayed ones"
        advice.append(note("whole_days", said))
    elif len(gaps) and (gaps == 0).mean() > 0.1:
        said = (
            "{share:.0%} of gaps are zero: events of one time stamp are one group, "
            "and part of what looks like freshness may be the order in which items were shown"
        )
        advice.append(note("zero_gaps", said, share=float((gaps == 0).mean())))
    return advice
