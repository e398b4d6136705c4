"""Artifacts: complete or absent, found again by content, rebuilt when damaged."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors import SafetensorError

from fleetrec.models.runtime.artifacts import ArtifactStore, atomic_path, content_hash
from fleetrec.models.runtime.errors import InputError

KEY = {"kind": "toy", "seed": 1}


def _make(store: ArtifactStore, text: str = "hello") -> Path:
    with store.creating("toys", KEY) as folder:
        (folder / "data.txt").write_text(text)
    found = store.open("toys", KEY)
    assert found is not None
    return found


def _write_half(path: Path) -> None:
    path.write_text("half")
    raise RuntimeError("the disk is full")


def test_a_file_is_replaced_only_when_its_writer_ends_well(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        _write_half(temporary)
    assert target.read_text() == "old"
    with atomic_path(target) as temporary:
        assert temporary.suffix == ".txt"
        temporary.write_text("new")
    assert target.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_an_artifact_whose_writer_fails_never_appears(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    with pytest.raises(RuntimeError), store.creating("toys", KEY) as folder:
        _write_half(folder / "data.txt")
    assert store.open("toys", KEY) is None
    assert list((tmp_path / "toys").iterdir()) == []


def test_an_artifact_is_found_by_its_key_and_keeps_it(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    assert not store.has("toys", KEY)
    folder = _make(store)
    assert store.has("toys", dict(reversed(KEY.items())))
    assert not store.has("toys", KEY | {"seed": 2})
    assert json.loads((folder / "key.json").read_text()) == KEY
    assert store.load_json("toys", KEY, "key.json") == KEY


def test_making_an_artifact_again_replaces_it(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    _make(store)
    assert (_make(store, "again") / "data.txt").read_text() == "again"
    assert len(list((tmp_path / "toys").iterdir())) == 1


@pytest.mark.parametrize("damage", ["changed", "missing", "extra", "manifest"])
def test_a_damaged_artifact_is_removed_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    store = ArtifactStore(tmp_path)
    folder = _make(store)
    if damage == "changed":
        (folder / "data.txt").write_text("hellO")
    elif damage == "missing":
        (folder / "data.txt").unlink()
    elif damage == "extra":
        (folder / "other.txt").write_text("x")
    else:
        (folder / "manifest.json").write_text("{")
    assert store.open("toys", KEY) is None
    assert not folder.exists()
    assert "damaged" in capsys.readouterr().err


def test_the_cache_folder_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEETREC_CACHE", str(tmp_path / "here"))
    assert ArtifactStore().root == tmp_path / "here"


def test_a_cache_that_cannot_be_written_is_a_one_line_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    store = ArtifactStore(tmp_path / "file")
    with pytest.raises(InputError, match="FLEETREC_CACHE") as caught, store.creating("toys", KEY):
        pass
    assert "\n" not in str(caught.value)


def test_whether_a_cache_can_be_written_is_known_before_long_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write to the artifact cache .*: File exists; set FLEETREC_CACHE"):
        ArtifactStore(tmp_path / "file").check_writable()
    store = ArtifactStore(tmp_path / "new")
    store.check_writable()
    assert list((tmp_path / "new").iterdir()) == []
    full = SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    with pytest.raises(InputError, match="I/O error: No space left on device"), store.creating("toys", KEY):
        raise full
    assert list((tmp_path / "new" / "toys").iterdir()) == []


def test_a_hash_depends_on_values_types_and_shapes_only() -> None:
    values = np.arange(6)
    different = [
        content_hash("a", "b"),
        content_hash("ab"),
        content_hash(["a", "b"]),
        content_hash(1),
        content_hash(1.0),
        content_hash(True),
        content_hash(None),
        content_hash("1"),
        content_hash(values),
        content_hash(values.reshape(2, 3)),
        content_hash(values.astype(np.int32)),
        content_hash(values.tolist()),
    ]
    assert len(set(different)) == len(different)
    assert content_hash({"a": 1, "b": 2}) == content_hash({"b": 2, "a": 1})
    assert content_hash((1, 2)) == content_hash([1, 2])
    assert content_hash(np.asfortranarray(values.reshape(2, 3))) == content_hash(values.reshape(2, 3))
    assert len(content_hash()) == 20
    with pytest.raises(TypeError):
        content_hash({1, 2})


def test_artifacts_are_readable_by_others_as_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        assert _make(ArtifactStore(tmp_path)).stat().st_mode & 0o777 == 0o755
    finally:
        os.umask(before)


def test_an_artifact_made_twice_alike_stays_where_others_may_be_reading_it(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    inodes = []
    for content in ("same", "same", "other"):
        with store.creating("thing", {"a": 1}) as folder:
            (folder / "file").write_text(content)
        inodes.append(store.folder("thing", {"a": 1}).stat().st_ino)
    assert inodes[0] == inodes[1] != inodes[2]
    assert (store.folder("thing", {"a": 1}) / "file").read_text() == "other"


def test_artifacts_that_another_store_sent_are_checked_like_one_s_own(tmp_path: Path) -> None:
    here, there = ArtifactStore(tmp_path / "here"), ArtifactStore(tmp_path / "there")
    with here.creating("thing", {"a": 1}) as folder:
        (folder / "file").write_text("content")
    (name,) = here.used
    files = {str(p.relative_to(here.root)): p.read_bytes() for p in (here.root / name).iterdir()}
    there.place(files)
    assert there.has("thing", {"a": 1})
    (there.root / name / "file").write_text("damaged")
    there.place(files)
    assert (there.root / name / "file").read_text() == "content"


def test_a_folder_in_the_place_of_a_file_stays_and_is_told(tmp_path: Path) -> None:
    (tmp_path / "table.parquet").mkdir()
    with pytest.raises(InputError, match=r"table.parquet is a folder"), atomic_path(tmp_path / "table.parquet") as path:
        path.write_bytes(b"rows")
    assert [found.name for found in tmp_path.rglob("*")] == ["table.parquet"]
