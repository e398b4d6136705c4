"""MovieLens from its publisher: downloaded, checked against the published MD5, unpacked into the cache.

The sums of the stable sets are known; ml-latest-small may change, so its sum is the `.md5` file beside the archive.
Other publishers give no sum, or ask for an account: for their data sets it is said where they are.
"""

import hashlib
import http.client
import os
import re
import stat
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.printable import printable
from fleetrec.models.runtime.progress import NullProgress, Progress
from fleetrec.models.runtime.timed_http import pieces
from fleetrec.models.runtime.web_address import address_problem
from fleetrec.simulator.scenario.sections.workload import RECIPES
from fleetrec.simulator.scenario.text_files import CACHE_PREFIX, datasets_folder
from fleetrec.simulator.workload.recipe import recipe

PUBLISHER_URL = "https://files.grouplens.org/datasets/movielens/"

_TIMEOUT_S = 60.0
_LARGEST_SUM_FILE = 4096
_MOST_FILES = 1000
_RESEARCH = (
    "MovieLens data come from GroupLens, University of Minnesota. In short: free for research; name the source in "
    "publications; no commercial use without permission; no claim of endorsement; no warranty; "
)


@dataclass(frozen=True)
class PublishedSet:
    """A data set of the publisher; `md5` None: it is read from the `.md5` file beside the archive."""

    name: str
    md5: str | None
    interactions: str
    items: str
    terms: str
    largest_bytes: int = 200_000_000  # of the archive, and of what is in it


def _large(name: str, md5: str) -> PublishedSet:
    terms = _RESEARCH + "pass the data on only under the same terms. The full licence is README.txt in the archive."
    return PublishedSet(name, md5, "ratings.csv", "movies.csv", terms, 3_000_000_000)


_SETS = {
    published.name: published
    for published in (
        PublishedSet(
            "ml-1m",
            "c4d9eecfca2ab87c1945afe126590906",
            "ratings.dat",
            "movies.dat",
            _RESEARCH + "do not pass the data on without permission. The full licence is README in the archive.",
        ),
        PublishedSet(
            "ml-100k",
            "0e33842e24a9c977be4e0107933c0723",
            "u.data",
            "u.item",
            _RESEARCH + "do not pass the data on without permission. The full licence is README in the archive.",
        ),
        PublishedSet(
            "ml-latest-small",
            None,
            "ratings.csv",
            "movies.csv",
            _RESEARCH + "pass the data on only under the same terms. The full licence is README.txt in the archive.",
        ),
        _large("ml-20m", "cd245b17a1ae2cc31bb14903e1204af3"),
        _large("ml-25m", "6b51fb2759a8657d3bfcbfc42b592ada"),
        _large("ml-32m", "d472be332d4daa821edc399621853b57"),
    )
}
NAMES = tuple(_SETS)


@dataclass(frozen=True)
class Fetched:
    """Where a data set is now, and how a scenario names it."""

    folder: Path
    interactions: str  # for workload.interactions.path
    items: str  # for workload.interactions.items
    md5: str | None  # of the archive; None: it was there already
    md5_from: str  # who says that it is right
    terms: str

    def __str__(self) -> str:
        checked = f"MD5 {self.md5} ({self.md5_from})" if self.md5 else self.md5_from
        return (
            f"{self.terms}\n{self.folder}: {checked}\nin a scenario:\n  workload:\n    interactions:\n"
            f"      path: {self.interactions}\n      items: {self.items}"
        )


def terms_of(name: str) -> str:
    """The terms of use, to show before fetching. InputError for a name that is not known."""
    return _published(name).terms


def fetch(
    name: str,
    target_dir: Path | str | None = None,
    base_url: str | None = None,
    progress: Progress | None = None,
) -> Fetched:
    """Download `name` (one of NAMES) from `base_url`, check and unpack it to `target_dir`/name, unless it is there.

    target_dir None: the cache, where scenarios find it as `cache:name/...`. InputError where the server cannot be
    reached, the sum is wrong or the archive is not what it should be; then nothing is left behind.
    """
    published = _published(name)
    parent = Path(target_dir) if target_dir is not None else datasets_folder()
    folder = parent / name
    known, told = published.md5, "already there"
    if folder.is_dir():
        known = None
    else:
        url = (base_url or PUBLISHER_URL).rstrip("/") + f"/{name}.zip"
        told = "known sum of the stable set"
        if known is None:
            known, told = _published_sum(url + ".md5"), f"{url}.md5"
        try:
            parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=parent) as temporary:
                archive = Path(temporary) / "archive.zip"
                _download(url, archive, known, published.largest_bytes, progress or NullProgress())
                _unpack(archive, name, Path(temporary), published)
                os.replace(Path(temporary) / name, folder)
        except OSError as error:
            raise InputError(
                f"cannot write {name} to {parent} ({error.strerror}); set FLEETREC_CACHE to a folder you may write"
            ) from error
    place = f"{CACHE_PREFIX}{name}" if target_dir is None else str(folder)
    return Fetched(
        folder, f"{place}/{published.interactions}", f"{place}/{published.items}", known, told, published.terms
    )


def _published(name: str) -> PublishedSet:
    if name not in _SETS and name in RECIPES and name != "movielens":
        there = recipe(name)
        file = there.reads[0]
        raise InputError(
            f"{name} is not fetched, since its publisher gives no checksum or asks for an account; get {file} from "
            f"{there.source} and name it: workload.interactions={{path: {file}, format: {name}}}"
        )
    if name not in _SETS:
        raise InputError(f"unknown data set {name!r}; known ones are {', '.join(NAMES)}")
    return _SETS[name]


def _open(url: str) -> http.client.HTTPResponse:
    problem = address_problem(url)
    if problem is not None:
        raise InputError(f"{printable(url)[:100]} {problem}")
    response: http.client.HTTPResponse = urllib.request.urlopen(url, timeout=_TIMEOUT_S)
    return response


def _unreachable(url: str, error: Exception) -> InputError:
    reason = printable(str(getattr(error, "reason", None) or error))[:200]
    return InputError(
        f"cannot download {url} ({reason}); check the connection, or download and unpack it by hand and name the files "
        "in workload.interactions"
    )


def _published_sum(url: str) -> str:
    """The MD5 in the publisher's file, in the form `MD5 (name) = sum` or `sum  name`."""
    try:
        with _open(url) as response:
            text = b"".join(pieces(response, _LARGEST_SUM_FILE)).decode("ascii", errors="replace")
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _unreachable(url, error) from error
    found = re.search(r"\b[0-9a-f]{32}\b", text.lower())
    if found is None:
        raise InputError(f"{url} holds no MD5 sum; without one the archive cannot be checked, so nothing was fetched")
    return found[0]


def _download(url: str, archive: Path, md5: str, largest: int, progress: Progress) -> None:
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with _open(url) as response, archive.open("wb") as file:
            announced = response.headers.get("Content-Length") or "0"
            total = int(announced) if announced.isdecimal() and len(announced) < 16 else 0
            with progress.task(f"downloading {url.rsplit('/', 1)[-1]}", total) as task:
                for piece in pieces(response, largest + 1):
                    file.write(piece)
                    digest.update(piece)
                    task.advance(len(piece))
                    if file.tell() > largest:
                        raise InputError(f"{url} is larger than {largest:,} bytes; it is not the data set")
    except (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException, ValueError) as error:
        raise _unreachable(url, error) from error
    if digest.hexdigest() != md5:
        raise InputError(
            f"{url} has the MD5 {digest.hexdigest()}, not the published {md5}; nothing was kept, try again"
        )


def _unpack(archive: Path, name: str, target: Path, published: PublishedSet) -> None:
    """Unpack the archive's folder `name` into `target`; members that would land elsewhere are an error."""
    try:
        with zipfile.ZipFile(archive) as packed:
            inside = [member for member in packed.infolist() if member.filename.startswith(f"{name}/")]
            size = sum(member.file_size for member in inside)
            if size > published.largest_bytes or len(inside) > _MOST_FILES:
                raise InputError(
                    f"the archive of {name} would unpack to {size:,} bytes in {len(inside):,} files; "
                    f"more than {published.largest_bytes:,} bytes or {_MOST_FILES} files are not the data set"
                )
            for member in packed.infolist():
                parts = PurePosixPath(member.filename.replace("\\", "/"))
                link = stat.S_ISLNK(member.external_attr >> 16)
                if parts.is_absolute() or ".." in parts.parts or ":" in member.filename or link:
                    raise InputError(
                        f"the archive of {name} holds {member.filename!r}, outside its folder; not unpacked"
                    )
                if parts.parts[:1] == (name,):
                    packed.extract(member, target)
    except (zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError, RuntimeError, ValueError) as error:
        raise InputError(f"the archive of {name} cannot be unpacked ({error}); try again") from error
    for file in (published.interactions, published.items):
        if not (target / name / file).is_file():
            raise InputError(f"the archive of {name} holds no {name}/{file}; it is not the expected data set")
