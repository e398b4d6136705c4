"""What a mistake in a scenario says."""

from pathlib import Path

import pytest

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.scenario import load_scenario


def message(path: Path, *overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        load_scenario(path, overrides)
    text = str(caught.value)
    assert "\n" not in text
    return text
