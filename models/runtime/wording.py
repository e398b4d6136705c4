"""Numbers of things in words, and messages in the words of whom they are for."""

import re
from collections.abc import Mapping


def counted(number: float, thing: str, things: str | None = None) -> str:
    """A number of things: 1 replica, 2,000 replicas; `things` where the plural is not the singular and an s."""
    return f"{number:,.0f} {thing if number == 1 else things or thing + 's'}"


def with_minus(figure: str) -> str:
    """A figure that is written out, below zero with the sign for it: −5.5%."""
    return figure.replace("-", "−")


def as_options(message: str, options: Mapping[str, str]) -> str:
    """A message that blames a key first and recommends others ("gpu: b200 would fit"), with the options of a command
    in their places; keys with a dot in them wherever they stand."""
    keys = "|".join(re.escape(key) for key in sorted(options, key=len, reverse=True))

    def option(found: re.Match[str]) -> str:
        key, colon = found.groups()
        if colon is None and "." not in key:
            return found[0]  # a word
        return options[key] + ((colon if found.start() == 0 else " ") if colon else "")

    return re.sub(rf"(?<![\w.-])({keys})(?![\w.])(: )?", option, message)
