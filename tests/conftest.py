"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest


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


@pytest.fixture(autouse=True)
def _private_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Artifacts of tests never meet those of a user."""
    monkeypatch.setenv("FLEETREC_CACHE", str(tmp_path_factory.getbasetemp() / "fleetrec-cache"))
