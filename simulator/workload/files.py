"""Files that users bring, as bytes and text: packed or not, and in which encoding.

Every way in which a file cannot be read is one InputError line that says how to mend it.
"""

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.machine_memory import available_bytes
from fleetrec.models.runtime.user_files import check_regular
from fleetrec.simulator.core.notes import Note, note

_PROBE = 1 << 16
_LARGEST_BYTES = 8_000_000_000
"""of a file, where the machine does not say what memory it has"""


@dataclass(frozen=True)
class TextFile:
    """The text of a file as UTF-8 bytes without a byte-order mark."""

    path: Path
    data: bytes
    notes: tuple[Note, ...]


def largest_bytes() -> int:
    """How much of a file can be read at once: half of the free memory, since reading it takes it twice."""
    free = available_bytes()
    return _LARGEST_BYTES if free is None else free // 2


def check_fits(path: Path, size: int, largest: int) -> None:
    """InputError where what a file holds would not fit the memory."""
    if size > largest:
        raise InputError(
            f"{path} holds more than {largest / 1e9:,.3g} GB, unpacked, which is half of the memory that is free; give "
            "fewer rows or columns, or run where there is more"
        )


def read_bytes(path: Path) -> bytes:
    """The bytes of a file, unpacked where it is gzip.

    InputError where it cannot be read, is empty, is another archive, or would not fit the memory.
    """
    check_regular(path)
    largest = largest_bytes()
    try:
        check_fits(path, path.stat().st_size, largest)
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give a file that you may read") from error
    if data.startswith(b"\x1f\x8b"):
        try:
            with gzip.open(path) as packed:
                data = packed.read(largest + 1)  # however much more it would become
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"{path} is a damaged gzip file ({error}); download or pack it again") from error
        check_fits(path, len(data), largest)
    for magic, what in (
        (b"PK\x03\x04", "a zip archive"),
        (b"BZh", "a bzip2 file"),
        (b"\x28\xb5\x2f\xfd", "a zstd file"),
    ):
        if data.startswith(magic):
            raise InputError(f"{path} is {what}; unpack it (or pack it with gzip) and name the file inside")
    if not data.strip():
        raise InputError(f"{path} is empty; give a file with interactions")
    return data


def read_text(path: Path) -> TextFile:
    """The file's text: UTF-8, UTF-16 with a byte-order mark, or else Latin-1. InputError for binary files."""
    data = read_bytes(path)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            return TextFile(
                path,
                data.decode("utf-16").encode(),
                (note("text_encoding", "the file is {encoding}", encoding="UTF-16"),),
            )
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is not readable as UTF-16 ({error.reason}); save it as UTF-8") from error
    data = data.removeprefix(b"\xef\xbb\xbf")
    if b"\n" not in data:
        data = data.replace(b"\r", b"\n")  # ends of lines of old spreadsheets
    if b"\0" in data[:_PROBE]:
        raise InputError(f"{path} is a binary file, not text; give CSV, TSV, .inter, .dat, lines of ids, or Parquet")
    if not data.strip():
        raise InputError(f"{path} is empty; give a file with interactions")
    try:
        data.decode()
    except UnicodeDecodeError:
        if sum(byte < 32 and byte not in b"\t\n\r\f" for byte in data[:_PROBE]) > len(data[:_PROBE]) // 50:
            raise InputError(f"{path} is a binary file, not text; give CSV, TSV, .inter, .dat or Parquet") from None
        told = note("text_encoding", "the file is not UTF-8; it was read as {encoding}", encoding="Latin-1")
        return TextFile(path, data.decode("latin-1").encode(), (told,))
    return TextFile(path, data, ())
