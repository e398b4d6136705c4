"""What users who react did with what they were shown: the first figures of a run's `opportunities` table."""

from typing import Any

import numpy as np
import pandas as pd

from fleetrec.simulator.core.notes import ENGAGEMENT, Note, note

_DAY_S = 86_400.0


def choices_section(opportunities: pd.DataFrame, devices: int, horizon_s: float) -> dict[str, Any]:
    """Choices, sessions, returns, utility and regret, in the mean over what each is of; `devices` of the fleet."""
    came = opportunities[opportunities["outcome"] != "away"]
    outcome = came["outcome"].value_counts()
    taken = came[came["outcome"].isin(("slate", "organic"))]
    looked = came[came["outcome"].isin(("slate", "skip"))]
    sessions = came.groupby(["device", "session"], sort=False)
    first, last = sessions["t_s"].min(), sessions["t_s"].max()
    met = len(sessions)
    offered = met + int((opportunities["outcome"] == "away").sum())
    returns = came["return_s"].dropna()
    regret = looked["best_value"] - looked["value"]
    return {
        "opportunities": len(came),
        "choices": len(taken),
        "choices_per_session": len(taken) / met if met else np.nan,
        "choices_per_device_day": len(taken) / (devices * horizon_s / _DAY_S) if devices and horizon_s else np.nan,
        "from_slate": _share(outcome.get("slate", 0), len(taken)),
        "skipped": _share(outcome.get("skip", 0), len(came)),
        "waited": _share(outcome.get("wait", 0), len(came)),
        "place": float(taken.loc[taken["outcome"] == "slate", "place"].mean()),
        "sessions": met,
        "opportunities_per_session": len(came) / met if met else np.nan,
        "session_s": float((last - first).mean()) if met else np.nan,
        "left_early": _share((came["ends"] == "session").sum(), met),
        "attended": _share(met, offered),
        "return_s": float(returns.mean()),
        "churned": _share((came["ends"] == "life").sum(), devices),
        "satisfaction": float(came.groupby("device")["satisfaction"].last().mean()),
        "utility_per_choice": float(taken["utility"].mean()),
        "utility_per_device": float(taken["utility"].sum()) / devices if devices else np.nan,
        "screen_value": float(looked["value"].mean()),
        "regret": float(regret.mean()),
        "regret_per_device": float(regret.sum()) / devices if devices else np.nan,
    }


def _share(part: int, whole: int) -> float:
    return float(part) / whole if whole else np.nan


def choice_notes(users: str, calibrated: bool) -> list[Note]:
    """What a run whose users react measures; `calibrated`: its policy has a threshold that was found on replay."""
    said = (
        "users of kind {users} react to what they are shown: results measure engagement in a model of users, and ranks "
        "are those of what these chose"
    )
    notes = [note(ENGAGEMENT, said, users=users)]
    if calibrated:
        text = (
            "the request threshold was calibrated on what users did before the run, and does not follow its share here"
        )
        notes.append(note("calibrated_on_replay", text))
    return notes
