"""Of an endpoint's key not eight characters in a row are in what a run writes, keeps or says, whether it ends well."""

import logging
import traceback
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from fleetrec import Scenario, simulate
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.errors import InputError
from fleetrec.reports.html import write_report
from tests.models.test_endpoint import Reply, Server, ok, serve
from tests.simulator.test_evaluation import circle

__all__ = ["circle", "serve"]  # fixtures

KEY = "sk-Qz7RkVw2mXh9TbLc4NyPd6GsJf8"
ECHO = ok(f"1. Film 3\n2. {KEY}\n3. {KEY[:20]}")
"""a good answer of a server that says back what it was sent"""


def pieces_in(content: bytes) -> list[str]:
    """Eight characters of the key in a row that something holds."""
    return [KEY[at : at + 8] for at in range(len(KEY) - 7) if KEY[at : at + 8].encode() in content]


def held_below(folder: Path) -> dict[str, bytes]:
    """All that the files below a folder hold, tables unpacked, with the files' names."""
    found = {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    tables = {f"{name} unpacked": repr(pq.read_table(name).to_pydict()) for name in found if name.endswith(".parquet")}
    return found | {name: text.encode() for name, text in tables.items()} | {"names": "".join(found).encode()}


@pytest.mark.parametrize(
    ("replies", "fails"),
    [
        ([ECHO], False),
        ([ECHO, ECHO, (401, {}, f"no key: {KEY}".encode())], True),
        ([(500, {}, KEY.encode())], True),
        ([ECHO, ok(None), (200, {}, f'{{"error": "what is {KEY}?"}}'.encode()), ECHO], False),
        ([ok(f"I'm sorry, but {KEY} is no key.")], True),
        ([(400, {}, f'{{"error": {{"message": "temperature and {KEY}"}}}}'.encode())], True),
    ],
    ids=["a good run", "refused in its midst", "failing from the start", "odd in its midst", "no titles", "picky"],
)
def test_nothing_that_a_run_leaves_holds_eight_characters_of_the_key(
    replies: list[Reply],
    fails: bool,
    circle: Path,
    serve: Callable[..., Server],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("THE_KEY", KEY)
    server, said = serve(*replies), ""
    endpoint = f"{{kind: endpoint, url: {server.url}, model: m, key_variable: THE_KEY, retries: 1, backoff: 0.01}}"
    scenario = Scenario.load(circle, [f"llm.candidates={endpoint}", "policy.request=always", "fleet.devices=4"])
    try:
        simulate(scenario, store=ArtifactStore(tmp_path / "cache"), out=tmp_path / "run")
        write_report(tmp_path / "run")
    except InputError as error:
        said = "".join(traceback.format_exception(error))
    assert bool(said) == fails
    assert server.asked[0][0]["Authorization"] == f"Bearer {KEY}"
    held = held_below(tmp_path)
    assert any("cache" in name for name in held)
    captured = capfd.readouterr()
    held |= {"traceback": said.encode(), "printed": f"{captured.out}{captured.err}{caplog.text}".encode()}
    assert {name: pieces for name, content in held.items() if (pieces := pieces_in(content))} == {}
