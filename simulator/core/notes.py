"""What is to be known beside figures: a key for code to look at, a text for people to read, and the values in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Any

from fleetrec.models.runtime.wording import with_minus

_MOST_LISTED = 8

QUALITY = "quality_and_cost"
COST_ACCOUNT = "cost_account"
NOT_CALENDAR = "not_calendar"
PROVISIONED_NONE = "provisioned_none"
PROVISIONED_LEAVES_OUT = "provisioned_leaves_out"
PREDICTION = "prediction"
PREDICTION_TEXT = "logged choices do not react to slates: results measure prediction, not engagement"
"""what every report says, also of what has no notes"""


ENGAGEMENT = "engagement"
"""in its place, of users who react"""


@dataclass(frozen=True)
class Note:
    """One thing to be known. Code looks at the key alone; `template`, where there is one, makes the text of values."""

    key: str
    text: str
    values: Mapping[str, Any]
    template: str = ""

    def as_data(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {"key": self.key, "text": self.text, "values": dict(self.values)}


def note(key: str, template: str, **values: Any) -> Note:
    """A note whose text has each of the values at its {name}; of a list the first few are written out."""
    return Note(key, written(template, values), values, template)


def written(template: str, values: Mapping[str, Any]) -> str:
    """The template with the values in their places; of what is written with a sign, one below zero has a minus."""
    return _SIGNED.format(template, **{name: _written(value) for name, value in values.items()})


class _Signed(Formatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        text: str = super().format_field(value, format_spec)
        return with_minus(text) if format_spec.startswith("+") else text


_SIGNED = _Signed()


class _Listed:
    """The first few of a list; `!r` puts each in quotation marks."""

    def __init__(self, parts: Sequence[object]):
        self._parts = list(map(str, parts))

    def _shown(self, mark: str) -> str:
        more = len(self._parts) - _MOST_LISTED
        shown = ", ".join(f"{mark}{part}{mark}" for part in self._parts[:_MOST_LISTED])
        return shown + (f" and {more} more" if more > 0 else "")

    def __str__(self) -> str:
        return self._shown("")

    def __repr__(self) -> str:
        return self._shown("'")


def _written(value: Any) -> Any:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    return _Listed(value) if isinstance(value, list | tuple) else value


def data_of(*notes: Note) -> list[dict[str, Any]]:
    """Notes as JSON holds them."""
    return [one.as_data() for one in notes]
