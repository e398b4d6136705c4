"""How the titles that a language model wrote stand in the catalogue."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.candidates import CandidateSource
from fleetrec.simulator.core.notes import Note, note


def answer_figures(source: CandidateSource, users: NDArray[np.int64], as_of: NDArray[np.int64]) -> dict[str, float]:
    """Of the lists of these users as of these positions, each once: how many there are, how many titles the model
    wrote for them, and how many of those no item of the catalogue is near (count and share)."""
    pairs = np.unique(np.stack([users, as_of]), axis=1)
    lists = source.lists(pairs[0], pairs[1])
    assert lists.written is not None
    assert lists.ungrounded is not None
    written, ungrounded = np.nansum(lists.written), np.nansum(lists.ungrounded)
    counts = {"lists": int(lists.found.sum()), "titles": int(written), "ungrounded": int(ungrounded)}
    return {**counts, "ungrounded_share": float(ungrounded / written) if written else 0.0}


def answer_note(figures: Mapping[str, float]) -> Note:
    """The figures in a sentence."""
    said = "llm: {ungrounded_share:.1%} of {titles:,} titles that it wrote for {lists:,} lists are not in the catalogue"
    return note("ungrounded_titles", said, **figures)
