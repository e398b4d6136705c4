"""Other LLMs on the axis of quality: what `--mark` says of them."""

from collections.abc import Sequence
from pathlib import Path

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.user_files import read_json
from fleetrec.simulator.scenario.building import number_of


def read_marks(texts: Sequence[str]) -> dict[str, float]:
    """NDCG@10 of lists by the name of their LLM, from `NAME=0.21`, or from the file that `evaluate --json` printed.

    InputError for anything else.
    """
    found: dict[str, float] = {}
    for text in texts:
        name, equals, value = text.rpartition("=")
        number = number_of(value.strip()) if equals and name.strip() else None
        if number is None:
            found |= _evaluated(Path(text))
        elif 0 <= number <= 1:
            found[name.strip()] = float(number)
        else:
            raise InputError(f"--mark {text}: NDCG@10 lies between 0 and 1; write {name.strip()}=0.21")
    return found


def _evaluated(path: Path) -> dict[str, float]:
    expected = "expected NAME=0.21, NDCG@10 of an LLM's lists, or the file that `evaluate --json` printed"
    try:
        held = read_json(path)
        found = float(held["llm"]["ndcg@10"])
        if not 0 <= found <= 1:
            raise ValueError("no NDCG")
        return {f"{held['models']['llm']}, evaluated": found}
    except FileNotFoundError:
        raise InputError(f"--mark {path}: no such file; {expected}") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"--mark {path}: {expected}") from None
