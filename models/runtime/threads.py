"""Independent pieces of tensor work on as many threads as PyTorch may use, each piece on one thread.

Pieces are small, so an operator that splits itself over threads waits more than it works; whole pieces do not. What a
piece computes does not depend on the number of threads.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

from fleetrec.models.runtime.pytorch import get_threads, set_threads

Piece = TypeVar("Piece")

_at_once: list[int] = []
"""pieces that may be done at once, where operators are not divided; the last one holds"""


@contextmanager
def _undivided(pieces_at_once: int) -> Iterator[None]:
    before = get_threads()
    _at_once.append(pieces_at_once)
    set_threads(1)
    try:
        yield
    finally:
        set_threads(before)
        _at_once.pop()


def _threads() -> int:
    return _at_once[-1] if _at_once else get_threads()


def operators_undivided() -> AbstractContextManager[None]:
    """Meanwhile no operator splits itself: the threads that one was split over wait busily for the next, on cores that
    others need. `for_each` has as many threads as before."""
    return _undivided(_threads())


def for_each(work: Callable[[Piece], None], pieces: Sequence[Piece]) -> None:
    """Do `work` for every piece; pieces must not write to the same place, and those of a piece stay on its thread. The
    first exception is raised."""
    threads = _threads()
    with _undivided(1):
        if threads == 1 or len(pieces) < 2:
            for piece in pieces:
                work(piece)
        else:
            with ThreadPoolExecutor(threads) as pool:
                for _ in pool.map(work, pieces):
                    pass
