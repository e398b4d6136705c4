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

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

_EXACT = {"FLOAT": 2**24, "DOUBLE": 2**53}  # whole numbers that such columns hold
_MANY_DIGITS = 16  # a spreadsheet keeps 15
_ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d")


@dataclass(frozen=True)
class Labels:
    """A column of ids: codes [R] into `labels`, and which of these are no ids."""

    codes: Ints
    labels: list[str]
    unusable: Flags  # [labels]
    notes: tuple[Note, ...] = ()


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
    """Codes and labels of a pyarrow column of texts [R]; `said`: the user named the column. InputError where the ids
    lost digits, or are times."""
    encoded = pc.dictionary_encode(column)
    if isinstance(encoded, pa.ChunkedArray):
        dictionary = encoded.chunk(0).dictionary if encoded.num_chunks else pa.array([], pa.string())
        codes = np.concatenate([chunk.indices.to_numpy(zero_copy_only=False) for chunk in encoded.chunks])
    else:
        dictionary, codes = encoded.dictionary, encoded.indices.to_numpy(zero_copy_only=False)
    codes = codes.astype(np.int64)
    texts: list[str] = dictionary.to_pylist()
    unusable = np.array([text.lower() in MISSING or is_negative(text) for text in texts], dtype=np.bool_)
    found = Labels(codes, texts, unusable)
    usable = [text for text, bad in zip(texts, unusable.tolist(), strict=True) if not bad]
    _check_digits(usable, where)
    return _check_times(_without_point(found, usable, name), usable, name, where, said)


def is_negative(label: str) -> bool:
    """Whether an id is a negative number, which marks a missing one."""
    return label.startswith("-") and re.fullmatch(r"-\d+(\.0)?", label) is not None


def _check_digits(usable: list[str], where: str) -> None:
    rounded = next((text for text in usable if re.fullmatch(r"\d(\.\d+)?[eE]\+?\d+", text)), None)
    if rounded is not None:
        raise InputError(
            f"{where} holds {rounded!r}, a number that lost its last digits (a spreadsheet?); write the ids anew, "
            "as text"
        )
    long = [text for text in usable if len(text) >= _MANY_DIGITS and text.isdecimal()]
    if len(long) > 4 and len(long) > len(usable) / 2 and all(text.endswith("0") for text in long):
        raise InputError(
            f"{where} holds ids such as {long[0]!r}, all of which end in 0: a spreadsheet rounded them; write them "
            "anew, as text"
        )


def _without_point(found: Labels, usable: list[str], name: str) -> Labels:
    """7.0 is 7 where all ids are whole numbers."""
    if not any(text.endswith(".0") for text in usable) or not all(re.fullmatch(r"\d+(\.0+)?", text) for text in usable):
        return found
    plain = [re.sub(r"(?<=\d)\.0+$", "", text) for text in found.labels]
    places: dict[str, int] = {}
    codes = np.array([places.setdefault(text, len(places)) for text in plain], dtype=np.int64)
    unusable = np.zeros(len(places), dtype=np.bool_)
    unusable[codes] = found.unusable
    both = sum(text.endswith(".0") for text in usable) < len(usable)
    told = "{column} ids are written as 7.0" + (" and as 7" if both else "") + ": both are read as 7"
    return Labels(codes[found.codes], list(places), unusable, (note("ids_with_point", told, column=name),))


def _check_times(found: Labels, usable: list[str], name: str, where: str, said: bool) -> Labels:
    """InputError where all ids are ISO times; a note where all are numbers that would be dates of this life."""
    if len(usable) < 3 or said:
        return found
    if all(_ISO.match(text) for text in usable):
        raise InputError(
            f"{where}: the {name}s look like times ({usable[0][:40]!r}); say which columns hold what: columns: "
            f"{{user: 1, "
            "item: 2, time: 3}} (--columns user=1,item=2,time=3, names or places)"
        )
    if all(len(text) in (10, 13) and text.isdecimal() for text in usable):
        moments = np.array([float(text[:10]) for text in usable])
        if plausible(moments).all():
            told = "{column}s look like times, seconds since 1970: is it the right column?"
            return replace(found, notes=(*found.notes, note("ids_like_times", told, column=name)))
    return found
