"""In which encoding a text file is, told from the whole file, and its text as plain UTF-8 lines.

UTF-8 and UTF-16 are told by their bytes. Of the others only two can be: Western letters, which stand alone among
ASCII ones, and Chinese of GBK, whose bytes come in pairs; all else is for the user to say.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.workload.tables.files import PIECE
from fleetrec.simulator.workload.tables.readings import OpenReading, Option

_MARKS = (  # longer ones first
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_OTHERS = ("cp1252", "cp1251", "cp1250", "cp1253", "gb18030", "shift_jis", "euc_kr", "big5")
_WESTERN = rb"[\xc0-\xcf\xd1-\xdc\xdf-\xef\xf1-\xfc\xff\x85\x8a\x8e\x91-\x97\x99\x9a\x9e\xa0\xa9\xae\xb0\xb4\xb7]{1,2}"
"""letters and signs of Western languages in cp1252 that no other encoding of one byte has more often"""
_PROBE = 1 << 16
_SAMPLE = 1 << 18  # bytes of lines that are not ASCII
_CONTROL = bytes(range(1, 9)) + bytes(range(14, 27)) + bytes(range(28, 32))


@dataclass(frozen=True)
class PlainText:
    """A text file as UTF-8 without a byte-order mark, all its lines ending alike."""

    path: Path  # the user's
    plain: Path  # where the text is
    encoding: str
    known_by: str  # "said", or what told the encoding
    quotes: bool  # whether there is a quotation mark in it
    line_end: str = "\n"


@dataclass
class _Seen:
    """What one pass over a file's bytes has met."""

    utf8: bool = True
    sample: bytes = b""  # lines that are not ASCII
    quotes: bool = False
    line_ends: tuple[int, int, int] = (0, 0, 0)  # \\r\\n, \\n, \\r


def plain_text(path: Path, data: Path, said: str, folder: Path) -> PlainText:
    """The text of a user's file `path`, whose unpacked bytes are in `data`; `said` is an encoding, or "auto"."""
    with data.open("rb") as file:
        head = file.read(_PROBE)
    mark, marked = next(((mark, name) for mark, name in _MARKS if head.startswith(mark)), (b"", ""))
    if said != "auto":
        try:
            encoding, known_by = codecs.lookup(said).name, "said"
        except LookupError:
            raise InputError(
                f"{path}: there is no encoding {said!r}; write utf-8, cp1252, gb18030 or the like"
            ) from None
        encoding = marked if marked.startswith(encoding) else encoding
    elif marked:
        encoding, known_by = marked, "a byte-order mark"
    else:
        encoding, known_by = _wide(path, head), "zeros between the letters"
    seen = _seen(path, data, encoding or "utf-8", said != "auto")
    if not encoding:
        encoding, known_by = ("utf-8", "all its bytes") if seen.utf8 else _other(path, seen.sample)
    crlf, newlines, returns = seen.line_ends
    if encoding == "utf-8" and not mark and returns in (0, newlines) and crlf == returns:
        return PlainText(path, data, encoding, known_by, seen.quotes, "\r\n" if returns else "\n")
    copy = folder / f"plain-{len(list(folder.iterdir()))}.txt"
    try:
        with copy.open("w", encoding="utf-8", newline="") as file:
            for piece in _decoded(data, encoding, len(mark)):
                file.write(piece.replace("\r\n", "\n").replace("\r", "\n"))
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not readable as {encoding} ({error.reason}); say its `encoding`") from error
    return PlainText(path, copy, encoding, known_by, seen.quotes)


def _wide(path: Path, head: bytes) -> str:
    """UTF-16 without a mark has a zero in every second place; any other zero is no text."""
    zeros = head.count(0)
    if not zeros:
        return ""
    for begin, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        if head[begin::2].count(0) > 0.6 * len(head[begin::2]) and not head[1 - begin :: 2].count(0):
            return name
    raise InputError(f"{path} is a binary file, not text; give CSV, TSV, JSON, Parquet, a workbook or lines of ids")


def _seen(path: Path, data: Path, encoding: str, said: bool) -> _Seen:
    """One pass over the bytes: whether they are UTF-8, quotation marks, line ends, and lines that are not ASCII."""
    seen, rest, odd = _Seen(), b"", 0
    wide = encoding.startswith(("utf-16", "utf-32"))
    with data.open("rb") as file:
        while piece := file.read(PIECE):
            seen.quotes |= b'"' in piece
            crlf, newlines, returns = seen.line_ends
            seen.line_ends = (crlf + piece.count(b"\r\n"), newlines + piece.count(b"\n"), returns + piece.count(b"\r"))
            if wide:
                continue
            odd += len(piece) - len(piece.translate(None, _CONTROL))
            if piece.isascii() and not rest:
                continue
            lines = rest + piece
            cut = lines.rfind(b"\n") + 1
            lines, rest = lines[:cut], lines[cut:]
            _see_lines(seen, lines)
    _see_lines(seen, rest)
    size = data.stat().st_size
    if not wide and (odd > size // 50 or (b"\0" in seen.sample and not said)):
        raise InputError(f"{path} is a binary file, not text; give CSV, TSV, JSON, Parquet, a workbook or lines of ids")
    return seen


def _see_lines(seen: _Seen, lines: bytes) -> None:
    if lines.isascii():
        return
    if len(seen.sample) < _SAMPLE:
        seen.sample += b"\n".join(line for line in lines.split(b"\n") if not line.isascii())[:_SAMPLE] + b"\n"
    if seen.utf8:
        try:
            lines.decode()
        except UnicodeDecodeError as error:
            seen.utf8 = False
            around = lines[lines.rfind(b"\n", 0, error.start) + 1 : lines.find(b"\n", error.start)]
            seen.sample = around + b"\n" + seen.sample


def _other(path: Path, sample: bytes) -> tuple[str, str]:
    """The encoding of a file that is not UTF-8, and how it is known; InputError where several may be meant."""
    lines = [line for line in sample.split(b"\n") if line.strip()]
    utf8 = [line for line in lines if _decodes(line, "utf-8")]
    if len(utf8) > len(lines) / 20 and len(lines) > 2:
        wrong = next(line for line in lines if not _decodes(line, "utf-8"))
        raise InputError(
            f"{path} holds two encodings: {_shown(utf8[0].decode())} is UTF-8 and "
            f"{_shown(wrong.decode('latin-1'))} is not; write it in one, UTF-8"
        )
    runs = [run for line in lines for run in re.findall(rb"[\x80-\xff]+", line)]
    if all(re.fullmatch(_WESTERN, run) for run in runs) and _beside_letters(lines):
        return "cp1252", "its letters that are not ASCII stand among ASCII ones, as in Western languages"
    pairs = [run[i : i + 2] for run in _without_ascii_trails(lines) for i in range(0, len(run), 2)]
    common = [pair for pair in pairs if re.fullmatch(rb"[\xa1-\xa9\xb0-\xd7][\xa1-\xfe]", pair)]
    if pairs and len(common) >= 0.95 * len(pairs) and all(_decodes(line, "gb18030") for line in lines):
        return "gb18030", "its letters that are not ASCII are pairs of bytes, nearly all of common Chinese (GBK)"
    fitting = [name for name in _OTHERS if all(_decodes(line, name) for line in lines)][:6]
    readings = [f"{name} {_shown(lines[0].decode(name))}" for name in fitting]
    raise OpenReading(
        f"{path} is not UTF-8, and may be {' or '.join(readings) or 'no text'}; say its `encoding` (--encoding)",
        f"In which encoding is {path.name}?",
        [Option(told, {"encoding": name}) for told, name in zip(readings, fitting, strict=True)],
    )


def _without_ascii_trails(lines: list[bytes]) -> list[bytes]:
    """The runs of bytes that are not ASCII, where each is of whole pairs; else none."""
    runs = [run for line in lines for run in re.findall(rb"[\x80-\xff]+", line)]
    return runs if all(len(run) % 2 == 0 for run in runs) else []


def _beside_letters(lines: list[bytes]) -> bool:
    """Whether most letters of the lines are ASCII ones."""
    text = b"".join(lines)
    ascii_letters = len(re.findall(rb"[A-Za-z]", text))
    return len(re.findall(rb"[\x80-\xff]", text)) < ascii_letters / 2


def _decodes(line: bytes, name: str) -> bool:
    try:
        line.decode(name)
    except UnicodeDecodeError:
        return False
    return True


def _shown(text: str) -> str:
    return repr(text.strip()[:40])


def _decoded(data: Path, encoding: str, skip: int) -> Iterator[str]:
    """The text in pieces, no piece ending between \\r and \\n."""
    decoder = codecs.getincrementaldecoder(encoding)()
    held = ""
    with data.open("rb") as file:
        file.seek(skip)
        while True:
            piece = file.read(PIECE)
            text = held + decoder.decode(piece, final=not piece)
            held = "\r" if text.endswith("\r") and piece else ""
            yield text[: len(text) - len(held)]
            if not piece:
                return
