"""What many tests of the simulator begin with."""

from pathlib import Path

import pytest

from fleetrec.models.runtime.artifacts import ArtifactStore


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    """An artifact store that is empty as the test begins."""
    return ArtifactStore(tmp_path / "cache")


@pytest.fixture
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test runs in an empty folder."""
    monkeypatch.chdir(tmp_path)
