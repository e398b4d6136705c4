"""A decision read back from the folder that `decide` wrote it to."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleetrec.models.runtime.errors import InputError
from fleetrec.reports.data.run_folder import read_mapping
from fleetrec.simulator.experiments.folders import ExperimentFolder, Manifest
from fleetrec.simulator.scenario.sections import Currency

FILE = "decision.json"
_KEYS = ("sentence", "call", "policy", "metric", "value", "policies", "nothing", "axes", "marks", "turns", "currency")


@dataclass(frozen=True)
class DecisionRecords:
    """decision.json, the plan of its experiment, and what one run of the chosen policy says of models and accounts."""

    decision: Mapping[str, Any]
    manifest: Manifest
    summary: Mapping[str, Any]
    scenario: str

    @property
    def currency(self) -> Currency:
        """In which money is told."""
        return Currency(**self.decision["currency"])

    @property
    def name(self) -> str:
        """Of the experiment, as figures are headed."""
        return self.manifest.name


def read_decision(folder: Path) -> DecisionRecords:
    """InputError where a file is missing or not whole."""
    decision = read_mapping(folder / FILE)
    missing = [key for key in _KEYS if key not in decision]
    if missing:
        raise InputError(f"{folder / FILE}: lacks {missing[0]!r}; decide again")
    held = ExperimentFolder(folder)
    manifest = held.manifest()
    variant = next((one for one in manifest.variants if one.name == decision["policy"]), None)
    if variant is None:
        raise InputError(
            f"{folder / FILE}: its policy {decision['policy']!r} is no variant of the experiment; decide again"
        )
    seed = decision["replicated"]["worlds"][0]
    run = held.run_folder(variant, seed, (decision["replicated"]["trainings"] or [None])[0])
    return DecisionRecords(
        decision, manifest, read_mapping(run / "summary.json"), (run / "scenario.yaml").read_text("utf-8")
    )


def rival_of(decision: Mapping[str, Any]) -> str:
    """What the gains that tables tell are over: the SRM alone, or else the best that makes no request."""
    known = any(row["gain_over_srm"] is not None for row in decision["policies"])
    return "the SRM alone" if known else f"'{decision['nothing'][0]['baseline']}'"
