"""Files that users bring, before anything is read in them: what kind they are, unpacked where they are packed.

A file is told by its first bytes, not by its name. Whatever is packed is unpacked in pieces into a folder of the
moment's own. Every way in which a file cannot be read is one InputError line that says how to mend it.
"""

import bz2
import gzip
import lzma
import re
import shutil
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import zstandard

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.machine_memory import available_bytes
from fleetrec.models.runtime.user_files import check_regular
from fleetrec.simulator.workload.tables.readings import OpenReading, Option

PIECE = 1 << 23
_HEAD = 512
_LARGEST_BYTES = 8_000_000_000
"""of what is held at once, where the machine does not say what memory it has"""

_PACKED: dict[bytes, tuple[str, Callable[[Path], Any]]] = {
    b"\x1f\x8b": ("gzip", gzip.open),
    b"BZh": ("bzip2", bz2.open),
    b"\xfd7zXZ\x00": ("xz", lzma.open),
    b"\x28\xb5\x2f\xfd": ("zstd", zstandard.open),
}
_DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError, zipfile.BadZipFile, RuntimeError)
_REFUSED = {  # first bytes: (what the file is, how its rows get out of it)
    rb"7z\xbc\xaf\x27\x1c": ("a 7-Zip archive", "unpack it and name the file inside"),
    rb"Rar!": ("a RAR archive", "unpack it and name the file inside"),
    rb"\x04\x22\x4d\x18": ("an lz4 file", "unpack it and name the file inside"),
    rb"SQLite format 3": ("an SQLite database", "write its table of interactions as CSV"),
    rb"\x89HDF": ("an HDF5 file", "write it as Parquet or CSV"),
    rb"\x93NUMPY": ("a NumPy array", "write it as CSV with names in the first line"),
    rb"ARROW1|FEA1": ("an Arrow (Feather) file", "write it as Parquet"),
    rb"Obj\x01": ("an Avro file", "write it as Parquet"),
    rb"ORC": ("an ORC file", "write it as Parquet"),
    rb"%PDF": ("a PDF document", "give the table itself, as CSV"),
    rb"\x80[\x02-\x05][\x00-\xff]*": ("a Python pickle, which is never opened", "write it as Parquet or CSV"),
    rb"version https://git-lfs": ("a Git LFS pointer, not the data", "run `git lfs pull` where it came from"),
    rb"\s*<": ("a web page or XML, not a table", "download the data file itself"),
}
_BOOKS = ("xl/workbook.xml", "xl/workbook.bin", "content.xml")


def largest_bytes() -> int:
    """How much of a file can be held at once: half of the free memory, since reading it takes it twice."""
    free = available_bytes()
    return _LARGEST_BYTES if free is None else free // 2


def check_fits(path: Path, size: int, largest: int) -> None:
    """InputError where what a file holds would not fit the memory."""
    if size > largest:
        raise InputError(
            f"{path} holds more than {largest / 1e9:,.3g} GB, unpacked, which is half of the memory that is free; give "
            "fewer rows or columns, or run where there is more"
        )


def head_of(path: Path) -> bytes:
    """The first bytes of a file. InputError where it may not be read, is a pipe, or is empty."""
    check_regular(path)
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give a file that you may read") from error
    if not head.strip():
        raise InputError(f"{path} is empty; give a file with interactions")
    return head


def unpacked(path: Path, part: str | None, folder: Path) -> tuple[Path, str]:
    """Where the plain bytes of a file are, and how they were packed: the file itself and "", or a copy in `folder`.

    `part` names the file in an archive of several. InputError for kinds of files that are no tables.
    """
    head = head_of(path)
    for magic, (packing, opened) in _PACKED.items():
        if head.startswith(magic):
            try:
                with opened(path) as packed:
                    return unpacked(_copied(path, packed, folder), part, folder)[0], packing
            except _DAMAGED as error:
                raise InputError(f"{path} is a damaged {packing} file ({error}); download or pack it again") from error
    if head.startswith(b"PK\x03\x04") and not is_workbook(path):
        return _member(path, part, folder), "zip"
    for pattern, (what, instead) in _REFUSED.items():
        if re.match(pattern, head):
            raise InputError(f"{path} is {what}; {instead}")
    return path, ""


def is_workbook(path: Path) -> bool:
    """Whether a file is a spreadsheet: an old Excel file, or a zip archive that holds a workbook."""
    if head_of(path).startswith(b"\xd0\xcf\x11\xe0"):
        return True
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name in archive.namelist() for name in _BOOKS)


def _member(path: Path, part: str | None, folder: Path) -> Path:
    """The one file of an archive, or the one that `part` names, unpacked."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [
                info.filename
                for info in archive.infolist()
                if not info.is_dir() and not re.search(r"(^|/)(\.|__MACOSX/)", info.filename)
            ]
            chosen = [name for name in names if part in (None, name, name.rsplit("/", 1)[-1])]
            if len(chosen) != 1:
                raise OpenReading(
                    f"{path} is a zip archive of {len(names)} files ({', '.join(names[:6])}"
                    f"{', ...' if len(names) > 6 else ''}); say which with `part` (--part)",
                    f"Which file of {path.name}?",
                    [Option(name, {"part": name}) for name in names],
                )
            with archive.open(chosen[0]) as packed:
                return unpacked(_copied(path, packed, folder), part, folder)[0]
    except _DAMAGED as error:
        raise InputError(f"{path} is a damaged zip archive ({error}); download or pack it again") from error


def _copied(path: Path, packed: IO[bytes], folder: Path) -> Path:
    """A copy of what `packed` holds, written in pieces; InputError before it fills the disk."""
    room = shutil.disk_usage(folder).free // 2
    copy = folder / f"unpacked-{len(list(folder.iterdir()))}"
    written = 0
    with copy.open("wb") as file:
        while piece := packed.read(PIECE):
            written += len(piece)
            if written > room:
                raise InputError(
                    f"{path} holds more than {room / 1e9:,.3g} GB, unpacked, which is half of the room in {folder}; "
                    "make room, or name another folder in TMPDIR"
                )
            file.write(piece)
    if not written:
        raise InputError(f"{path} is empty; give a file with interactions")
    return copy
