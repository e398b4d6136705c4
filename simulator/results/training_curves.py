"""How the models of a run were trained: validation by epoch, and a note where one might have been trained longer."""

from typing import Any

from fleetrec.models.early_stopping import UNTRAINED, TrainingCurve
from fleetrec.simulator.core.notes import Note, note
from fleetrec.simulator.preparation.prepare import Prepared

LATE = 0.75
"""share of its epochs after which what validation still gained is told"""


def training_section(validation: dict[str, float], curve: TrainingCurve) -> dict[str, Any]:
    """Validation of the epoch kept, and how it was reached."""
    return {"validation": validation, **curve_section(curve)}


def curve_section(curve: TrainingCurve) -> dict[str, Any]:
    """NDCG@10 on validation epoch by epoch, and whether it got no better in the end."""
    return {
        "validation_by_epoch": list(curve.values),
        "best_epoch": curve.best_epoch,
        "most_epochs": curve.most_epochs,
        "converged": curve.converged,
    }


def llm_training(prepared: Prepared) -> dict[str, Any]:
    """The same of the model that makes the lists; empty where it was not trained here."""
    curve = curve_of_lists(prepared)
    return training_section(getattr(prepared.source, "validation", {}), curve) if curve.values else {}


def training_notes(lists_kind: str, prepared: Prepared) -> list[Note]:
    """A sentence for each model whose validation still rose when its last epoch ended."""
    notes = []
    if prepared.trained.srm.curve.still_rising:
        notes.append(_note("srm", "srm.epochs", prepared.trained.srm.curve))
    llm = curve_of_lists(prepared)
    if llm.still_rising:
        notes.append(_note(lists_kind, "llm.candidates.epochs", llm))
    return notes


def curve_of_lists(prepared: Prepared) -> TrainingCurve:
    """Of the model that makes the lists, where it was trained here."""
    curve: TrainingCurve = getattr(prepared.source, "curve", UNTRAINED)
    return curve


def _note(model: str, key: str, curve: TrainingCurve) -> Note:
    return note(
        "still_rising",
        "{model}: validation still rose at epoch {epochs}, its last (NDCG@10 {ndcg:.4f}, of which {gain:.4f} in the "
        "last quarter of them): a larger {setting} may make it better",
        model=model,
        epochs=curve.most_epochs,
        ndcg=curve.values[-1],
        gain=curve.gain_since(LATE),
        setting=key,
    )
