"""The notes that a run or a comparison wrote, read back."""

from collections.abc import Mapping
from typing import Any

from fleetrec.simulator.core.notes import ENGAGEMENT, PREDICTION_TEXT


def _told(held: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Key and text of each note of a summary or an answer. A folder of before notes had keys holds sentences alone."""
    notes = held.get("notes") or ()
    return [
        (str(one.get("key")), str(one.get("text"))) if isinstance(one, Mapping) else ("", str(one)) for one in notes
    ]


def texts_of(held: Mapping[str, Any], *keys: str) -> list[str]:
    """What the notes of some keys say."""
    return [text for key, text in _told(held) if key in keys]


def caveat_of(held: Mapping[str, Any]) -> str:
    """What a run's figures are no measure of, or, of users who react, what they are one of."""
    return next(iter(texts_of(held, ENGAGEMENT)), PREDICTION_TEXT)


def texts_but(held: Mapping[str, Any], *keys: str) -> list[str]:
    """What the notes of all keys but some say."""
    return [text for key, text in _told(held) if key not in keys]
