"""Candidate lists kept on disk: what one run asked a generator for, later runs read.

Lists are a pure function of (user, as_of), so what the cache holds changes the time a run takes and nothing else.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from fleetrec.models.candidates import CandidateLists, CandidateSource, Floats
from fleetrec.models.early_stopping import UNTRAINED, TrainingCurve
from fleetrec.models.llm.titles import Answerer
from fleetrec.models.runtime.artifacts import ArtifactStore, content_hash
from fleetrec.models.runtime.ragged import ragged

FORMAT = 3  # of the artifact: raise it when it changes
_ARTIFACT = "candidates"
_FILE = "lists.safetensors"

Columns = dict[str, NDArray[Any]]


class HandedOut(Protocol):
    """What is handed out in the place of lists as they were made, and are kept: a function of each list alone."""

    @property
    def content_hash(self) -> str: ...

    def lists(self, users: NDArray[np.int64], found: CandidateLists) -> CandidateLists:
        """Other lists for those of users [M]."""
        ...


class CachedCandidates:
    """A CandidateSource that asks another one for each list once, ever. `save` puts what is new on disk."""

    def __init__(
        self,
        source: CandidateSource,
        offsets: NDArray[np.int64],
        store: ArtifactStore,
        save_every: int | None = None,
        handed_out: HandedOut | None = None,
    ):
        """`offsets` int64[U+1] of the log that the source speaks of; reads what `store` holds of this source.

        `save_every`: a source whose lists are dear is asked for so many at a time, and they are saved at once.
        `handed_out`: what lists are handed out as; None: as they were made.
        """
        self._save_every, self._handed_out = save_every, handed_out
        self.validation: dict[str, float] = dict(getattr(source, "validation", {}))  # of a model that was trained here
        self.curve: TrainingCurve = getattr(source, "curve", UNTRAINED)
        self.id_tokens = getattr(source, "id_tokens", None)  # of a model that writes ids
        self.answerer: Answerer | None = getattr(source, "answerer", None)  # of one that writes titles
        self.name, self.list_length, self.content_hash = source.name, source.list_length, source.content_hash
        if handed_out is not None:
            self.content_hash = content_hash(source.content_hash, handed_out.content_hash)
        self._source, self._store = source, store
        # The list of (user, as_of) has slot offsets[user] + user + as_of + 1; its row is -1 where it is not known.
        self._first_slot: NDArray[np.int64] = offsets[:-1] + np.arange(len(offsets) - 1) + 1
        self._row_of_slot: NDArray[np.int64] = np.full(int(offsets[-1]) + len(offsets) - 1, -1)
        self._lists = _Lists(self.list_length)
        self._key = {
            "format": FORMAT,
            "source": source.content_hash,
            "list_length": self.list_length,
            "slots": len(self._row_of_slot),
        }
        with store.locked(_ARTIFACT, self._key):
            self._take(self._on_disk())
        self._saved = self._lists.count

    def lists(self, users: NDArray[np.int64], as_of: NDArray[np.int64]) -> CandidateLists:
        """See CandidateSource.lists."""
        slots = self._first_slot[users] + as_of
        unknown = np.flatnonzero(self._row_of_slot[slots] < 0)
        if len(unknown):
            _, once = np.unique(slots[unknown], return_index=True)
            for asked in _portions(unknown[once], self._save_every):
                self._take(_columns(slots[asked], self._source.lists(users[asked], as_of[asked])))
                if self._save_every is not None:
                    self.save()
        got = self._lists.take(self._row_of_slot[slots])
        del got["slot"]
        found = CandidateLists(**got)
        return found if self._handed_out is None else self._handed_out.lists(users, found)

    def knows(self, users: NDArray[np.int64], as_of: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which lists [M] have been asked for before, here or in an earlier run."""
        return np.asarray(self._row_of_slot[self._first_slot[users] + as_of] >= 0)

    def save(self) -> None:
        """Writes every list known here, and those that another process has saved meanwhile."""
        if self._lists.count == self._saved:
            return
        with self._store.locked(_ARTIFACT, self._key):
            self._take(self._on_disk())
            columns = self._lists.take(self._row_of_slot[self._row_of_slot >= 0])  # in order of slot
            with self._store.creating(_ARTIFACT, self._key) as folder:
                save_file({name: np.ascontiguousarray(values) for name, values in columns.items()}, folder / _FILE)
        self._saved = self._lists.count

    def _on_disk(self) -> Columns:
        folder = self._store.open(_ARTIFACT, self._key)
        return self._lists.take(np.empty(0, dtype=np.int64)) if folder is None else load_file(folder / _FILE)

    def _take(self, columns: Columns) -> None:
        new = self._row_of_slot[columns["slot"]] < 0
        fresh = {name: values[new] for name, values in columns.items()}
        self._row_of_slot[fresh["slot"]] = self._lists.count + np.arange(len(fresh["slot"]))
        self._lists.append(fresh)


class _Lists:
    """Rows of lists in arrays that double as they fill, so adding a row takes constant time on average."""

    def __init__(self, list_length: int):
        self.count = 0
        self._columns: Columns = {
            "slot": np.empty(0, dtype=np.int64),
            "items": np.empty((0, list_length), dtype=np.int32),
            "found": np.empty(0, dtype=np.bool_),
            "as_of": np.empty(0, dtype=np.int64),
            "prompt_tokens": np.empty(0),
            "output_tokens": np.empty(0),
            "latency_s": np.empty(0),
            "written": np.empty(0),
            "ungrounded": np.empty(0),
            "outcome": np.empty(0),
        }

    def append(self, columns: Columns) -> None:
        """Adds rows."""
        end = self.count + len(columns["slot"])
        for name, old in self._columns.items():
            if end > len(old):
                self._columns[name] = np.empty((max(end, 2 * len(old)), *old.shape[1:]), dtype=old.dtype)
                self._columns[name][: self.count] = old[: self.count]
            self._columns[name][self.count : end] = columns[name]
        self.count = end

    def take(self, rows: NDArray[np.int64]) -> Columns:
        """Copies of rows."""
        return {name: values[rows] for name, values in self._columns.items()}


class GrownCandidates(CachedCandidates):
    """Lists for histories that arise while a run goes: kept in memory alone, until a history turns out otherwise."""

    def _on_disk(self) -> Columns:
        return self._lists.take(np.empty(0, dtype=np.int64))

    def save(self) -> None:
        """Nothing is kept: no later run has these histories."""

    def forget(self, users: NDArray[np.int64], beyond: NDArray[np.int64], until: NDArray[np.int64]) -> None:
        """What was made as of positions beyond `beyond` [M], up to `until` [M], is of histories that never were."""
        which, nth = ragged(np.maximum(until - beyond, 0))
        self._row_of_slot[(self._first_slot[users] + beyond + 1)[which] + nth] = -1


def _portions(rows: NDArray[np.int64], size: int | None) -> list[NDArray[np.int64]]:
    return [rows] if size is None else [rows[at : at + size] for at in range(0, len(rows), size)]


def _columns(slots: NDArray[np.int64], lists: CandidateLists) -> Columns:
    def given(values: Floats | None) -> Floats:
        return np.full(len(slots), np.nan) if values is None else values

    return {
        "slot": slots,
        "items": lists.items,
        "found": lists.found,
        "as_of": lists.as_of,
        "prompt_tokens": given(lists.prompt_tokens),
        "output_tokens": given(lists.output_tokens),
        "latency_s": given(lists.latency_s),
        "written": given(lists.written),
        "ungrounded": given(lists.ungrounded),
        "outcome": given(lists.outcome),
    }
