"""What is searched, and how."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fleetrec.models.runtime.artifacts import content_hash
from fleetrec.simulator.experiments.folders import Manifest, Variant
from fleetrec.simulator.experiments.optimise.goals import Goals
from fleetrec.simulator.experiments.optimise.sampling import SamplerName
from fleetrec.simulator.experiments.optimise.space import Settings, Space, overrides_of
from fleetrec.simulator.preparation.input_checks import check_inputs
from fleetrec.simulator.results.run_identity import files_held, versions
from fleetrec.simulator.scenario import Scenario, resolved_yaml, sections

BASE = "base"


@dataclass(frozen=True)
class Problem:
    """A search. `trials`: points to run, the scenario as it stands among them."""

    base: Path
    overrides: Sequence[str]
    goals: Goals
    space: Space
    trials: int = 40
    seeds: Sequence[int] = (1,)
    sampler: SamplerName = "gp"
    sampler_seed: int = 0
    batch: int = 4
    """points that are asked for at once, so the most that can run at a time"""

    @property
    def start(self) -> int:
        """Trials of the space-filling start, the same however long the search goes on."""
        free = sum(parameter.points != 1 for parameter in self.space.parameters)
        return min(max(2 * free, 8), 16)

    def scenario(self, settings: Settings, seed: int | None = None) -> Scenario:
        """The base scenario with settings; InputError where they do not go together."""
        return Scenario.load(self.base, [*self.overrides, *overrides_of(settings)], seed)

    def check(self) -> None:
        """InputError for what is wrong with the base scenario or the space, before anything runs."""

        def load(settings: Settings) -> Scenario:
            return Scenario.load(self.base, [*self.overrides, *overrides_of(settings)], check=check_inputs)

        load({})
        self.space.check(load, "search space")

    @cached_property
    def _base(self) -> Scenario:
        return self.scenario({})

    @property
    def own(self) -> Variant:
        """The scenario as it stands, as a variant that has its own values of the parameters."""
        settings: Settings = {}
        for parameter in self.space.parameters:
            value = _value_of(self._base, parameter.key)
            if parameter.applies(settings) and isinstance(value, str | int | float | bool):
                settings[parameter.key] = value
        return Variant(BASE, BASE, settings)

    @property
    def name(self) -> str:
        """Of the experiment."""
        return f"{self._base.name}-optimised"

    @cached_property
    def terms(self) -> dict[str, Any]:
        """What must stay as it is when a search goes on: all but the number of trials."""
        parameters = [
            [parameter.name, parameter.choices, parameter.low, parameter.high, parameter.step, parameter.log]
            for parameter in self.space.parameters
        ]
        return {
            "scenario": content_hash(resolved_yaml(self._base), files_held(self._base)),
            "space": content_hash(parameters),
            "goals": json.dumps([self.goals.directions, self.goals.limits]),
            "seeds": list(self.seeds),
            "sampler": f"{self.sampler} with seed {self.sampler_seed} in batches of {self.batch}",
            "versions": versions(),
        }

    def given(self) -> dict[str, Any]:
        """experiment.yaml: what was asked for, the space aside."""
        return {
            "base": str(self.base),
            "set": list(self.overrides),
            "directions": dict(self.goals.directions),
            "limits": dict(self.goals.limits),
            "seeds": list(self.seeds),
            "trials": self.trials,
            "sampler": self.sampler,
            "sampler_seed": self.sampler_seed,
            "batch": self.batch,
        }

    def manifest(self, variants: Sequence[Variant], baseline: str = BASE) -> Manifest:
        """experiment.json with the points so far."""
        axes = {
            key: list(dict.fromkeys(variant.settings[key] for variant in variants if key in variant.settings))
            for key in self.space.keys
        }
        return Manifest(
            kind="optimisation",
            name=self.name,
            question=f"Which policy of {self._base.name} is best, and at what cost?",
            base=str(self.base),
            base_hash=self.terms["scenario"],
            seeds=list(self.seeds),
            axes=axes,
            variants=list(variants),
            metrics=self.goals.names,
            baseline=baseline,
            versions=self.terms["versions"],
            directions=dict(self.goals.directions),
            limits=dict(self.goals.limits),
        )


def _value_of(section: sections.Section, key: str) -> Any:
    """The value of a dotted key; None where the section has none."""
    value: Any = section
    for name in key.split("."):
        value = getattr(value, name, None)
    return value.kind if isinstance(value, sections.Kind) and value.is_word else value
