"""Decisions of made sweeps, as `decide` leaves them in their folders."""

from pathlib import Path

from fleetrec.simulator.experiments.decision.answer import decide
from fleetrec.simulator.experiments.decision.value import Value
from tests.simulator.experiments.decision.worlds import sweep_of


def decided(folder: Path, name: str = "all", worth: float | None = 0.2, budget: float | None = None) -> Path:
    """The folder of a sweep in which the policy `name` was tried with worse and better lists and at a higher price."""
    settings = {
        "never": {"policy.request": "never"},
        name: {"policy.request": "always"},
        f"{name}, LLM quality: half blended": {"policy.request": "always", "llm.quality": {"blend": 0.5}},
        f"{name}, LLM quality: knowing 20%": {"policy.request": "always", "llm.quality": {"knows_next": 0.2}},
        f"{name}, GPU price: high": {"policy.request": "always", "tariffs.gpu_hour": "high"},
    }
    hits = dict(zip(settings, ((0.1, 0.0), (0.4, 1.0), (0.2, 1.0), (0.6, 1.0), (0.4, 3.0)), strict=True))
    lists = dict(zip(settings, (0.4, 0.4, 0.2, 0.6, 0.4), strict=True))
    sweep_of(folder, hits, settings, lists=lists)
    decide(folder, Value(worth, budget), marks={"my LLM": 0.31})
    return folder
