"""Where simulated time stands on an axis: by the log's own calendar where it has one, else counted from the start."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from fleetrec.reports.data.quantities import time_unit

_DAY_S = 86400.0
_CALENDAR = "time of the log (UTC)"


@dataclass(frozen=True)
class TimeScale:
    """An axis of `span_s` seconds. starts_s: seconds since 1970 at simulated time 0; None where no date is known."""

    span_s: float
    starts_s: float | None = None

    @property
    def unit_s(self) -> float:
        """Seconds in a unit of the axis: days of a calendar, else what suits the span."""
        return _DAY_S if self.starts_s is not None else time_unit(self.span_s)[0]

    @property
    def label(self) -> str:
        """What the axis is called."""
        return _CALENDAR if self.starts_s is not None else f"simulated time ({time_unit(self.span_s)[1]})"

    def places(self, t_s: ArrayLike) -> NDArray[np.float64]:
        """Simulated seconds in units of the axis; those of a calendar count from 1970, as Matplotlib's dates do."""
        return (np.asarray(t_s, np.float64) + (self.starts_s or 0.0)) / self.unit_s

    def numbers(self, t_s: ArrayLike) -> list[float]:
        """Simulated seconds as Plotly reads them: milliseconds since 1970 on a calendar, else units of the axis."""
        if self.starts_s is not None:
            return [float(round(value)) for value in self.places(t_s) * _DAY_S * 1e3]
        return [float(f"{value:.5g}") for value in self.places(t_s)]

    def axis(self) -> dict[str, Any]:
        """The axis in Plotly's words."""
        ends = self.numbers([0.0, max(self.span_s, 1.0)])
        kind = {"type": "date"} if self.starts_s is not None else {}
        return {"title": {"text": self.label}, "range": ends, **kind}

    def label_axis(self, axes: Axes) -> None:
        """Ticks and title of a horizontal axis of Matplotlib that `places` has scaled, where people look at a clock."""
        axes.set_xlabel(self.label)
        if self.starts_s is not None:
            date_ticks(axes)
            return
        name = time_unit(self.span_s)[1]
        steps = [1, 2, 3, 6, 10] if name in ("hours", "minutes", "seconds") else [1, 2, 5, 7, 10]
        axes.xaxis.set_major_locator(MaxNLocator(nbins=12, steps=steps, integer=name != "seconds"))


def date_ticks(axes: Axes) -> None:
    """Round dates and hours on a horizontal axis in days since 1970."""
    locate = AutoDateLocator(tz=UTC, maxticks=12)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locate)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locate, tz=UTC))  # type: ignore[no-untyped-call]


def common_scale(spans_s: Sequence[float], summaries: Sequence[Mapping[str, Any]]) -> TimeScale:
    """The axis that several runs share: of the longest, and with a calendar where all start at one date."""
    starts = {_seconds(summary.get("starts_at")) for summary in summaries}
    return TimeScale(max(spans_s), starts.pop() if len(starts) == 1 else None)


def _seconds(moment: object) -> float | None:
    return datetime.fromisoformat(moment).timestamp() if isinstance(moment, str) else None
