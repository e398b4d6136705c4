"""The `workload` section: which interactions devices replay, what is learnt from and when they happen."""

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import available_timezones

from pydantic import Field, ValidationInfo, field_validator

from fleetrec.simulator.scenario.sections.base import Section, kind_of
from fleetrec.simulator.scenario.sections.users import Users
from fleetrec.simulator.scenario.units import Seconds, Share

RECIPE_FOLDER = Path(__file__).parents[2] / "workload" / "recipes"
RECIPES = tuple(sorted(path.stem for path in RECIPE_FOLDER.glob("*.yaml")))
"""published data sets whose form is known by name: one file each in `RECIPE_FOLDER`"""
KINDS = ("auto", "csv", "tsv", "json", "parquet", "workbook", "lines")


Column = str | Annotated[int, Field(ge=1)]


class LogColumns(Section):
    """Which columns hold what: by their names, or by their places from 1."""

    user: Column | None = Field(None, description="who")
    item: Column | None = Field(None, description="what")
    time: Column | tuple[Column, ...] | Literal["none"] | None = Field(
        None, description="when; a date and a clock in two columns are `[date, clock]`; `none`: take the rows' order"
    )
    clicked: Column | None = Field(
        None, description="whether an item that was shown was taken up; rows that say no are no interactions"
    )
    shown: Column | None = Field(None, description="of a log of what was shown: whether it was, kept by `data convert`")
    random: Column | None = Field(None, description="the same: whether it was shown at random")
    slate: Column | None = Field(None, description="the same: what was shown together")
    position: Column | None = Field(None, description="the same: at which place, 1 the one that is seen first")
    propensity: Column | None = Field(None, description="the same: with which probability it was shown there")


class ItemColumns(Section):
    """Which columns of a table of items hold what: by their names, or by their places from 1."""

    item: Column | None = Field(None, description="the item, as in the log")
    title: Column | None = Field(None, description="what a language model is shown")
    attributes: Column | tuple[Column, ...] | None = Field(
        None, description="genres, tags, categories; several are joined"
    )


class TimeForm(Section):
    """How times are written."""

    unit: str = Field(
        "auto",
        description="s, ms, us or ns since 1970, `days` of a spreadsheet, iso, a form such as `%d/%m/%Y %H:%M`, or "
        "`iso+ms`: a date, and milliseconds from its start in a second column",
    )
    year: int | None = Field(None, ge=1970, le=2100, description="of days that name none, such as %m%d")
    zone: str | None = Field(None, description="of times that name none, such as Europe/Paris; UTC where not said")

    @field_validator("zone")
    @classmethod
    def _exists(cls, zone: str | None) -> str | None:
        known = available_timezones()
        if zone is not None and zone not in known:
            near = get_close_matches(zone, known, 3) or ["Europe/Paris", "UTC"]
            raise ValueError(f"there is no zone {zone!r}; write {' or '.join(near)}, or the like")
        return zone


class SplitCell(Section):
    """A cell that holds several interactions, each of which becomes a row."""

    column: Column = Field(description="the column of such cells")
    separator: str = Field(" ", description="what stands between two interactions; not used for lists of JSON")
    pattern: str | None = Field(
        None, description=r"of one interaction, its named groups becoming columns: `(?P<item>.+)-(?P<clicked>[01])`"
    )


class TableForm(Section):
    """A table on disk and how it is read; what is not said is told from the file, where all of it agrees."""

    path: str = Field(description="the file; `${FLEETREC_DATA}` and `~` are expanded")
    format: str = Field(
        "auto",
        description=f"{', '.join(KINDS)}, or a published data set ({', '.join(RECIPES)}); `auto` looks at the file",
    )
    where: str | None = Field(
        None, description="which rows count: `event = 'click' and watch_ratio >= 0.5`; all where not said"
    )
    header: Literal["auto", "first", "none"] | tuple[str, ...] = Field(
        "auto", description="whether the first line holds names, or the names themselves"
    )
    encoding: str = Field("auto", description="utf-8, cp1252, gb18030 or any other that Python knows")
    separator: str = Field("auto", description="of cells: `,`, `;`, tab, `|`, `::`, blanks, or another mark")
    quotes: Literal["auto", "none", "double"] = Field("auto", description='whether `"` around a cell is part of it')
    part: str | None = Field(None, description="sheet of a workbook, or file of a zip archive, where there are several")
    group_line: str | None = Field(
        None, description=r"pattern of lines that hold the first cell of all lines below them, such as `(\d+):`"
    )
    each: SplitCell | None = Field(None, description="a cell that holds several rows")
    line: str | None = Field(
        None, description=r"pattern of a line, its named groups becoming columns: `(?P<item>\d+),(?P<title>.*)`"
    )

    @field_validator("line", "group_line")
    @classmethod
    def _has_groups(cls, pattern: str | None, info: ValidationInfo) -> str | None:
        example = "(?P<item>\\d+),(?P<title>.*)" if info.field_name == "line" else "(\\d+):"
        try:
            found = re.compile(example if pattern is None else pattern)
        except re.error as error:
            raise ValueError(f"{pattern!r} is no pattern ({error}); write one such as {example}") from None
        if not (found.groupindex if info.field_name == "line" else found.groups):
            raise ValueError(f"{pattern!r} has no group to take; write one such as {example}")
        return pattern

    @field_validator("format")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in (*KINDS, *RECIPES):
            raise ValueError(f"no format {name!r}; write {', '.join(KINDS)}, or a data set: {', '.join(RECIPES)}")
        return name


class ItemFile(TableForm):
    """A table of items."""

    columns: ItemColumns = Field(ItemColumns(), description="which columns hold what")


class LogFile(TableForm):
    """An interaction log on disk."""

    columns: LogColumns = Field(LogColumns(), description="which columns hold users, items and times")
    time: TimeForm = Field(TimeForm(), description="how times are written")
    items: str | ItemFile | None = Field(None, description="table of items: item_id, title, attributes")
    on_error: Literal["fail", "skip"] = Field("fail", description="an unreadable row ends the run, or is counted")
    k_core: int = Field(0, ge=0, description="keep users and items with at least k events, repeatedly; 0 keeps all")


class SyntheticWorld(Section):
    """Users with a long-term taste and a short-term intent (see docs/background/synthetic_world.md)."""

    users: int = Field(2000, ge=1, description="users of the log")
    items: int = Field(1000, ge=10, description="items of the catalogue")
    events_per_user: float = Field(100, gt=0, description="mean length of a user's whole log")
    days: float = Field(4, gt=0, description="calendar length of the log")
    freshness: Share = Field(0.85, description="how much the newest items tell about the next; 0: nothing")
    genres: int = Field(10, ge=1, description="genres of items; a user's taste is over these")
    styles: int = Field(6, ge=1, description="finer attributes, shared by all genres")
    series_length: int = Field(10, ge=1, description="items of a series, and of a maker's works, about")
    popularity_exponent: float = Field(0.8, ge=0, description="Zipf exponent of item popularity")
    session_length: float = Field(8, ge=1, description="mean events a session")
    event_gap: Seconds = Field(30.0, gt=0, description="median pause between two events of a session")
    peak_hour: float = Field(20, ge=0, lt=24, description="hour (UTC) at which most sessions start")
    peak_to_mean: float = Field(2.0, ge=1, le=4, description="rate of sessions at the peak over the day's mean")
    intent_drift: Share = Field(0.1, description="chance, per event, that the session's intent moves on")
    resume: Share = Field(0.5, description="share of new intents that go back to a series left earlier")
    off_taste: Share = Field(0.1, description="share of new intents that ignore the user's taste")
    noise: Share = Field(0.02, description="share of events drawn from popularity alone")
    repeats: Share = Field(0.0, description="share of events that go back to one of the user's earlier items")
    seed: int = Field(1, ge=0, description="of the world alone; another `seed` above leaves the log as it is")


_VALIDATION_USERS = (
    "users whose newest training events are held out, to end trainings and to calibrate policies; at most a quarter"
)


class GlobalTimeSplit(Section):
    """Everything before one moment is for learning; what follows is streamed."""

    kind: Literal["global_time"] = "global_time"
    at: float | str = Field(0.8, description="share of events before the cut, or an ISO time")
    min_history: int = Field(5, ge=1, description="events a user must have had before the first streamed one")
    validation_users: int = Field(512, ge=1, description=_VALIDATION_USERS)


class PerUserSplit(Section):
    """Each user's last events are streamed; later events of other users may precede them in training."""

    kind: Literal["per_user"] = "per_user"
    last: int = Field(20, ge=1, description="events of each user that are streamed")
    min_history: int = Field(5, ge=1, description="events a user must have before the first streamed one")
    validation_users: int = Field(512, ge=1, description=_VALIDATION_USERS)


Split = Annotated[GlobalTimeSplit | PerUserSplit, kind_of()]


class ReplayArrivals(Section):
    """The log's own times."""

    kind: Literal["replay"] = "replay"
    time_scale: float = Field(1.0, gt=0, description="0.1 makes pauses ten times shorter")
    scale: Literal["pauses", "all"] = Field("pauses", description="what is scaled: gaps over `pause`, or every gap")
    pause: Seconds = Field(1800.0, description="gaps longer than this are pauses")
    shift: Literal["none", "uniform"] = Field("none", description="uniform: each user starts at a moment of its own")


class EmpiricalArrivals(Section):
    """Pauses of the log in new lives: of another user who came about as often, or of the user's own history."""

    kind: Literal["empirical"] = "empirical"
    after: Literal["others", "self"] = Field(
        "self",
        description="whose pauses, in their order: the newest of the own history where it has enough of them (those "
        "of more than a day as long as such pauses are in the stream), else (and with `others` always) those of a "
        "streamed user, drawn by the seed",
    )


class PoissonArrivals(Section):
    """Interactions at random moments; the items keep the log's order."""

    kind: Literal["poisson"] = "poisson"
    per_day: float = Field(30, gt=0, description="interactions per device and day")


class DiurnalArrivals(Section):
    """Interactions at random moments that follow the day; the items keep the log's order."""

    kind: Literal["diurnal"] = "diurnal"
    per_day: float = Field(30, gt=0, description="interactions per device and day")
    peak_hour: float = Field(20, ge=0, lt=24, description="hour of the day (UTC) with the highest rate")
    peak_to_mean: float = Field(2.0, ge=1, le=4, description="rate at the peak over the day's mean")


class SessionArrivals(Section):
    """Bursts of interactions that follow the day; the items keep the log's order."""

    kind: Literal["sessions"] = "sessions"
    per_day: float = Field(4, gt=0, description="sessions per device and day")
    events: float = Field(8, ge=1, description="mean interactions a session")
    gap: Seconds = Field(20.0, description="median gap inside a session")
    peak_hour: float = Field(20, ge=0, lt=24, description="hour of the day (UTC) at which most sessions start")
    peak_to_mean: float = Field(2.0, ge=1, le=4, description="rate of sessions at the peak over the day's mean")


Arrivals = Annotated[
    ReplayArrivals | EmpiricalArrivals | PoissonArrivals | DiurnalArrivals | SessionArrivals, kind_of()
]


class Log(Section):
    """The interactions that there are, and which of them are learnt from."""

    interactions: Literal["synthetic"] | LogFile = Field(
        "synthetic", description="the built-in world, or a log on disk"
    )
    synthetic: SyntheticWorld = SyntheticWorld()
    split: Split = Field(GlobalTimeSplit(), description="what is learnt from, and what is streamed")


class Workload(Log):
    """The interactions that devices replay."""

    arrivals: Arrivals = Field(ReplayArrivals(), description="when the streamed interactions happen")
    users: Users = Field(
        default_factory=Users.family.default,
        description="who has them: the log's items whatever is shown, or users who choose at the same moments",
    )
    exclude_seen: bool | Literal["refill"] = Field(
        True,
        description="items the user has had leave every slate at display, and those behind them in the list move up; "
        "`refill`: the SRM's best of the catalogue take the places that they leave in an LLM's list",
    )

    @property
    def hides_seen(self) -> bool:
        """Whether items that the user has had are left out of slates."""
        return self.exclude_seen is not False

    @property
    def refills(self) -> bool:
        """Whether others take their places in an LLM's list."""
        return self.exclude_seen == "refill"
