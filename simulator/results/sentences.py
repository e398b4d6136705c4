"""The answer in plain words and money: whether to call the cloud at all, against what needs no request."""

import math
from collections.abc import Mapping
from typing import Any, Literal

from fleetrec.models.runtime.wording import counted, with_minus
from fleetrec.simulator.core.money import currency

Call = Literal["yes", "no", "not shown"]

WITHOUT_CLOUD = {
    "srm": "the phone's own model alone",
    "popular": "a list of the most popular items",
    "recent": "a list of the user's own recent items",
    "frequent": "a list of the user's own frequent items",
    "markov": "a table of what follows what",
}
"""what needs no request, in words"""


def calling(
    call: Call,
    metric: str,
    who: str,
    alone: str,
    reached: float,
    gain: Mapping[str, float],
    month: Mapping[str, Any] | None,
    represents: int | None,
) -> str:
    """Whether to call the cloud: who asks, against the best that needs no request, `alone`, and what it `reached`.

    gain: what is added to that, with `low` and `high` of its 95% interval. month: dollars a month of the fleet that the
    run `represents`, likewise; None where they are not known.
    """
    name, added = WITHOUT_CLOUD.get(alone, f"'{alone}'"), between(signed, gain)
    spent = f", for {currency().label.removeprefix('US ')} a month that are not known: the notes say why"
    if month is not None:
        spent = f" for {between(money, month, 'a month')}{fleet(represents)}"
    total = f"{reached + gain['mean']:.4f}"
    if call == "yes":
        return f"Calling adds accuracy: {who} reaches {metric} {total} against {reached:.4f} of {name}, {added}{spent}."
    own = f"{name} reaches {metric} {reached:.4f} for nothing"
    if call == "no":
        return f"Do not call: {own}; {who} reaches {total}, {added}{spent}."
    return f"No gain from calling is shown: {own}; {who} makes that {total}, {added}{spent}."


def between(words: Any, figure: Mapping[str, Any], unit: str = "") -> str:
    """A figure in words with its 95% interval, where it has one."""
    text = f"{words(figure['mean'])}{f' {unit}' if unit else ''}"
    ends = [figure.get("low"), figure.get("high")]
    known = all(isinstance(end, int | float) and math.isfinite(end) for end in ends)
    return f"{text} (95% {words(ends[0])} to {words(ends[1])})" if known else text


def fleet(represents: int | None) -> str:
    """The size of the fleet that dollars are of."""
    return "" if represents is None else f" and {counted(represents, 'phone')}"


def signed(value: float) -> str:
    """A difference with its sign."""
    return with_minus(f"{value:+.4f}")


def signed_share(value: float) -> str:
    """A relative difference as a percentage with its sign."""
    return with_minus(f"{value:+.1%}")


def money(usd: float) -> str:
    """An amount with three digits that count, in the currency that is told: $21,600, −$3.52, €0.0381."""
    value, sign = usd * currency().per_usd, currency().sign
    if not math.isfinite(value):
        return "n/a"
    if not value:
        return f"{sign}0"
    if abs(value) < 1e-4:
        return f"under {sign}0.0001"
    places = 2 - math.floor(math.log10(abs(value)))
    text = f"{sign}{abs(round(value, places)):,.{max(places, 2) if places > 0 else 0}f}"
    return f"−{text}" if value < 0 else text
