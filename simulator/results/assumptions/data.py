"""How long the SRM was trained, whether the log's clock is real, and whom the fleet represents."""

from typing import Any

import numpy as np

from fleetrec.models.early_stopping import TrainingCurve
from fleetrec.simulator.core.notes import Note
from fleetrec.simulator.preparation.prepare import Prepared
from fleetrec.simulator.results.sentences import signed
from fleetrec.simulator.results.training_curves import LATE, curve_section
from fleetrec.simulator.scenario import sections

DAY_S = 86_400.0
_FEW_ZERO_GAPS = 0.05
_MANY_IN_ONE_DAY = 0.25


def srm_training(kind: str, curve: TrainingCurve) -> Note | None:
    if not curve.values:
        return None
    taken, gain = len(curve.values), curve.gain_since(LATE)
    values = {**curve_section(curve), "gain_in_last_quarter": gain}
    text = f"The SRM ({kind}) reached NDCG@10 {max(curve.values):.4f} on validation, in epoch "
    text += f"{curve.best_epoch} of {taken}; the last quarter of its epochs gave {signed(gain)}. "
    if curve.converged:
        text += "Training ended because it got no better."
    elif curve.still_rising:
        text += "It still rose when training ended: what asking is worth above it is overstated (raise srm.epochs)."
    else:
        text += "Training ended at its last epoch, not because it got no better."
    return Note("srm_training", text, values)


def clock(arrivals: sections.Arrivals, prepared: Prepared) -> Note | None:
    """Arrivals that are not as they happened, so that load, queue and replicas are not either."""
    log = prepared.trained.split.log
    same = np.diff(log.user_of_event) == 0
    gaps = np.diff(log.times)[same]
    zero = float((gaps == 0).mean()) if len(gaps) else 0.0
    long = log.lengths >= 5
    first, last = log.times[log.offsets[:-1]], log.times[log.offsets[1:] - 1]
    one_day = float((last - first < DAY_S)[long].mean()) if long.any() else 0.0
    days_only = log.clock != "none" and bool((log.times % DAY_S == log.times[0] % DAY_S).all())
    drawn = arrivals.kind != "replay"
    values: dict[str, Any] = {
        "zero_gap_share": zero if log.clock != "none" else None,
        "inexact_share": log.inexact_times,
        "users_within_one_day": one_day if log.clock != "none" else None,
        "whole_days_only": days_only,
        "arrivals": arrivals.kind,
    }
    why = []
    if log.clock == "none":
        why.append("the log has no times")
    else:
        if days_only:
            why.append("the log knows days only")
        elif zero > _FEW_ZERO_GAPS:
            why.append(f"{zero:.0%} of a user's consecutive events have the same time")
        if log.inexact_times > 0:
            why.append(f"{log.inexact_times:.0%} of the times were filled in, by the file's own word")
        if one_day > _MANY_IN_ONE_DAY and not days_only:
            why.append(f"{one_day:.0%} of users have all their events within one day")
    if isinstance(arrivals, sections.ReplayArrivals):
        if arrivals.time_scale != 1:
            values["time_scale"] = arrivals.time_scale
            why.append(f"pauses are multiplied by {arrivals.time_scale:g}")
        if arrivals.shift != "none":
            why.append("users are shifted against each other")
    if drawn:
        why.append(f"moments are drawn ({arrivals.kind}), not those of the log")
    if not why:
        return None
    text = f"Arrivals are not as they happened: {'; '.join(why)}. Load, queue, latency and replicas rest on them."
    return Note("arrivals_clock", text, values)


def represented(phones: int | None, prepared: Prepared) -> Note | None:
    if phones is None:
        return None
    split = prepared.trained.split
    _, places = np.unique(split.log.user_ids.astype(str), return_index=True)  # where users react, clones come after
    active, known = int(split.streamed[places].sum()), len(places)
    values = {
        "represents": phones,
        "users_in_log": known,
        "users_streamed": active,
        "simulated_days": prepared.population.stream.horizon_s / DAY_S,
    }
    text = (
        f"fleet.represents ({phones:,}) counts phones whose user is active in the stream, as "
        f"{active:,} of the log's {known:,} users are ({active / known:.0%}); phones that merely have the app "
        "installed are not among them."
    )
    return Note("represented_users", text, values)
