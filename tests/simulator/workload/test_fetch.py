"""Fetching from a local server that stands for the publisher."""

import hashlib
import io
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.scenario.sections import LogFile
from fleetrec.simulator.scenario.sections.workload import RECIPES
from fleetrec.simulator.workload.fetch import NAMES, fetch, terms_of
from fleetrec.simulator.workload.loading import load_log

NAME = "ml-latest-small"
FILES = {
    f"{NAME}/ratings.csv": "userId,movieId,rating,timestamp\n1,2,4.0,1600000000\n1,3,1.0,1600000060\n",
    f"{NAME}/movies.csv": "movieId,title,genres\n2,Two (1999),Drama|War\n3,Three,(no genres listed)\n",
    f"{NAME}/README.txt": "terms\n",
}
Serve = Callable[[dict[str, bytes]], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server of the given files; returns its address."""
    servers = []

    def start(files: dict[str, bytes]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = files.get(self.path.removeprefix("/datasets/"))
                self.send_response(200 if body is not None else 404)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *_: object) -> None:
                """Silent."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/datasets"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def packed(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def published(archive: bytes, name: str = NAME, md5: str | None = None) -> dict[str, bytes]:
    line = f"MD5 ({name}.zip) = {md5 or hashlib.md5(archive).hexdigest()}\n"
    return {f"{name}.zip": archive, f"{name}.zip.md5": line.encode()}


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def test_a_fetched_set_is_checked_unpacked_and_loads_from_the_cache(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEETREC_CACHE", str(tmp_path))
    archive = packed(FILES)
    fetched = fetch(NAME, base_url=serve(published(archive)))
    assert fetched.md5 == hashlib.md5(archive).hexdigest()
    assert fetched.folder == tmp_path / "datasets" / NAME
    assert "GroupLens" in str(fetched)
    log = load_log(LogFile(path=fetched.interactions, items=fetched.items))
    assert log.n_events == 2
    assert log.titles == ("Two (1999)", "Three")
    assert log.attributes == (("Drama", "War"), ())
    assert left_in(fetched.folder) == ["README.txt", "movies.csv", "ratings.csv"]


def test_an_archive_that_would_unpack_to_far_more_than_a_data_set_is_not_unpacked(serve: Serve, tmp_path: Path) -> None:
    buffer = io.BytesIO(packed(FILES))
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive, archive.open(f"{NAME}/bomb", "w") as bomb:
        for _ in range(201):
            bomb.write(bytes(1_000_000))
    with pytest.raises(InputError, match=r"would unpack to 201,000,\d+ bytes in 4 files"):
        fetch(NAME, tmp_path, serve(published(buffer.getvalue())))
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("base", ["http://a..b", "http://h:99999", "http://h/a b", "http://[::1", "file:///tmp", "h"])
def test_an_address_that_is_none_is_one_line(tmp_path: Path, base: str) -> None:
    with pytest.raises(InputError, match=r"^\S"):
        fetch(NAME, tmp_path, base)
    assert left_in(tmp_path) == []


def test_a_set_that_is_there_is_not_fetched_again(serve: Serve, tmp_path: Path) -> None:
    fetch(NAME, tmp_path, serve(published(packed(FILES))))
    again = fetch(NAME, tmp_path, "http://127.0.0.1:9/nobody-listens")
    assert again.md5 is None
    assert again.interactions == str(tmp_path / NAME / "ratings.csv")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (published(packed(FILES), md5="0" * 32), "not the published 00000000"),
        ({}, "Not Found"),
        ({f"{NAME}.zip": packed(FILES)}, "md5"),
        ({f"{NAME}.zip": packed(FILES), f"{NAME}.zip.md5": b"<html>"}, "holds no MD5 sum"),
        (published(b"this is no archive"), "cannot be unpacked"),
        (published(packed({**FILES, f"{NAME}/../../evil": "x"})), "outside its folder"),
        (published(packed({**FILES, "/etc/evil": "x"})), "outside its folder"),
        (published(packed({f"{NAME}/README.txt": "x"})), "holds no ml-latest-small/ratings.csv"),
    ],
    ids=["wrong sum", "no set", "no sum", "no sum in it", "no archive", "parent", "absolute", "other content"],
)
def test_a_bad_download_is_one_line_and_leaves_nothing(
    serve: Serve, tmp_path: Path, files: dict[str, bytes], said: str
) -> None:
    with pytest.raises(InputError, match=said) as caught:
        fetch(NAME, tmp_path / "data", serve(files))
    assert "\n" not in str(caught.value)
    assert left_in(tmp_path) == ["data"] if (tmp_path / "data").exists() else left_in(tmp_path) == []


@pytest.mark.parametrize("name", ["ml-1m", "ml-100k"])
def test_a_stable_set_must_have_the_sum_that_is_known_whatever_the_server_says(
    serve: Serve, tmp_path: Path, name: str
) -> None:
    archive = packed({f"{name}/ratings.dat": "1::2::3::4\n"})
    with pytest.raises(InputError, match="not the published"):
        fetch(name, tmp_path, serve(published(archive, name)))


def test_a_server_that_cannot_be_reached_and_an_unknown_name_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="by hand"):
        fetch(NAME, tmp_path, "http://127.0.0.1:9")
    with pytest.raises(InputError, match="https://"):
        fetch(NAME, tmp_path, "file:///etc")
    with pytest.raises(InputError, match="ml-1m"):
        fetch("no-such-set", tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_terms_are_told_for_every_set(name: str) -> None:
    assert "permission" in terms_of(name)
    assert "README" in terms_of(name)


@pytest.mark.parametrize("name", sorted({*RECIPES} - {"movielens"}))
def test_a_set_without_a_published_sum_is_one_line_that_says_where_it_is(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=rf"get \S+ from https?://\S+ and name it: .*format: {name}}}$") as refused:
        fetch(name, tmp_path)
    assert "\n" not in str(refused.value)


def test_larger_sets_may_unpack_to_more() -> None:
    assert {"ml-20m", "ml-25m", "ml-32m"} <= set(NAMES)
    assert "GroupLens" in terms_of("ml-25m")
