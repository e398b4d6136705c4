"""Why a piece of an answer is no title."""

from enum import StrEnum
from typing import NamedTuple


class Why(StrEnum):
    """The reasons, in words."""

    THINKING = "thinking"
    AFTER = "after the end of the turn"
    OUTSIDE = "outside of the list"
    HEADING = "a heading"
    OPENING = "words before the list"
    CLOSING = "words after the list"
    NOTE = "a note on a title"
    PROSE = "prose"
    REFUSAL = "a refusal"
    NOTHING = "says that there is none"
    CUT = "cut off"
    BEYOND = "beyond the titles asked for"


class Dropped(NamedTuple):
    """What was left out of an answer."""

    text: str
    why: Why
