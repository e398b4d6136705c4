"""Request traces: when requests arrive and how many tokens they hold."""

from pathlib import Path

from fleetrec.simulator.cloud.capacity.replay import Requests
from fleetrec.simulator.cloud.request_files.forms import NOTHING_SAID, Said
from fleetrec.simulator.cloud.request_files.reading import read_requests
from fleetrec.simulator.core.notes import Note


def read_trace(path: Path, limit: int | None = None, said: Said = NOTHING_SAID) -> tuple[Requests, list[Note]]:
    """The first `limit` requests of a trace that is read as `said`, in order of arrival, times from that of the first;
    and what to say of it.

    InputError names the row that cannot be used.
    """
    read = read_requests(path, limit, said)
    return Requests.of(read.arrival_s, read.prompt_tokens, read.output_tokens, read.sequences), read.notes
