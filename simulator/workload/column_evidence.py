"""Which columns of a log hold users, items and times, and of a table of items ids and titles, where names do not tell.

What the cells hold is the evidence: dates, ids that recur, ids that the other table has. It is for `init`, which
shows it and writes it down; a run is told its columns, or knows them by their names.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.scenario.sections.workload import ItemFile, LogFile
from fleetrec.simulator.scenario.text_files import locate
from fleetrec.simulator.workload.columns import Knowing, knows_log, plain_name
from fleetrec.simulator.workload.item_table import open_items
from fleetrec.simulator.workload.recipe import with_recipe
from fleetrec.simulator.workload.tables.opening import open_table
from fleetrec.simulator.workload.tables.table import Column, Reader, Table, reader, told_by
from fleetrec.simulator.workload.time_forms import PLAUSIBLE, fitting_forms

_SAMPLE_ROWS = 200_000
_SAMPLE_IDS = 2_000
_MOSTLY = 0.9  # of the cells, so that junk does not hide what a column is
_FEW = 20  # different values, and fewer, are a category
_MOST_SHOWN = 5  # values of a category
_LONG = 60  # characters of cells that are text to read
_LIKE = {
    "user": "user account konto kunde client customer member visitor person nutzer benutzer utilis usuari who wer "
    "profile player viewer reader subscriber device session пользов 用户 ユーザ".split(),
    "item": "item content inhalt artikel article product produkt film movie video track song book game show title "
    "listing venue place asin sku media what was contenu 商品 物品".split(),
    "title": "title titel titre titulo name label headline bezeichnung nom nombre назв 标题 タイトル".split(),
    "attributes": "genre categor kateg tag attribut class type typ topic thema".split(),
}


@dataclass(frozen=True)
class Told:
    """A column for a role, why, and which others might be meant."""

    role: str
    column: str | int
    why: str
    others: tuple[str | int, ...] = ()


@dataclass(frozen=True)
class Category:
    """A column of few different texts, by which rows may be chosen."""

    column: str
    shares: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Evidence:
    """What two tables show."""

    log: list[Told] = field(default_factory=list)
    items: list[Told] = field(default_factory=list)
    categories: list[Category] = field(default_factory=list)
    header: bool = False
    """whether the first line holds names, though what follows it is not of one kind"""


@dataclass(frozen=True)
class _Seen:
    """A column and what its cells are."""

    column: Column
    called: str | int
    rows: int
    kinds: int
    dated: float  # shares of the cells
    numbers: float
    fractions: float
    length: float

    @property
    def is_id(self) -> bool:
        """Whether its values recur, and are neither a category nor measured."""
        recur = _FEW < self.kinds < _MOSTLY * self.rows
        return recur and self.dated < _MOSTLY and self.fractions < 1 - _MOSTLY and self.length < _LONG

    def is_like(self, role: str) -> bool:
        """Whether its name has a word of the role in it."""
        name = plain_name(self.column.name) or self.column.name.lower()
        return any(word in name for word in _LIKE[role])


def column_evidence(section: LogFile) -> Evidence:
    """What the cells of a log, and of its table of items, tell. InputError where no column can be what is needed."""
    section = with_recipe(section)
    path = locate(section.path)
    with reader() as opened, told_by(path, "a table of interactions"):
        table = open_table(opened, path, section, knows_log(section.columns))
        seen = _seen(opened, table)
        header = section.header == "auto" and not table.named and _names_above(opened, table, seen)
        if header:
            told = section.model_copy(update={"header": "first"})
            table = open_table(opened, path, told, knows_log(section.columns))
            seen = _seen(opened, table)
        beside, described = _items(opened, section)
        log, joined = _log_columns(opened, table, seen, beside, described)
        items = _item_columns(described, joined) if described else []
        used = {told.column for told in log}
        rest = [one for one in seen if one.called not in used and 1 < one.kinds <= _FEW and not one.fractions]
        return Evidence(log, items, [_category(opened, table, one) for one in rest if not one.dated], header)


def _items(opened: Reader, section: LogFile) -> tuple[Table | None, list[_Seen]]:
    if section.items is None:
        return None, []
    form = ItemFile(path=section.items) if isinstance(section.items, str) else section.items
    path = locate(form.path)
    with told_by(path, "a table of items"):
        known = [*_LIKE["title"], *_LIKE["attributes"], "id", "itemid"]
        table = open_items(opened, path, form, Knowing(known, form.columns.model_dump()), section.encoding)
        return table, _seen(opened, table)


def _seen(opened: Reader, table: Table) -> list[_Seen]:
    found = []
    for place, column in enumerate(table.columns, start=1):
        text = f"(SELECT {column.text} AS t FROM {table.source} LIMIT {_SAMPLE_ROWS}) WHERE t <> ''"
        epoch = " OR ".join(
            f"try_cast(t AS DOUBLE) BETWEEN {PLAUSIBLE[0] * scale} AND {PLAUSIBLE[1] * scale}"
            for scale in (1, 1e3, 1e6, 1e9)
        )
        rows, kinds, stamps, epochs, fractions, length, marked, numbers = opened.row(
            "SELECT count(*), approx_count_distinct(t), count(*) FILTER (regexp_matches(t, '^\\d{4}-\\d\\d?-\\d\\d?') "
            f"AND try_cast(t AS TIMESTAMPTZ) IS NOT NULL), count(*) FILTER ({epoch}), count(*) FILTER ("
            "try_cast(t AS DOUBLE) <> floor(try_cast(t AS DOUBLE))), coalesce(avg(length(t)), 0), count(*) FILTER ("
            f"try_cast(t AS DOUBLE) IS NULL AND regexp_matches(t, '\\d[-/.: ]+\\w+[-/.: ]+\\d')), "
            f"count(try_cast(t AS DOUBLE)) FROM {text}"
        )
        rows = rows or 1
        dated = max(stamps, epochs) / rows
        if (
            not dated
            and column.is_text
            and marked >= _MOSTLY * rows
            and fitting_forms(opened, table.source, column.text)
        ):
            dated = 1.0
        called = column.name if table.named else place
        found.append(_Seen(column, called, rows, kinds, dated, numbers / rows, fractions / rows, length))
    return found


def _names_above(opened: Reader, table: Table, seen: Sequence[_Seen]) -> bool:
    """Whether the first line has words where nearly all others have numbers or dates."""
    cells = [
        str(cell)
        for cell in opened.row(f"SELECT {', '.join(one.text for one in table.columns)} FROM {table.source} LIMIT 1")
    ]
    words = [bool(cell) and not any(letter.isdigit() for letter in cell) for cell in cells]
    measured = [one.dated >= _MOSTLY or one.numbers >= _MOSTLY for one in seen]
    return all(words) and len(set(cells)) == len(cells) and any(measured)


def _log_columns(
    opened: Reader, table: Table, seen: Sequence[_Seen], beside: Table | None, described: Sequence[_Seen]
) -> tuple[list[Told], _Seen | None]:
    """User, item and time of a log, and the column of the other table that holds the same items."""
    ids = [one for one in seen if one.is_id]
    if len(ids) < 2:
        shown = ", ".join(one.column.name[:30] for one in ids) or "none"
        raise InputError(
            f"{table.path}: users and items must be two columns of ids that recur, and there is {shown}; name the "
            "columns with --columns user=NAME,item=NAME,time=NAME"
        )
    shares = [(_held(opened, table, one, beside, other), one, other) for one in ids for other in described if beside]
    share, item, joined = max(shares, key=lambda found: found[0], default=(0.0, None, None))
    why_item = f"{share:.0%} of its ids are in the table of items"
    if item is None or joined is None or share < 0.5:
        item, joined = next((one for one in ids if one.is_like("item") and not one.is_like("user")), None), None
        why_item = "by a word in its name"
    rest = [one for one in ids if one is not item]
    user = next((one for one in rest if one.is_like("user")), None)
    why_user = "by a word in its name"
    if user is None:
        user, why_user = rest[0], "the only other column of ids" if len(rest) == 1 else "the first column of ids"
    if item is None:
        rest = [one for one in ids if one is not user]
        item, why_item = rest[0], "the only other column of ids" if len(rest) == 1 else "the second column of ids"
        if why_user == "the first column of ids" or len(ids) == 2:
            why_user, why_item = "the first column of ids", "the second column of ids"
    others = tuple(one.called for one in ids)
    told = [
        Told("user", user.called, why_user, tuple(one for one in others if one not in (user.called, item.called))),
        Told("item", item.called, why_item, tuple(one for one in others if one not in (user.called, item.called))),
    ]
    dated = sorted((one for one in seen if one.dated >= _MOSTLY), key=lambda one: -one.kinds)
    if dated:
        further = tuple(one.called for one in dated[1:])
        why = "its cells are dates" if not further else "of the columns of dates it has most different ones"
        told.append(Told("time", dated[0].called, why, further))
    return told, joined


def _held(opened: Reader, table: Table, one: _Seen, beside: Table, other: _Seen) -> float:
    """Which share of a column's values the other table has in one of its columns."""
    text = one.column.text
    ids = f"(SELECT DISTINCT {text} AS t FROM {table.source} WHERE {text} <> '' LIMIT {_SAMPLE_IDS})"
    known = f"(SELECT {other.column.text} FROM {beside.source})"
    return float(opened.row(f"SELECT coalesce(avg(CAST(t IN {known} AS DOUBLE)), 0) FROM {ids}")[0])


def _item_columns(described: Sequence[_Seen], joined: _Seen | None) -> list[Told]:
    """Ids, titles and attributes of a table of items."""
    if joined is None:
        return []
    told = [Told("item", joined.called, "it has the log's ids")]
    rest = [one for one in described if one is not joined and one.column.is_text and not one.dated]
    title = next((one for one in rest if one.is_like("title")), None)
    why = "by a word in its name"
    if title is None and rest:
        title, why = max(rest, key=lambda one: one.kinds), "of the columns of text it has most different ones"
    if title is None:
        return told
    told.append(Told("title", title.called, why, tuple(one.called for one in rest if one is not title)))
    attributes = next((one for one in rest if one is not title and one.is_like("attributes")), None)
    if attributes is not None:
        told.append(Told("attributes", attributes.called, why))
    return told


def _category(opened: Reader, table: Table, one: _Seen) -> Category:
    found = opened.rows(
        f"SELECT t, count(*) FROM (SELECT {one.column.text} AS t FROM {table.source} LIMIT {_SAMPLE_ROWS}) "
        f"WHERE t <> '' GROUP BY t ORDER BY count(*) DESC, t LIMIT {_MOST_SHOWN}"
    )
    return Category(one.column.name, tuple((value, count / one.rows) for value, count in found))
