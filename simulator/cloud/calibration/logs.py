"""A server's request log: when each request arrived, its tokens, and when its first and last token came."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.request_files.forms import NOTHING_SAID, Said
from fleetrec.simulator.cloud.request_files.reading import read_requests
from fleetrec.simulator.core.notes import Note


@dataclass(frozen=True)
class RequestLog:
    """Requests in order of arrival; arrays of shape [n], times in seconds since the first arrival."""

    name: str
    sha256: str
    arrival_s: NDArray[np.float64]
    prompt_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    first_s: NDArray[np.float64]
    last_s: NDArray[np.float64]
    notes: tuple[Note, ...] = ()
    gaps_s: tuple[tuple[float, ...], ...] = ()
    """of each request, seconds between the events that brought its tokens after the first, where the log tells them"""

    def __len__(self) -> int:
        return len(self.arrival_s)


def read_log(path: Path, said: Said = NOTHING_SAID) -> RequestLog:
    """The log in file `path`, of any form that `read_requests` reads, read as `said`.

    InputError where a request has no time of a token, or no output, and as `read_requests` says.
    """
    read = read_requests(path, said=said)
    untold = np.isnan(read.first_s) | np.isnan(read.last_s)
    if untold.all():
        raise InputError(
            f"{path}: does not say when first and last tokens came, which a fit needs; `replay` needs none"
        )
    for wrong, what in (
        (untold, "no time of its first or its last token"),
        (read.output_tokens < 1, "no output token"),
    ):
        if wrong.any():
            raise InputError(f"{path}: row {read.rows[wrong].min()}: {what}; mend or remove the row")
    return RequestLog(
        name=path.name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        arrival_s=read.arrival_s,
        prompt_tokens=read.prompt_tokens,
        output_tokens=read.output_tokens,
        first_s=read.first_s,
        last_s=read.last_s,
        notes=tuple(read.notes),
        gaps_s=read.gaps_s if any(read.gaps_s) else (),
    )
