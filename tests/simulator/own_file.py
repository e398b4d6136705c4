"""A file of the user's own."""

from pathlib import Path


def own_file(folder: Path, source: str) -> Path:
    """`mine.py` in a folder, with this source."""
    path = folder / "mine.py"
    path.write_text(source, encoding="utf-8")
    return path
