"""A user's own LLM's answers as candidate lists, and a check of such a table for gaps and leaks."""

from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.candidates import CandidateLists, Floats
from fleetrec.models.llm.table_reading import AnswerTable, LabelledLog, read_table
from fleetrec.models.runtime.artifacts import content_hash
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.ragged import ragged

Missing = Literal["error", "previous", "fail_request"]

_USUAL_MAX_INVALID = 0.05  # above which a scenario that does not say otherwise refuses the table
_TAIL = 20  # a user's newest events, which a per-user split streams
_CLEAR = 4.0  # standard errors from which a difference of two recalls is no accident
_JUMP = 2.5  # times the recall of the item after the next from which the next one's is suspicious


class TableConfig(Protocol):
    """Which table, and how strict; the `llm.candidates` section of a scenario has these fields."""

    @property
    def path(self) -> str: ...
    @property
    def missing(self) -> Missing: ...
    @property
    def max_invalid(self) -> float: ...


class TableCandidates:
    """Candidate lists of a table."""

    def __init__(self, config: TableConfig, log: LabelledLog, list_length: int):
        """`missing`: what a query without a list of its own gets: an error, the user's newest older list, or none.

        Raises InputError where unknown items, or rows of unknown users, are a larger share than `max_invalid`.
        """
        self.name = "table"
        self.list_length = list_length
        self._path, self._missing, self._user_ids = Path(config.path).expanduser(), config.missing, log.user_ids
        self.table = read_table(self._path, log)
        _refuse_strangers(self.table, self._path, config.max_invalid)
        self._longest = int(np.diff(log.offsets).max(initial=0)) + 2
        self._keys = self.table.users * self._longest + self.table.as_of + 1
        table = self.table
        arrays = [table.users, table.as_of, table.start, table.items, table.extras]
        self.content_hash = content_hash("table", arrays, list_length, config.missing, log.offsets, log.items)

    def lists(self, users: NDArray[np.int64], as_of: NDArray[np.int64]) -> CandidateLists:
        """See CandidateSource.lists. Under `previous`, `as_of` of the answer says how old the list is that stands in.

        Raises InputError, under `error`, where a list is missing.
        """
        wanted = users * self._longest + as_of + 1
        at = np.searchsorted(self._keys, wanted, side="right") - 1
        inside = np.maximum(at, 0)
        if len(self._keys) == 0:
            found = np.zeros(len(users), dtype=bool)
        elif self._missing == "previous":
            found = (at >= 0) & (self.table.users[inside] == users)
        else:
            found = (at >= 0) & (self._keys[inside] == wanted)
        if self._missing == "error" and not found.all():
            self._complain(users[~found], as_of[~found])
        chosen = at[found]
        items = np.full((len(users), self.list_length), -1, dtype=np.int32)
        place = self.table.start[chosen][:, None] + np.arange(self.list_length)[None, :]
        within = place < self.table.start[chosen + 1][:, None]
        items[found] = np.where(within, self.table.items[np.where(within, place, 0)] if len(chosen) else -1, -1)
        seen = as_of.copy()
        seen[found] = self.table.as_of[chosen]
        extras: dict[str, Floats] = {}
        for name, values in self.table.extras.items():
            extras[name] = np.full(len(users), np.nan)
            extras[name][found] = values[chosen]
        return CandidateLists(items=items, found=found, as_of=seen, **extras)

    def _complain(self, users: NDArray[np.int64], as_of: NDArray[np.int64]) -> None:
        raise InputError(
            f"{self._path}: no list for user {self._user_ids[users[0]]!r} as of {as_of[0]} (and {len(users) - 1} other "
            "lists of the same batch); add the rows, or set llm.candidates.missing to previous or fail_request"
        )


def check_table(path: Path | str, log: LabelledLog) -> dict[str, Any]:
    """What a table holds and whether its lists look as if they had seen too much or too little; JSON-able.

    Recalls are shares of lists that hold the item at as_of + 0, 1, 2 of the user's log (0: just seen; 1: to be
    predicted), over the lists for which those three exist. Raises InputError as `read_table` does.
    """
    table = read_table(path, log)
    length = np.diff(log.offsets)[table.users]
    usable = (table.as_of >= 0) & (table.as_of <= length - 2)
    per_user = np.diff(log.offsets) - 1
    sizes = table.lengths
    recalls, judged = _recalls(table, log)
    quantiles = np.quantile(sizes, [0.0, 0.5, 1.0]).astype(int).tolist() if len(sizes) else [0, 0, 0]
    return {
        **table.counts,
        "lists": len(table.users),
        "users": len(np.unique(table.users)),
        "list_length": dict(zip(("min", "p50", "max"), quantiles, strict=True)),
        "invalid_share": (table.counts["unknown_items"] + table.counts["repeated_items"]) / max(1, len(table.items)),
        "coverage": {
            "log": float(usable.sum() / max(1, per_user.sum())),
            f"last_{_TAIL}": float(
                (usable & (table.as_of >= length - 1 - _TAIL)).sum() / max(1, np.minimum(per_user, _TAIL).sum())
            ),
        },
        "lists_judged": judged,
        "recall": recalls,
        **({"as_of_time": table.times} if table.times else {}),
        "verdict": _strangers(table, _USUAL_MAX_INVALID) or _repeats(table) or _verdict(recalls, judged),
    }


def _recalls(table: AnswerTable, log: LabelledLog) -> tuple[dict[str, dict[str, float]], int]:
    judged = np.flatnonzero((table.as_of >= 0) & (table.as_of + 2 < np.diff(log.offsets)[table.users]))
    newest = log.offsets[table.users[judged]] + table.as_of[judged]
    list_of, place = ragged(table.lengths)
    wanted = np.full((3, len(table.lengths)), -2)
    for ahead in range(3):
        wanted[ahead, judged] = log.items[newest + ahead]
    names = ("as_of", "as_of+1", "as_of+2")
    result: dict[str, dict[str, float]] = {name: {} for name in names}
    for ahead, name in enumerate(names):
        hit_places = place[table.items == wanted[ahead][list_of]]  # at most one a list: repeats are invalid
        for k in (10, 50):
            result[name][f"recall@{k}"] = float((hit_places < k).sum() / max(1, len(judged)))
    return result, len(judged)


def _verdict(recalls: dict[str, dict[str, float]], judged: int) -> str:
    seen, following, later = (recalls[name]["recall@10"] for name in ("as_of", "as_of+1", "as_of+2"))
    if judged < 30:
        return f"too few lists ({judged}) with two later events to judge"
    if _clearly_above(later, following, judged):
        return (
            "suspicious: the item at as_of+2 is found more often than the one at as_of+1; the lists seem to be made "
            "one interaction later than as_of says (a leak), so as_of may have to be 1 higher"
        )
    if _clearly_above(following, later, judged) and following > _JUMP * later:
        return (
            f"suspicious: the item at as_of+1 is found {following:.3f} of the time and the one at as_of+2 {later:.3f}; "
            "unless the log is that sequential, the lists have seen the item they are to predict (a leak)"
        )
    if _clearly_above(seen, following, judged):
        return (
            "no leak, but the item at as_of itself is found more often than the next one: the lists were made before "
            "it (as_of may have to be 1 lower), or they offer what the user has just had"
        )
    return "no sign that as_of is off by one"


def _clearly_above(high: float, low: float, n: int) -> bool:
    error = np.sqrt((high * (1 - high) + low * (1 - low)) / n)
    return bool(high - low > _CLEAR * error)


def _strangers(table: AnswerTable, max_invalid: float) -> str | None:
    """What is wrong where more than a share of the rows name users or items that the log lacks."""
    for share, text, column in (
        (
            table.counts["unknown_user_rows"] / table.counts["rows"],
            "rows name users that the log does not have",
            "user",
        ),
        (table.counts["unknown_items"] / max(1, len(table.items)), "items are not in the log", "item"),
    ):
        if share > max_invalid:
            return (
                f"{share:.1%} of its {text}, above max_invalid ({max_invalid:.1%}); check that {column}_id holds the "
                "log's own labels, or raise llm.candidates.max_invalid"
            )
    return None


def _repeats(table: AnswerTable) -> str | None:
    """What to say where more than the usual share of a table's items stand a second time in their list."""
    share = table.counts["repeated_items"] / max(1, len(table.items))
    if share <= _USUAL_MAX_INVALID:
        return None
    return (
        f"{share:.1%} of its items stand in their list already, higher up, and are invalid; keep each item once a list"
    )


def _refuse_strangers(table: AnswerTable, path: Path | str, max_invalid: float) -> None:
    problem = _strangers(table, max_invalid)
    if problem is not None:
        raise InputError(f"{path}: {problem}")
