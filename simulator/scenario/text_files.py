"""Files that a user names: where they are, and small ones read: text tables row by row, and JSON objects.

Errors name file and row.
"""

import csv
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.program import program
from fleetrec.models.runtime.user_files import check_regular, read_json

CACHE_PREFIX = "cache:"


def resolve_path(text: str) -> Path:
    """The path with `~` and `${VARIABLE}` expanded; a variable that is unset or empty is an InputError."""

    def value(match: re.Match[str]) -> str:
        found = os.environ.get(match[1])
        if not found:
            raise InputError(f"{text}: the environment variable {match[1]} is not set; set it or write the path out")
        return found

    return Path(os.path.expanduser(re.sub(r"\$\{(\w+)\}", value, text)))


def datasets_folder() -> Path:
    """Where `data fetch` puts data sets: `datasets` in the artifact cache."""
    return ArtifactStore().root / "datasets"


def locate(text: str) -> Path:
    """The file that a scenario names: `~`, `${VARIABLE}` and `cache:NAME/...` (a fetched data set) are expanded."""
    if not text.startswith(CACHE_PREFIX):
        path = resolve_path(text)
        hint = "check the path (it is taken from the folder in which the command runs)"
    else:
        path = datasets_folder() / text.removeprefix(CACHE_PREFIX)
        hint = f"fetch it first: {program()} data fetch {text.removeprefix(CACHE_PREFIX).split('/')[0]}"
    try:
        if path.is_dir():
            raise InputError(f"{path} is a directory; name the file of interactions in it")
        if not path.exists():
            raise InputError(f"{path} does not exist; {hint}")
        check_regular(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); {hint}") from error
    return path


def read_rows(text: str, what: str, delimiter: str | None = ",") -> Iterator[tuple[int, list[str]]]:
    """(row number from 1, cells) of the non-empty rows of a UTF-8 file; delimiter None splits at white space."""
    path = resolve_path(text)
    check_regular(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file, delimiter=delimiter) if delimiter else (line.split() for line in file)
            for number, cells in enumerate(rows, start=1):
                if any(cell.strip() for cell in cells):
                    yield number, [cell.strip() for cell in cells]
    except OSError as error:
        raise InputError(f"{what} {text}: cannot be read ({error.strerror}); give a readable file") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{what} {text}: not a text table ({error}); give a UTF-8 text file") from error


def number(cell: str, where: str) -> float:
    """The finite number in a cell; `where` opens the message of the InputError otherwise."""
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{where}: expected a finite number, got {cell!r}; mend or remove the row")
    return value


def read_object(path: Path, what: str, give: str) -> dict[str, Any]:
    """The object in a JSON file that is `what`; InputError, which says what to `give`, where there is none."""
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable {what} ({type(error).__name__}); give {give}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds no object of keys; give {give}")
    return content
