"""Small logs, in memory and as files, for the tests of the workload."""

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fleetrec.simulator.scenario.sections import LogFile
from fleetrec.simulator.workload.loading import load_log
from fleetrec.simulator.workload.log import Clock, InteractionLog

DAY_0 = 1_500_000_000.0


def make_log(times: Sequence[Sequence[float]], clock: Clock = "absolute") -> InteractionLog:
    """A log with one list of times per user; every user has the items 0, 1, 2, ... in this order."""
    lengths = [len(user) for user in times]
    items = np.concatenate([np.arange(n) for n in lengths]).astype(np.int32)
    return InteractionLog(
        user_ids=np.array([f"u{i}" for i in range(len(times))], dtype=object),
        item_ids=np.array([f"i{i}" for i in range(max(lengths))], dtype=object),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        items=items,
        times=np.concatenate([np.asarray(user, dtype=np.float64) for user in times]),
        clock=clock,
        titles=None,
        attributes=None,
        problems={},
        source="made",
        content_hash="made",
    )


def load(path: Path, content: str | bytes | None = None, **settings: Any) -> InteractionLog:
    """Write `content` to `path` (unless None) and load it."""
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_log(LogFile(path=str(path), **settings))


def events(log: InteractionLog) -> list[tuple[str, str, float]]:
    """(user label, item label, time) in the log's order."""
    return list(
        zip(log.user_ids[log.user_of_event].tolist(), log.item_ids[log.items].tolist(), log.times.tolist(), strict=True)
    )


def workbook(sheets: dict[str, Sequence[Sequence[str | float]]]) -> bytes:
    """An xlsx of sheets, as small as they are."""
    packed = io.BytesIO()
    kind = "http://schemas.openxmlformats.org"
    with zipfile.ZipFile(packed, "w") as book:
        entries = [f'<sheet name="{name}" sheetId="{n}" r:id="r{n}"/>' for n, name in enumerate(sheets, start=1)]
        links = [
            f'<Relationship Id="r{n}" Type="{kind}/officeDocument/2006/relationships/worksheet" '
            f'Target="worksheets/sheet{n}.xml"/>'
            for n in range(1, len(sheets) + 1)
        ]
        book.writestr("[Content_Types].xml", f'<Types xmlns="{kind}/package/2006/content-types"/>')
        start = (
            f'<Relationship Id="r" Type="{kind}/officeDocument/2006/relationships/officeDocument" '
            'Target="xl/workbook.xml"/>'
        )
        book.writestr(
            "_rels/.rels", f'<Relationships xmlns="{kind}/package/2006/relationships">{start}</Relationships>'
        )
        book.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{kind}/spreadsheetml/2006/main" xmlns:r="{kind}/officeDocument/2006/relationships">'
            f"<sheets>{''.join(entries)}</sheets></workbook>",
        )
        book.writestr(
            "xl/_rels/workbook.xml.rels",
            f'<Relationships xmlns="{kind}/package/2006/relationships">{"".join(links)}</Relationships>',
        )
        for n, rows in enumerate(sheets.values(), start=1):
            held = "".join(f'<row r="{r}">{_cells(r, row)}</row>' for r, row in enumerate(rows, start=1))
            sheet = f'<worksheet xmlns="{kind}/spreadsheetml/2006/main"><sheetData>{held}</sheetData></worksheet>'
            book.writestr(f"xl/worksheets/sheet{n}.xml", sheet)
    return packed.getvalue()


def _cells(row: int, values: Sequence[str | float]) -> str:
    made = []
    for place, value in enumerate(values):
        where = f"{chr(ord('A') + place)}{row}"
        text = isinstance(value, str)
        made.append(
            f'<c r="{where}" t="inlineStr"><is><t>{value}</t></is></c>'
            if text
            else f'<c r="{where}"><v>{value}</v></c>'
        )
    return "".join(made)
