"""The cache of candidate lists: it saves work and changes nothing."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fleetrec.models.candidates import CandidateLists
from fleetrec.models.llm.cache import CachedCandidates
from fleetrec.models.runtime.artifacts import ArtifactStore

OFFSETS = np.array([0, 4, 4, 10])


class Arithmetic:
    """Lists that can be recomputed by hand: 10 * user + as_of, and the two after it. It counts what it is asked."""

    name = "arithmetic"
    list_length = 3
    content_hash = "of-arithmetic"

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def lists(self, users: NDArray[np.int64], as_of: NDArray[np.int64]) -> CandidateLists:
        self.asked += list(zip(users.tolist(), as_of.tolist(), strict=True))
        found = as_of >= 0
        items = np.where(found[:, None], (10 * users + as_of)[:, None] + np.arange(3), -1).astype(np.int32)
        return CandidateLists(items, found, as_of, prompt_tokens=100.0 + as_of)


def same(one: CandidateLists, other: CandidateLists) -> None:
    np.testing.assert_array_equal(one.items, other.items)
    np.testing.assert_array_equal(one.found, other.found)
    np.testing.assert_array_equal(one.as_of, other.as_of)
    np.testing.assert_array_equal(one.prompt_tokens, other.prompt_tokens)


def every_query() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    queries = [(user, at) for user in (0, 2) for at in range(-1, int(np.diff(OFFSETS)[user]))]
    users, as_of = np.array(queries).T
    return users, as_of


def test_each_list_is_made_once_even_when_asked_twice_in_one_call(tmp_path: Path) -> None:
    source = Arithmetic()
    cache = CachedCandidates(source, OFFSETS, ArtifactStore(tmp_path))
    users, as_of = np.array([2, 0, 2, 2]), np.array([5, 1, 5, -1])
    same(cache.lists(users, as_of), Arithmetic().lists(users, as_of))
    cache.lists(users, as_of)
    assert sorted(source.asked) == [(0, 1), (2, -1), (2, 5)]


def test_what_one_run_asked_the_next_finds_on_disk(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    users, as_of = every_query()
    first = CachedCandidates(Arithmetic(), OFFSETS, store)
    first.lists(users, as_of)
    first.save()
    source = Arithmetic()
    same(CachedCandidates(source, OFFSETS, store).lists(users, as_of), Arithmetic().lists(users, as_of))
    assert source.asked == []


def test_lists_are_the_same_whatever_part_of_them_is_on_disk(tmp_path: Path) -> None:
    users, as_of = every_query()
    expected = Arithmetic().lists(users, as_of)
    for part in range(len(users) + 1):
        store = ArtifactStore(tmp_path / str(part))
        earlier = CachedCandidates(Arithmetic(), OFFSETS, store)
        earlier.lists(users[:part], as_of[:part])
        earlier.save()
        same(CachedCandidates(Arithmetic(), OFFSETS, store).lists(users[::-1], as_of[::-1]), reverse(expected))


def reverse(lists: CandidateLists) -> CandidateLists:
    assert lists.prompt_tokens is not None
    return CandidateLists(lists.items[::-1], lists.found[::-1], lists.as_of[::-1], lists.prompt_tokens[::-1])


def test_two_runs_that_save_in_turn_keep_the_lists_of_both(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    one, other = (CachedCandidates(Arithmetic(), OFFSETS, store) for _ in range(2))
    one.lists(np.array([0]), np.array([1]))
    other.lists(np.array([2]), np.array([3]))
    one.save()
    other.save()
    source = Arithmetic()
    CachedCandidates(source, OFFSETS, store).lists(np.array([0, 2]), np.array([1, 3]))
    assert source.asked == []


def test_the_file_is_the_same_in_whatever_order_lists_were_asked(tmp_path: Path) -> None:
    users, as_of = every_query()
    files = []
    for name, order in [("a", np.arange(len(users))), ("b", np.arange(len(users))[::-1])]:
        cache = CachedCandidates(Arithmetic(), OFFSETS, ArtifactStore(tmp_path / name))
        for query in order:
            cache.lists(users[query : query + 1], as_of[query : query + 1])
        cache.save()
        files.append(next((tmp_path / name).rglob("*.safetensors")).read_bytes())
    assert files[0] == files[1]


def test_a_damaged_cache_is_made_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = ArtifactStore(tmp_path)
    users, as_of = every_query()
    cache = CachedCandidates(Arithmetic(), OFFSETS, store)
    cache.lists(users, as_of)
    cache.save()
    file = next(tmp_path.rglob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-8])
    again = CachedCandidates(Arithmetic(), OFFSETS, store)
    assert "damaged" in capsys.readouterr().err
    same(again.lists(users, as_of), Arithmetic().lists(users, as_of))


def test_savers_at_the_same_time_lose_nothing_of_each_other(tmp_path: Path) -> None:
    users, as_of = every_query()

    def saves(part: int) -> None:
        cache = CachedCandidates(Arithmetic(), OFFSETS, ArtifactStore(tmp_path))
        cache.lists(users[part : part + 1], as_of[part : part + 1])
        cache.save()

    with ThreadPoolExecutor(len(users)) as pool:
        list(pool.map(saves, range(len(users))))
    source = Arithmetic()
    same(
        CachedCandidates(source, OFFSETS, ArtifactStore(tmp_path)).lists(users, as_of), Arithmetic().lists(users, as_of)
    )
    assert source.asked == []


def test_it_knows_what_was_asked_here_or_before_and_asks_nothing_to_say_so(tmp_path: Path) -> None:
    store, source = ArtifactStore(tmp_path), Arithmetic()
    first = CachedCandidates(Arithmetic(), OFFSETS, store)
    first.lists(np.array([2, 0]), np.array([5, -1]))
    first.save()
    cache = CachedCandidates(source, OFFSETS, store)
    assert cache.knows(np.array([2, 2, 0, 0]), np.array([5, 4, -1, 0])).tolist() == [True, False, True, False]
    assert source.asked == []
