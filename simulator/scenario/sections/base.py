"""What every section of a scenario file has in common."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A part of a scenario, or of another file that is read: no unknown keys, no NaN, immutable once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def kind_of(*choices: Any) -> Any:
    """A field that is one of several sections, told apart by `kind`; with a choice given, that one by default."""
    return Field(discriminator="kind", **({"default": choices[0]} if choices else {}))
