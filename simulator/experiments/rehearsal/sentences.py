"""What a rehearsal says, in sentences made of its summary's figures."""

from collections.abc import Mapping
from typing import Any

from fleetrec.models.runtime.wording import counted
from fleetrec.simulator.results.sentences import money, signed, signed_share

MONTH = "usd_provisioned_per_month"


def headline(summary: Mapping[str, Any]) -> str:
    """How the server's latency compares with what was simulated, before and after the fit."""
    part = "second" if "second" in summary["times_s"] else "all"
    times, errors = summary["times_s"][part], summary["errors"][part]
    latency = times["measured"]["latency"]
    said = (
        f"The server answers in {latency['p50']:.3g} s in the median and {latency['p95']:.3g} s at the 95th percentile"
    )
    if "guess" in times:
        said += f"; the scenario's {summary['guess']} would in "
        said += f"{times['guess']['latency']['p50']:.3g} s and {times['guess']['latency']['p95']:.3g} s"
    if "profile" in errors:
        bars = summary["bars"]
        verdict = "within" if summary["met"] else "not within"
        said += (
            f". A profile fitted to the first {counted(summary['fitted'], 'request')} is off by "
            f"{off_text(summary, 'second', 'latency_p50')} and {off_text(summary, 'second', 'latency_p95')} on the "
            f"{summary['requests'] - summary['fitted']:,} that it has not seen, "
            f"{verdict} the {bars['latency_p50']:.0%} and {bars['latency_p95']:.0%} that are to be expected"
        )
    return f"{said}."


def off_text(summary: Mapping[str, Any], part: str, name: str) -> str:
    """How far the fitted profile is off, and, on what it has not seen, between which so few answers may have it off."""
    error = signed_share(summary["errors"][part]["profile"][name])
    ends = (summary.get("errors_95") or {}).get(name) if part == "second" else None
    return error if ends is None else f"{error} (95%: {signed_share(ends[0])} to {signed_share(ends[1])})"


def effect_text(summary: Mapping[str, Any]) -> str | None:
    """What the difference does to accuracy and dollars; None where that was not simulated."""
    effect = summary.get("effect")
    if not effect:
        return None
    moved, month = effect["accuracy_difference"], [effect[name][MONTH] for name in ("guess", "profile")]
    said = (
        f"With the server's own speed {effect['metric'].upper()} moves by {signed(moved['mean'])} (95%: "
        f"{signed(moved['low'])} to {signed(moved['high'])})"
    )
    if None in month:
        which = " and ".join(
            name for name, value in zip(("that speed", "the guess"), month[::-1], strict=True) if value is None
        )
        return f"{said}; no number of replicas meets the represented fleet's objective at {which}."
    return f"{said}, and what the represented fleet needs from {money(month[0])} to {money(month[1])} a month."


def failure_text(summary: Mapping[str, Any]) -> str | None:
    """That the server did not serve the load, for most of it was not answered; None where it was."""
    due, answered = summary["sent"]["due"], summary["sent"]["answered"]
    if 2 * answered >= due:
        return None
    return f"{answered:,} of {counted(due, 'request')} came to an answer, so its figures are not those of this load"


def sender_text(summary: Mapping[str, Any]) -> str:
    """How many were sent and answered, and how well the sender kept its time."""
    sent = summary["sent"]
    late = f"{sent['late_share']:.1%}" if sent["late_share"] is not None else "none"
    return (
        f"{sent['sent']:,} of {counted(sent['due'], 'request')} sent in {sent['seconds']:.0f} s, {sent['answered']:,} "
        f"answered; {late} sent more than 20 ms after their moment."
    )
