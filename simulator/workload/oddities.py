"""What looks wrong about a whole log, and in no row alone: its dates, its pauses, a user who is everybody."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.core.notes import Note, note
from fleetrec.simulator.scenario.sections.workload import LogFile
from fleetrec.simulator.workload.columns import LogPlaces
from fleetrec.simulator.workload.labels import Labels
from fleetrec.simulator.workload.log import InteractionLog
from fleetrec.simulator.workload.time_forms import date_in_words, in_words, plausible
from fleetrec.simulator.workload.times import ParsedTimes

_MANY_USERS = 10
_MANY_TIMES = 2  # the rows of the next id
_NOBODY = (
    *("unknown", "anonymous", "anon", "guest", "notset", "nobody", "default", "empty", "other", "others", "dummy"),
    *("unbekannt", "inconnu", "desconocido", "test", "xxx", "notavailable", "noid", "visitor"),
)
_SHORTEST_GAP_S, _LONGEST_GAP_S = 1e-3, 10 * 365.25 * 86400.0


def odd_dates(path: Path, places: LogPlaces, times: ParsedTimes, section: LogFile) -> list[Note]:
    """InputError where dates that the file alone tells lie outside a log's life; a note where the user says their "
    "form."""
    if not times.dated:
        return []
    middle = float(np.nanmedian(times.seconds))
    if plausible(np.array([middle])).all():
        return []
    around = date_in_words(middle)
    if section.time.unit != "auto":
        told = "dates lie around {around}: is {unit} what the times are?"
        return [note("odd_dates", told, around=around, unit=section.time.unit)]
    columns = " and ".join(repr(column.name) for column in places.times)
    raise InputError(
        f"{path}: column {columns} holds dates around {around}, outside of 1995 to next year; if that is right, "
        "say what "
        f"they are: time: {{unit: {times.unit}}} (--time {times.unit})"
    )


def odd_users(users: Labels) -> list[Note]:
    """A note where one of many users has most of the rows: an id for everybody who is not known."""
    counts = np.bincount(users.codes)
    if len(counts) < _MANY_USERS or counts.max() <= len(users.codes) / 2:
        return []
    told = "user {user} has {share:.0%} of all rows: does it stand for everybody who is not known? where leaves it out"
    share = float(counts.max() / len(users.codes))
    return [note("one_user_has_most", told, user=str(users.texts[int(counts.argmax())]), share=share)]


def nobody(ids: Labels, role: str) -> list[Note]:
    """A note where an id is a word for one that is not known, or nought with far more rows than another."""
    counts = np.bincount(ids.codes, minlength=len(ids.texts))
    second = int(np.partition(counts, -2)[-2]) if len(counts) > 1 else 0
    plain = pc.replace_substring_regex(pc.utf8_lower(ids.texts), r"[^\pL\pN]", "")
    words = pc.is_in(plain, value_set=pa.array(_NOBODY))
    noughts = pc.match_substring_regex(plain, "^0+$")
    found = words.to_numpy(zero_copy_only=False)
    found |= noughts.to_numpy(zero_copy_only=False) & (counts > _MANY_TIMES * second)
    found &= ~ids.unusable
    if not found.any():
        return []
    told = "{role} {id} has {share:.0%} of all rows: does it stand for those that are not known? where leaves it out"
    most = int(np.argmax(np.where(found, counts, -1)))
    share = float(counts[most] / len(ids.codes))
    return [note("stands_for_nobody", told, role=role, id=str(ids.texts[most]), share=share)]


def odd_gaps(log: InteractionLog) -> list[Note]:
    """A note where users pause for less than a millisecond, or more than ten years, in the median."""
    gaps = np.diff(log.times)[np.diff(log.user_of_event) == 0]
    gaps = gaps[gaps > 0]
    middle = float(np.median(gaps)) if len(gaps) else 1.0
    if _SHORTEST_GAP_S <= middle <= _LONGEST_GAP_S:
        return []
    told = "the median gap between two events of a user is {gap}: is the unit of the times right? say it: time.unit"
    return [note("odd_gaps", told, gap=in_words(middle))]
