"""Fixtures shared by all tests."""

import gc
import math
import os
import signal
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

# Read as PyTorch is loaded: its threads sleep while they wait, since pytest's other worker needs the core.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as for a shell's job in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None]:
    """What is imported and collected stays until the end: it is not searched for garbage then or at each test."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)  # most of what a test makes is gone by itself
        gc.enable()


_HERE = Path(__file__).parent
_COMPILED = ("test_compiled.py", "test_compiled_node.py", "test_compiled_world.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests, which lie beside this file, come first: at the end one would keep a worker alone. Before them
    the first of two workers makes all machine code, most of which the three programs share; meanwhile the second one
    has the tests of models, which do not wait for any."""
    compiled = [item for item in items if item.path.name in _COMPILED]
    models = [item for item in items if item.path.is_relative_to(_HERE / "models")]
    others = [item for item in items if item not in compiled and item not in models]
    others.sort(key=lambda item: item.path.parent != _HERE)
    first = max(len(items) // 2 - len(compiled), 0)
    items[:] = [*compiled, *others[:first], *models, *others[first:]]


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data sets that FLEETREC_DATA names; the test is skipped where it is unset."""
    root = os.environ.get("FLEETREC_DATA")
    if not root:
        pytest.skip("FLEETREC_DATA is not set")
    folder = Path(root)
    if not (folder / "interactions").is_dir():
        pytest.fail(f"FLEETREC_DATA is {root}, which holds no folder 'interactions'")
    return folder


@pytest.fixture
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine with one core, where a command draws in its own process instead of starting two that load all
    libraries anew."""
    monkeypatch.setattr(os, "cpu_count", lambda: 1)


@pytest.fixture
def undrawn(one_core: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands leave out a run's figures and its page, and an experiment's figures, for tests that look at none of
    them: they take longer than a small run."""
    monkeypatch.setattr("fleetrec.reports.figures.background_drawing.Drawing.begin", lambda *_: None)
    monkeypatch.setattr("fleetrec.reports.figures.experiment_figures.draw_figures", lambda folder, *_: [folder])


@pytest.fixture(scope="session", autouse=True)
def _private_cache(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[None]:
    """Artifacts of tests never meet those of a user; what one test has trained serves all, whichever of pytest's
    workers runs them. Machine code stays from one session to the next, in pytest's own cache."""
    folder = tmp_path_factory.getbasetemp()
    folder = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "fleetrec-cache"
    folder.mkdir(exist_ok=True)
    if pytestconfig.pluginmanager.has_plugin("cacheprovider"):
        with suppress(FileExistsError):  # the other worker was faster
            (folder / "compiled").symlink_to(pytestconfig.cache.mkdir("compiled"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLEETREC_CACHE", str(folder))
        # Hundreds of small worlds in one process are no reason to live them in compiled code, where no device is seen.
        patch.setattr("fleetrec.simulator.engine.known_world.DEMAND._looks_from", math.inf)
        yield
