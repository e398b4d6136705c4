"""Several readings of a file that fit alike, between which only the user can say."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from fleetrec.models.runtime.errors import InputError


class Option(NamedTuple):
    """One reading: what it is in words, and the keys of `workload.interactions` that say it."""

    told: str
    keys: dict[str, Any]


class OpenReading(InputError):
    """A file that more than one reading fits. Its line shows them; `init` asks for one of `options`."""

    def __init__(self, message: str, question: str, options: Sequence[Option]):
        super().__init__(message)
        self.question, self.options = question, options

    def of_items(self) -> "OpenReading":
        """The same about the log's table of items."""
        options = [Option(told, {"items": keys}) for told, keys in self.options]
        return OpenReading(str(self), self.question, options)
