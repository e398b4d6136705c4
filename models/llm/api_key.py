"""The key of an endpoint: read from the environment, checked there, sent in one header and shown nowhere."""

import os

from pydantic import SecretStr

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.printable import printable

_LONGEST = 8192
_TELLING = 8
"""so many characters of the key in a row are masked wherever they stand: a server may cut what it repeats"""


class ApiKey:
    """A key. Its text is held by a SecretStr, so that neither it nor a traceback that holds it shows what it is."""

    def __init__(self, text: str):
        self._secret = SecretStr(text)

    def header(self) -> dict[str, str]:
        """What is sent with a request; nothing where there is no key."""
        held = self._secret.get_secret_value()
        return {"Authorization": f"Bearer {held}"} if held else {}

    def masked(self, text: str) -> str:
        """The text with *** for the key and for every longer piece of it."""
        held = self._secret.get_secret_value()
        if not held:
            return text
        text = text.replace(held, "***")
        size = min(_TELLING, len(held))
        pieces = {held[at : at + size] for at in range(len(held) - size + 1)}
        hidden = [False] * len(text)
        for at in range(len(text) - size + 1):
            if text[at : at + size] in pieces:
                hidden[at : at + size] = [True] * size
        shown = (
            "***" if hide and (at == 0 or not hidden[at - 1]) else "" if hide else text[at]
            for at, hide in enumerate(hidden)
        )
        return "".join(shown)

    def one_line(self, said: object, most: int) -> str:
        """One line of what a server said, of at most so many characters: the key is masked before anything is cut, and
        what is unseen goes."""
        line = printable(" ".join(self.masked(str(said)[: 4 * most]).split()))
        return line if len(line) <= most else f"{line[:most]} ..."


def read_key(variable: str | None, option: str) -> ApiKey:
    """The key in an environment variable, without white space around it; an empty one where none is named.

    InputError, which `option` opens and which does not show it, for one that is not set or cannot be sent.
    """
    if variable is None:
        return ApiKey("")
    name, held = printable(variable), os.environ.get(variable, "").strip()
    if not held:
        raise InputError(
            f"{option}: the environment variable {name} is not set; set it to the endpoint's key, or leave "
            "key_variable out where no key is needed"
        )
    if not (held.isascii() and held.isprintable()) or " " in held or len(held) > _LONGEST:
        raise InputError(
            f"{option}: the environment variable {name} holds no key: it has a space, a line break, a letter outside "
            f"ASCII, or more than {_LONGEST:,} characters; set it again"
        )
    return ApiKey(held)
