"""What makes a run the one that it is: its scenario, what the files that it names hold, and the versions of the code.

The same three give the same bytes; where one of them has changed, it is another run, whatever its folder is called.
"""

import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path

from fleetrec.models.runtime.artifacts import content_hash
from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.records.run_manifest import sha256_of
from fleetrec.simulator.scenario import resolved_yaml, sections
from fleetrec.simulator.scenario.file_checks import named_files
from fleetrec.simulator.scenario.text_files import locate, resolve_path

_LIBRARIES = ("torch", "numpy", "simpy", "transformers", "scipy", "pandas", "pyarrow")


def run_id(scenario: sections.Scenario, kind: str = "run") -> str:
    """The id of a run, of all that it comes from but how the engine goes about it, which changes no result."""
    threads = sections.Engine(threads=scenario.engine.threads)
    of_scenario = resolved_yaml(scenario.model_copy(update={"engine": threads}))
    return content_hash(kind, of_scenario, files_held(scenario), versions())


def files_held(scenario: sections.Scenario) -> dict[str, list[list[str]] | None]:
    """By key, [name, SHA-256] of the file that a scenario names there, or of each file of a folder or of own code."""
    held = {key: _held_by(key, text) for key, text in named_files(scenario)}
    for key, kind in sections.own_kinds(scenario):
        held[f"{key}.kind"] = [[path.name, sha256] for path, sha256 in kind.own_source().files.items()]
    return held


@cache
def versions() -> Mapping[str, str]:
    """What results depend on beside scenario, files and seed: libraries, Python, and this simulator's own source."""
    root = Path(__file__).parents[2]
    paths = sorted(
        path
        for folder in ("models", "simulator")
        for path in (root / folder).rglob("*")
        if path.suffix in (".py", ".yaml") and not {"experiments", "benchmark"} & set(path.parts[len(root.parts) :])
    )
    own = content_hash([[str(path.relative_to(root)), path.read_bytes()] for path in paths])
    return {"fleetrec": own, "python": platform.python_version()} | {name: version(name) for name in _LIBRARIES}


def _held_by(key: str, text: str) -> list[list[str]] | None:
    """None where it cannot be read, which is told by whoever reads it."""
    try:
        path = locate(text) if key.startswith("workload.interactions.") else resolve_path(text)
        files = sorted(found for found in path.rglob("*") if found.is_file()) if path.is_dir() else [path]
        if not all(file.is_file() for file in files):  # a pipe would never end
            return None
        return [[str(file.relative_to(path)), _sha256_as_of(file, *_stamp(file))] for file in files]
    except (InputError, OSError):
        return None


def _stamp(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


@cache
def _sha256_as_of(path: Path, inode: int, size: int, modified_ns: int) -> str:
    """Of a file as it was then: the runs of a sweep read it once (about a second a gigabyte)."""
    return sha256_of(path)
