"""How the titles that a language model wrote stand in the catalogue, and how its answers ended."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.candidates import CandidateSource
from fleetrec.models.llm.titles import Outcome
from fleetrec.simulator.core.notes import Note, note

_WITHOUT_TITLES = {
    "ended_early": (Outcome.CUT_OFF_EMPTY, "cut off by max_new_tokens before a title"),
    "refused": (Outcome.REFUSED, "refused"),
    "held_no_title": (Outcome.NO_TITLE, "words without a title"),
    "failed": (Outcome.NO_ANSWER, "no answer"),
}


def answer_figures(source: CandidateSource, users: NDArray[np.int64], as_of: NDArray[np.int64]) -> dict[str, float]:
    """Of the lists of these users as of these positions, each once: how many there are, how many titles the model
    wrote for them, how many of those are not in the catalogue (count and share), how many answers were cut off after
    some titles, and how many held no title, by why."""
    pairs = np.unique(np.stack([users, as_of]), axis=1)
    lists = source.lists(pairs[0], pairs[1])
    assert lists.written is not None
    assert lists.ungrounded is not None
    assert lists.outcome is not None
    written, ungrounded = np.nansum(lists.written), np.nansum(lists.ungrounded)
    counts = {"lists": int(lists.found.sum()), "titles": int(written), "ungrounded": int(ungrounded)}
    share = {"ungrounded_share": float(ungrounded / written) if written else 0.0}
    ends = {name: int((lists.outcome == outcome).sum()) for name, (outcome, _) in _WITHOUT_TITLES.items()}
    return counts | share | {"cut_off": int((lists.outcome == Outcome.CUT_OFF).sum())} | ends


def answer_notes(figures: Mapping[str, float], fill: Literal["popular", "none"]) -> list[Note]:
    """The figures in sentences; `fill`: what the lists of answers without titles hold."""
    found = []
    reasons = {why: figures[name] for name, (_, why) in _WITHOUT_TITLES.items() if figures[name]}
    if reasons:
        said = "llm: {without_titles:,} of {lists:,} answers hold no title ({reasons}); {then}"
        then = "their lists are the popular items" if fill == "popular" else "their lists are empty"
        without = sum(reasons.values())
        found.append(
            note("no_titles", said, without_titles=without, lists=figures["lists"], reasons=reasons, then=then)
        )
    if figures["cut_off"]:
        said = "llm: {cut_off:,} of {lists:,} answers were cut off in their list; raise llm.candidates.max_new_tokens"
        found.append(note("answers_cut_off", said, cut_off=figures["cut_off"], lists=figures["lists"]))
    if figures["titles"]:
        said = "llm: {ungrounded_share:.1%} of {titles:,} titles that it wrote for {lists:,} lists are not in the "
        said += "catalogue"
        found.append(note("ungrounded_titles", said, **figures))
    return found
