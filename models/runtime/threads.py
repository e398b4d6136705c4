"""Independent pieces of tensor work on as many threads as PyTorch may use, each piece on one thread.

Pieces are small, so an operator that splits itself over threads waits more than it works; whole pieces do not. What a
piece computes does not depend on the number of threads.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Piece = TypeVar("Piece")


def for_each(work: Callable[[Piece], None], pieces: Sequence[Piece]) -> None:
    """Do `work` for every piece; pieces must not write to the same place. The first exception is raised."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        if threads == 1 or len(pieces) < 2:
            for piece in pieces:
                work(piece)
        else:
            with ThreadPoolExecutor(threads) as pool:
                for _ in pool.map(work, pieces):
                    pass
    finally:
        torch.set_num_threads(threads)
