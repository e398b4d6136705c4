"""Content-addressed artifacts on disk: what was learnt or computed, under the hash of what determines it.

Everything is written to a temporary name beside its place and renamed when complete, so a crash leaves no half
artifact. Each artifact folder holds its key and a manifest of SHA-256 sums; nothing in it is ever unpickled.
"""

import fcntl
import hashlib
import json
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError

from fleetrec.models.runtime.errors import InputError

_KEY = "key.json"
_MANIFEST = "manifest.json"


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """A temporary path in the folder of `path` (same suffix), moved to `path` on success and removed on failure.

    InputError where a folder stands in the file's place.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{secrets.token_hex(6)}-{path.name}")
    try:
        yield temporary
        try:
            os.replace(temporary, path)
        except IsADirectoryError:
            raise InputError(f"{path} is a folder, and a file is to be written there; move the folder away") from None
    finally:
        temporary.unlink(missing_ok=True)


def check_file_place(option: str, path: Path) -> None:
    """InputError, before any work, where no file can be written; `option` is what named it."""
    if path.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK) or not path.parent.is_dir():
        raise InputError(f"{option} {path}: no file can be written there; name a file in a folder that exists")


def place_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files to `folder` by their paths below it, each whole or not at all, in their order."""
    for name, content in files.items():
        with atomic_path(folder / name) as path:
            path.write_bytes(content)


def files_below(folder: Path, root: Path) -> dict[str, bytes]:
    """All files in `folder`, by their paths below `root`, as `place_files` takes them."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def content_hash(*parts: Any) -> str:
    """First 20 hex digits of the SHA-256 of `parts`: JSON-like values, NumPy arrays (dtype, shape, bytes), bytes.

    Mappings count by their items whatever their order; lists and tuples are the same thing. Other types: TypeError.
    """
    digest = hashlib.sha256()
    for part in parts:
        _feed(digest, part)
    return digest.hexdigest()[:20]


def _feed(digest: Any, part: Any) -> None:
    # Every value is preceded by its type and size, so that no two different inputs give the same stream of bytes.
    if isinstance(part, np.ndarray):
        if part.dtype.hasobject:
            _feed(digest, part.tolist())
            return
        digest.update(f"array {part.dtype.str} {part.shape} ".encode())
        digest.update(np.ascontiguousarray(part).data)
    elif isinstance(part, bytes):
        digest.update(f"bytes {len(part)} ".encode())
        digest.update(part)
    elif isinstance(part, np.generic):
        _feed(digest, part.item())
    elif isinstance(part, Mapping):
        digest.update(f"mapping {len(part)} ".encode())
        for key in sorted(part):
            _feed(digest, key)
            _feed(digest, part[key])
    elif isinstance(part, Sequence) and not isinstance(part, str):
        digest.update(f"list {len(part)} ".encode())
        for item in part:
            _feed(digest, item)
    elif part is None or isinstance(part, str | bool | int | float):
        text = json.dumps(part).encode()
        digest.update(f"json {len(text)} ".encode())
        digest.update(text)
    else:
        raise TypeError(f"cannot hash a {type(part).__name__}")


class ArtifactStore:
    """Folders of artifacts under one root: $FLEETREC_CACHE where set, else ~/.cache/fleetrec."""

    def __init__(self, root: Path | str | None = None):
        chosen = root if root is not None else os.environ.get("FLEETREC_CACHE") or "~/.cache/fleetrec"
        self.root = Path(chosen).expanduser()
        self.used: dict[str, None] = {}
        """places below the root of the artifacts opened or made through this object, in that order"""

    def folder(self, kind: str, key: Mapping[str, Any]) -> Path:
        """Where the artifact of that kind and key is, or would be."""
        return self.root / kind / content_hash(key)

    def has(self, kind: str, key: Mapping[str, Any]) -> bool:
        """Whether an undamaged artifact is there."""
        return self.open(kind, key) is not None

    def open(self, kind: str, key: Mapping[str, Any]) -> Path | None:
        """The artifact's folder, or None. A damaged one is removed with a warning, to be built again."""
        folder = self.folder(kind, key)
        if not folder.is_dir():
            return None
        problem = _damage(folder)
        if problem is None:
            self.used[str(folder.relative_to(self.root))] = None
            return folder
        print(f"warning: {folder} is damaged ({problem}); it is removed and built again", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        return None

    def load_json(self, kind: str, key: Mapping[str, Any], name: str) -> Any | None:
        """The JSON file `name` of an artifact, or None where there is no such artifact."""
        folder = self.open(kind, key)
        return None if folder is None else json.loads((folder / name).read_text(encoding="utf-8"))

    def place(self, files: Mapping[str, bytes]) -> None:
        """Keep artifacts that another store has sent: their files by path below the root. Undamaged ones stay."""
        folders: dict[str, dict[str, bytes]] = {}
        for name, content in files.items():
            kind, key, *rest = Path(name).parts
            folders.setdefault(f"{kind}/{key}", {})["/".join(rest)] = content
        for name, held in folders.items():
            if _intact_sums(self.root / name) is None:
                temporary = (self.root / name).with_name(f".{secrets.token_hex(6)}-{Path(name).name}")
                try:
                    place_files(temporary, held)
                    _move_into_place(temporary, self.root / name)
                finally:
                    shutil.rmtree(temporary, ignore_errors=True)

    @contextmanager
    def forgetting(self, kinds: Collection[str]) -> Iterator["ArtifactStore"]:
        """This store as if it held nothing of these kinds; what is made of them meanwhile is dropped afterwards."""
        if not kinds:
            yield self
            return
        self.check_writable()
        with tempfile.TemporaryDirectory(dir=self.root, prefix=".") as apart:
            yield _Forgetting(self.root, kinds, Path(apart))

    @contextmanager
    def locked(self, kind: str, key: Mapping[str, Any]) -> Iterator[None]:
        """Keeps other processes that lock the same artifact out: for one that grows, while it is read or replaced.

        Where a lock or its file cannot be had (a cache that may only be read), there is none.
        """
        folder = self.folder(kind, key)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            file = folder.with_name(f".{folder.name}.lock").open("a")
        except OSError:
            yield
            return
        with file:
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def check_writable(self) -> None:
        """InputError where nothing could be kept: to be asked before work that takes long."""
        with self._told():
            self.root.mkdir(parents=True, exist_ok=True)
            (probe := self.root / f".{secrets.token_hex(6)}").touch()
            probe.unlink()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(
                f"cannot write to the artifact cache {self.root}: {reason}; "
                "set FLEETREC_CACHE to a folder that can be written"
            ) from error

    @contextmanager
    def creating(self, kind: str, key: Mapping[str, Any]) -> Iterator[Path]:
        """A temporary folder to fill; it becomes the artifact, replacing an older one, when the block ends well."""
        folder = self.folder(kind, key)
        temporary = folder.with_name(f".{secrets.token_hex(6)}-{folder.name}")
        try:
            with self._told():
                temporary.mkdir(parents=True)
                yield temporary
                (temporary / _KEY).write_text(json.dumps(key, indent=1, sort_keys=True), encoding="utf-8")
                sums = {name: _sha256(temporary / name) for name in _files(temporary)}
                (temporary / _MANIFEST).write_text(json.dumps(sums, indent=1, sort_keys=True), encoding="utf-8")
            if sums != _intact_sums(folder):  # what another process has made alike meanwhile may be in use
                _move_into_place(temporary, folder)
            self.used[str(folder.relative_to(self.root))] = None
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


class _Forgetting(ArtifactStore):
    """A store that keeps artifacts of some kinds in a folder apart."""

    def __init__(self, root: Path, kinds: Collection[str], apart: Path):
        super().__init__(root)
        self._kinds, self._apart = kinds, apart

    def folder(self, kind: str, key: Mapping[str, Any]) -> Path:
        """See ArtifactStore."""
        place = super().folder(kind, key)
        return self._apart / place.relative_to(self.root) if kind in self._kinds else place


def _move_into_place(temporary: Path, folder: Path) -> None:
    # A folder cannot be renamed over a full one: the old one steps aside first.
    old = folder.with_name(f".{secrets.token_hex(6)}-old-{folder.name}")
    while True:
        try:
            os.rename(temporary, folder)
            break
        except OSError:
            if not folder.is_dir():
                raise
        try:
            os.rename(folder, old)
        except FileNotFoundError:
            continue  # another process was faster
        shutil.rmtree(old, ignore_errors=True)


def _files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _intact_sums(folder: Path) -> dict[str, str] | None:
    """The manifest of an undamaged artifact; None where there is none."""
    if not folder.is_dir() or _damage(folder) is not None:
        return None
    sums: dict[str, str] = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    return sums


def _damage(folder: Path) -> str | None:
    try:
        sums = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        present = set(_files(folder)) - {_MANIFEST}
        if not isinstance(sums, dict) or present != set(sums):
            return "its files are not those of its manifest"
        return next((f"{name} has changed" for name in sorted(sums) if _sha256(folder / name) != sums[name]), None)
    except (OSError, ValueError) as error:
        return str(error)
