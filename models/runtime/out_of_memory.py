"""Running out of memory as one line that says what to lower."""

from collections.abc import Iterator
from contextlib import contextmanager

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.pytorch import is_loaded, torch

_SIGNS = ("not enough memory", "out of memory", "can't allocate memory")


@contextmanager
def enough_memory(work: str, lower: str) -> Iterator[None]:
    """PyTorch's complaints about memory during `work` become an InputError that says which keys to `lower`."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        ended = isinstance(error, MemoryError) or (is_loaded() and isinstance(error, torch.OutOfMemoryError))
        if ended or any(sign in str(error) for sign in _SIGNS):
            raise InputError(f"{work}: out of memory; lower {lower}") from error
        raise
