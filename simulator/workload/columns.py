"""Which columns of a table hold users, items and times: by their names, or by what they hold where none are given."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.core.notes import Note, note

Role = Literal["user", "item", "time"]

# Names are compared in lower case without anything but letters and digits; earlier ones are preferred.
_NAMES: Mapping[Role, tuple[str, ...]] = {
    "user": (
        *("userid", "user", "uid", "username", "customerid", "customer", "reviewerid", "visitorid", "memberid"),
        *("clientid", "accountid", "deviceid", "sessionid", "session"),
    ),
    "item": (
        *("itemid", "item", "iid", "movieid", "movie", "productid", "product", "parentasin", "asin", "articleid"),
        *("trackid", "songid", "artistid", "bookid", "isbn", "newsid", "videoid", "businessid", "venueid", "poiid"),
        *("contentid", "sku", "poi"),
    ),
    "time": (
        *("timestamp", "time", "ts", "unixtimestamp", "unixreviewtime", "datetime", "eventtime", "utctime"),
        *("createdat", "timestampms", "timems", "date", "when"),
    ),
}
_EXACT = ("timestampisexact", "timeisexact")  # whether a row's time is as it happened, or was filled in later
_RATINGS = ("rating", "ratings", "stars", "score", "overall")
ITEM_NAMES = _NAMES["item"]
WANTED = "user_id,item_id,timestamp"
_EPOCH_SECONDS = 1e8  # numbers from here on can be seconds since 1970; ratings and counts cannot


@dataclass(frozen=True)
class Columns:
    """Places of the columns in use; `time` is None where the table has none."""

    user: int
    item: int
    time: int | None
    header: bool  # the first line holds names, not data
    notes: tuple[Note, ...]
    exact: int | None = None  # which times are exact

    @property
    def in_use(self) -> tuple[int, ...]:
        """The places of all columns that are read."""
        return tuple(place for place in (self.user, self.item, self.time, self.exact) if place is not None)


def plain_name(name: str) -> str:
    """A column's name without case, punctuation and the `:type` of RecBole's files."""
    return re.sub(r"[^a-z0-9]", "", name.split(":")[0].lower())


def find_column(names: Sequence[str], wanted: Sequence[str], where: str) -> int | None:
    """The place of the first of the `wanted` plain names among `names`; None: none of them. InputError: twice."""
    plain = [plain_name(name) for name in names]
    for name in wanted:
        if plain.count(name) > 1:
            raise InputError(f"{where}: two columns are called {names[plain.index(name)]!r}; rename or remove one")
        if name in plain:
            return plain.index(name)
    return None


def named_columns(names: Sequence[str], where: str) -> Columns:
    """Columns of a table with names. InputError where the user or the item column cannot be told."""
    places = {role: find_column(names, _NAMES[role], where) for role in _NAMES}
    user, item, time = places["user"], places["item"], places["time"]
    if user is None or item is None:
        missing = "users" if user is None else "items"
        if "itemidlist" in map(plain_name, names):
            raise InputError(f"{where}: holds lists of items per row; give one row an interaction: {WANTED}")
        raise InputError(f"{where}: no column for {missing} among {_listed(names)}; name the columns {WANTED}")
    exact = find_column(names, _EXACT, where) if time is not None else None
    notes = []
    if time is None:
        notes.append(note("no_times", "there is no time column: the order of the rows is taken as the order in time"))
    unused = [name for place, name in enumerate(names) if place not in (user, item, time, exact) and name.strip()]
    if unused:
        notes.append(note("columns_unused", "columns not used: {columns}", columns=list(map(_printable, unused))))
    if any(plain_name(name) in _RATINGS for name in unused):
        notes.append(note("ratings_ignored", "ratings are ignored: every row is one interaction"))
    return Columns(user, item, time, True, tuple(notes), exact)


def columns_of(first: Sequence[str], where: str) -> Columns:
    """Columns of a text table from the cells of its first line, which may be a header or data."""
    known = {name for names in _NAMES.values() for name in names}
    if any(plain_name(cell) in known for cell in first):
        return named_columns(first, where)
    time = next((place for place in (2, 3) if place < len(first) and _is_time(first[place])), None)
    digits = any(character.isdigit() for cell in first for character in cell)
    if time is None and not (len(first) == 2 and digits):
        raise InputError(
            f"{where}: cannot tell which columns of {_listed(first)} hold users, items and times; "
            f"name them in the first line: {WANTED}"
        )
    taken = (
        "user, item" if time is None else "user, item, time" if time == 2 else "user, item, a rating (ignored), time"
    )
    return Columns(
        0, 1, time, False, (note("no_header", "there is no header: columns are taken as {taken}", taken=taken),)
    )


def _is_time(cell: str) -> bool:
    try:
        return float(cell) >= _EPOCH_SECONDS
    except ValueError:
        pass
    try:
        datetime.fromisoformat(cell.strip())
    except ValueError:
        return False
    return True


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(_printable, names[:8])) + (", ..." if len(names) > 8 else "")


def _printable(name: str) -> str:
    return repr(name)[1:-1][:30]
