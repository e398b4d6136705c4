"""A setting of a scenario in one line."""

from collections.abc import Mapping
from typing import Any


def value_text(value: Any) -> str:
    """A setting in one line, as a scenario file would write it."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {value_text(part)}" for key, part in value.items())
    if isinstance(value, list | tuple):
        return f"[{', '.join(value_text(part) for part in value)}]"
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def is_number(value: Any) -> bool:
    """Whether a setting is a bare quantity, which has an order and a distance; true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)
