"""Ids as a log holds them: text without blanks around it, the same for 7, "7" and 7.0, and none that lost digits."""

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.core.notes import Note, note
from fleetrec.simulator.workload.tables.table import Column, Reader, Table
from fleetrec.simulator.workload.time_forms import plausible
from fleetrec.simulator.workload.times import MISSING

Ints = NDArray[np.int32]
Flags = NDArray[np.bool_]

_EXACT = {"FLOAT": 2**24, "DOUBLE": 2**53}  # whole numbers that such columns hold
_MANY_DIGITS = 16  # a spreadsheet keeps 15
_NEGATIVE = r"^-\d+(\.0)?$"


@dataclass(frozen=True)
class Labels:
    """A column of ids: codes [R] into `texts`, and which of these are no ids."""

    codes: Ints
    texts: Any  # pyarrow strings
    unusable: Flags  # [texts]
    notes: tuple[Note, ...] = ()

    def of_row(self, row: int) -> str:
        """The label of a row."""
        return str(self.texts[int(self.codes[row])])

    def rows_of(self, text: str) -> Flags:
        """Which rows [R] have a label."""
        return np.asarray(self.codes == pc.index(self.texts, text).as_py())


def id_text(reader: Reader, table: Table, column: Column) -> str:
    """The expression of a column's ids as text. InputError where they are no ids, or lost digits before they came."""
    kind = column.kind
    if kind in _EXACT:
        cell, most = column.cell, _EXACT[kind]
        broken, large, example = reader.row(
            f"SELECT count(*) FILTER ({cell} <> floor({cell})), count(*) FILTER (abs({cell}) >= {most}), "
            f"any_value({cell}) FILTER (abs({cell}) >= {most}) FROM {table.source} WHERE isfinite({cell})"
        )
        if broken:
            raise InputError(f"{table.path}: ids in column {column.name!r} are not whole numbers; store them as text")
        if large:
            raise InputError(
                f"{table.path}: ids in column {column.name!r} are floats such as {example:.0f}, beyond {most:,}, "
                "from where "
                "floats cannot tell neighbours apart; store them as integers or text"
            )
        return f"coalesce(CAST(CASE WHEN isfinite({cell}) THEN CAST({cell} AS BIGINT) END AS VARCHAR), '')"
    if kind.startswith(("STRUCT", "MAP", "TIMESTAMP", "DATE", "TIME", "BOOLEAN", "INTERVAL")) or "[" in kind:
        raise InputError(
            f"{table.path}: column {column.name!r} holds {kind.lower()[:60]}; ids must be text or integers"
        )
    return column.text


def labels_of(column: Any, name: str, where: str, said: bool) -> Labels:
    """Codes and labels of a chunked pyarrow column of texts [R]; `said`: the user named the column. InputError where
    the ids lost digits, or are times."""
    encoded = pc.dictionary_encode(column)
    texts = encoded.chunk(0).dictionary
    codes = np.concatenate([chunk.indices.to_numpy(zero_copy_only=False) for chunk in encoded.chunks])
    missing = pc.is_in(pc.utf8_lower(texts), value_set=pa.array(MISSING))
    unusable = pc.or_(missing, pc.match_substring_regex(texts, _NEGATIVE))
    found = Labels(codes.astype(np.int32, copy=False), texts, unusable.to_numpy(zero_copy_only=False))
    usable = texts.filter(pc.invert(unusable))
    _check_digits(usable, where)
    return _check_times(_without_point(found, usable, name), usable, name, where, said)


def is_negative(label: str) -> bool:
    """Whether an id is a negative number, which marks a missing one."""
    return re.fullmatch(_NEGATIVE[1:-1], label) is not None


def _all(texts: Any, pattern: str) -> bool:
    return len(texts) > 0 and bool(pc.all(pc.match_substring_regex(texts, pattern)).as_py())


def _check_digits(usable: Any, where: str) -> None:
    rounded = usable.filter(pc.match_substring_regex(usable, r"^\d(\.\d+)?[eE]\+?\d+$"))
    if len(rounded):
        raise InputError(
            f"{where} holds {str(rounded[0])!r}, a number that lost its last digits (a spreadsheet?); write the ids "
            "anew, as text"
        )
    long = usable.filter(pc.match_substring_regex(usable, rf"^\d{{{_MANY_DIGITS},}}$"))
    if len(long) > 4 and len(long) > len(usable) / 2 and _all(long, "0$"):
        raise InputError(
            f"{where} holds ids such as {str(long[0])!r}, all of which end in 0: a spreadsheet rounded them; write "
            "them anew, as text"
        )


def _without_point(found: Labels, usable: Any, name: str) -> Labels:
    """7.0 is 7 where all ids are whole numbers."""
    pointed = pc.sum(pc.ends_with(usable, ".0")).as_py() or 0
    if not pointed or not _all(usable, r"^\d+(\.0+)?$"):
        return found
    plain = pc.dictionary_encode(pc.replace_substring_regex(found.texts, r"\.0+$", ""))
    codes = plain.indices.to_numpy(zero_copy_only=False).astype(np.int32)
    unusable = np.zeros(len(plain.dictionary), dtype=np.bool_)
    unusable[codes] = found.unusable
    both = " and as 7" if pointed < len(usable) else ""
    told = "{column} ids are written as 7.0" + both + ": read as 7"
    notes = (note("ids_with_point", told, column=name),)
    return Labels(codes[found.codes], plain.dictionary, unusable, notes)


def _check_times(found: Labels, usable: Any, name: str, where: str, said: bool) -> Labels:
    """InputError where all ids are ISO times; a note where all are numbers that would be dates of this life."""
    if len(usable) < 3 or said:
        return found
    if _all(usable, r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d"):
        raise InputError(
            f"{where}: the {name}s look like times ({str(usable[0])[:40]!r}); say which columns hold what: columns: "
            "{user: 1, item: 2, time: 3} (--columns user=1,item=2,time=3, names or places)"
        )
    if _all(usable, r"^(\d{10}|\d{13})$"):
        seconds = pc.cast(pc.utf8_slice_codeunits(usable, 0, 10), pa.float64()).to_numpy(zero_copy_only=False)
        if plausible(seconds).all():
            told = "{column}s look like times, seconds since 1970: is it the right column?"
            return replace(found, notes=(*found.notes, note("ids_like_times", told, column=name)))
    return found
