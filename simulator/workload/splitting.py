"""What models may learn from and what is streamed: a cut in calendar time, or each user's last events.

Under `global_time` nothing that models see is later than anything streamed. Under `per_user` other users' training
events may be later than the stream they help to predict; that share is measured and named in every report.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.wording import counted
from fleetrec.models.sequences import TrainingSet
from fleetrec.models.sequences import training_set as make_training_set
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario.sections import GlobalTimeSplit, PerUserSplit
from fleetrec.simulator.workload.log import InteractionLog

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

_VALIDATION_SHARE = 5  # at most one training event in five is held out
_LARGEST_SHARE_OF_USERS = 4  # and at most one user in four lends events to validation


@dataclass(frozen=True)
class SplitLog:
    """A log and its split. Positions [history[u], length) of a streamed user are streamed; others stream nothing."""

    log: InteractionLog
    kind: Literal["global_time", "per_user"]
    min_history: int
    history: Ints  # [U] events known before the user's stream; the whole length where nothing is streamed
    train_end: Ints  # [U] events that models may learn from; at most history
    streamed: Flags  # [U]
    cut_time: float | None  # seconds; events at or after it are streamed
    future_share: float  # mean share of training events later than a streamed one; NaN where clocks cannot tell
    description: str
    counts: Mapping[str, int]  # users by what became of them, and events


def split_log(log: InteractionLog, section: GlobalTimeSplit | PerUserSplit) -> SplitLog:
    """Split `log`. InputError where the clock forbids it, or where nothing is left to learn from or to stream."""
    return _split_at(log, section) if isinstance(section, GlobalTimeSplit) else _split_last(log, section)


def _split_at(log: InteractionLog, section: GlobalTimeSplit) -> SplitLog:
    if not log.common_clock:
        why = "has no times" if log.clock == "none" else "counts each user's time from a start of its own"
        raise InputError(
            f"{log.source} {why}, so it cannot be cut at one moment; set workload.split={{kind: per_user}}"
        )
    cut = _cut_time(log, section.at)
    lengths, user = log.lengths, log.user_of_event
    before = np.bincount(user[log.times < cut], minlength=log.n_users)
    streamed = lengths > np.maximum(before, section.min_history)
    onboarded = streamed & (before < section.min_history)
    history = np.where(streamed, np.maximum(before, section.min_history), lengths)
    ended = before == lengths
    counts = {
        "users": log.n_users,
        "streamed": int(streamed.sum()),
        "onboarded_after_cut": int(onboarded.sum()),
        "ended_before_cut": int(ended.sum()),
        "too_short": int((~streamed & ~ended).sum()),
        "training_events": int(before.sum()),
        "streamed_events": int((lengths - history).sum()),
    }
    share = counts["training_events"] / log.n_events
    moment = _iso(cut) if log.clock == "absolute" else f"{cut:.0f} s after the start of the log"
    if not counts["training_events"]:
        raise InputError(f"no event of {log.source} is before the cut at {moment}; set a later workload.split.at")
    if not streamed.any():
        raise InputError(
            f"no user of {log.source} has events after the cut at {moment} and at least {section.min_history} before "
            "them; set an earlier workload.split.at, or a smaller workload.split.min_history"
        )
    description = (
        f"global_time: cut at {moment}, {share:.1%} of events before it; models learn from nothing later than the cut"
    )
    return SplitLog(log, "global_time", section.min_history, history, before, streamed, cut, 0.0, description, counts)


def _cut_time(log: InteractionLog, at: float | str) -> float:
    if not isinstance(at, str):
        if not 0 < at < 1:
            raise InputError(
                f"workload.split.at is {at:g}; give a share of events between 0 and 1, or an ISO time like 2019-09-01"
            )
        return float(np.sort(log.times)[int(at * log.n_events)])
    if log.clock != "absolute":
        raise InputError(f"workload.split.at is {at!r}, but {log.source} does not tell dates; give a share such as 0.8")
    try:
        moment = datetime.fromisoformat(at.strip())
    except ValueError as error:
        raise InputError(
            f"workload.split.at is {at!r}; give an ISO time like 2019-09-01T12:00:00Z, or a share of events such as 0.8"
        ) from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _split_last(log: InteractionLog, section: PerUserSplit) -> SplitLog:
    lengths = log.lengths
    streamed = lengths > section.min_history
    history = np.where(streamed, np.maximum(lengths - section.last, section.min_history), lengths)
    shortened = streamed & (lengths - history < section.last)
    counts = {
        "users": log.n_users,
        "streamed": int(streamed.sum()),
        "shortened": int(shortened.sum()),
        "too_short": int((~streamed).sum()),
        "training_events": int(history.sum()),
        "streamed_events": int((lengths - history).sum()),
    }
    if not streamed.any():
        raise InputError(
            f"no user of {log.source} has more than {counted(section.min_history, 'event')} (the longest has "
            f"{lengths.max()}); set a smaller workload.split.min_history"
        )
    future = _future_share(log, history)
    told = "the log's clocks cannot tell which are" if np.isnan(future) else f"{future:.1%} of training events are"
    description = (
        f"per_user: the last {counted(section.last, 'event')} of each user, after at least {section.min_history}; "
        f"{told} later than the stream they help to predict"
    )
    return SplitLog(log, "per_user", section.min_history, history, history, streamed, None, future, description, counts)


def _future_share(log: InteractionLog, history: Ints) -> float:
    """Over streamed events, the mean share of training events (of any user) that are later."""
    if not log.common_clock:
        return float("nan")
    trained = np.arange(log.n_events) - np.repeat(log.offsets[:-1], log.lengths) < np.repeat(history, log.lengths)
    past = np.sort(log.times[trained])
    return float(1 - np.searchsorted(past, log.times[~trained], side="right").mean() / len(past))


def leave_one_out(log: InteractionLog) -> tuple[SplitLog, TrainingSet]:
    """Each user's last event is streamed, the one before it validates, the rest is learnt from.

    Users of fewer than three events are learnt from only. InputError where all users are such.
    """
    lengths = log.lengths
    judged = lengths >= 3
    if not judged.any():
        raise InputError(f"no user of {log.source} has three events, as leave-one-out needs; use a longer log")
    history = np.where(judged, lengths - 1, lengths)
    counts = {"users": log.n_users, "streamed": int(judged.sum()), "too_short": int((~judged).sum())}
    description = "leave-one-out: the last event of each user tests, the one before it validates"
    future = _future_share(log, history)
    split = SplitLog(log, "per_user", 2, history, history, judged, None, future, description, counts)
    fit_end = np.where(judged, lengths - 2, lengths)
    return split, make_training_set(log.offsets, log.items, log.n_items, fit_end, history, log.attributes)


def training_set(split: SplitLog, seed: int, valid_users: int, valid_tail: int) -> TrainingSet:
    """What models may learn from, with the newest training events of some users held out for validation.

    Drawn by `seed` among users with more than `min_history` training events (two, where nobody has so many): at most
    `valid_users`, and at most a quarter of them. Each lends its last clamp(train_end // 5, 1, valid_tail) events.
    """
    train_end = split.train_end
    enough = np.flatnonzero(train_end > split.min_history)
    eligible = enough if len(enough) else np.flatnonzero(train_end >= 2)
    fit_end = train_end.copy()
    if len(eligible):
        number = min(valid_users, max(1, len(eligible) // _LARGEST_SHARE_OF_USERS))
        chosen = eligible[Draws(seed).first_of(number, len(eligible), "validation users")]
        fit_end[chosen] -= np.clip(train_end[chosen] // _VALIDATION_SHARE, 1, valid_tail)
    log = split.log
    return make_training_set(log.offsets, log.items, log.n_items, fit_end, train_end, log.attributes)
