"""What a language model wrote, read as a list of titles; what around them is no title is left out, and why is said.

Models think aloud, open and close with a few words, fence, number, explain, refuse, and end in the middle of a line.
Marks are taken off by what all lines have in common, not line by line: a title that begins with a number keeps it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from fleetrec.models.llm.answers.entries import entry
from fleetrec.models.llm.answers.lists import titles_of_lines
from fleetrec.models.llm.answers.markup import fenced, of_the_answer, tagged
from fleetrec.models.llm.answers.reasons import Dropped, Why
from fleetrec.models.llm.answers.records import records

__all__ = ["Dropped", "Parsed", "Why", "answers_of", "parsed"]


_LONGEST = 100_000  # characters of an answer that are read, without its thinking


@dataclass(frozen=True)
class Parsed:
    """The titles of an answer in their order, and what was left out."""

    titles: tuple[str, ...]
    dropped: tuple[Dropped, ...]


def parsed(text: str, most: int, known: Callable[[str], bool] = lambda _: False, cut: bool = False) -> Parsed:
    """At most `most` titles. `known`: whether a line is a title as it stands, so that nothing of it is left out;
    `cut`: the answer ended before the model had."""
    text, dropped = of_the_answer(text)
    text, outside = tagged(text[:_LONGEST])
    titles, inner = _in_blocks(text, known, cut)
    dropped += outside + inner
    dropped += [Dropped(title, Why.BEYOND) for title in titles[most:]]
    return Parsed(tuple(titles[:most]), tuple(dropped))


def answers_of(text: str, most: int, known: Callable[[str], bool] = lambda _: False) -> list[str]:
    """The titles in a model's answer, at most `most`."""
    return list(parsed(text, most, known).titles)


def _in_blocks(text: str, known: Callable[[str], bool], cut: bool) -> tuple[list[str], list[Dropped]]:
    """The titles in the fences of an answer, or in all of it where there are none."""
    blocks, outside = fenced(text)
    found = [_in_block(block, known, cut) for block in blocks]
    if any(titles for titles, _ in found):
        return [one for titles, _ in found for one in titles], outside + [one for _, left in found for one in left]
    return _in_block(text, known, cut)


def _in_block(text: str, known: Callable[[str], bool], cut: bool) -> tuple[list[str], list[Dropped]]:
    found = records(text)
    if found is None:
        return titles_of_lines(text, known, cut)
    titles, dropped = found
    if len(titles) == 1:  # which may be a list in one string
        within, left = titles_of_lines(titles[0], known, cut=False)  # what was cut off is no whole string
        return within, dropped + left
    whole = [" ".join(title.split()) for title in titles]
    return [title for title in _without_numbers(whole, known) if title], dropped


def _without_numbers(titles: list[str], known: Callable[[str], bool]) -> list[str]:
    """Titles of a list that were numbered besides."""
    found = [entry(title) for title in titles if title]
    numbered = len(found) > 1 and all(one.number == place for place, one in enumerate(found, start=1))
    return [one.text for one in found] if numbered and not any(map(known, titles)) else titles
