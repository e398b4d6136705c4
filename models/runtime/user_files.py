"""Files that a user names, before they are opened: pipes and devices, which may never end, are none of them."""

import json
import stat
from pathlib import Path
from typing import Any

from fleetrec.models.runtime.errors import InputError


def check_regular(path: Path) -> None:
    """InputError for a pipe, a device or a socket; what is not there, or a folder, is for others to tell."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InputError(f"{path} is a pipe, a device or a socket, which may never end; give an ordinary file")


def read_json(path: Path) -> Any:
    """What a JSON file holds. OSError where it cannot be read, ValueError where it is no JSON or nested without end."""
    check_regular(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("nested too deeply") from None
