"""The options of commands that read a log of interactions or of requests: how it is read, as flags."""

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from fleetrec.simulator.cloud.request_files.forms import Said
    from fleetrec.simulator.scenario.sections import LogFile

Format = Annotated[str, typer.Option("--format", help="kind of file, or a published data set by name")]
OnError = Annotated[Literal["fail", "skip"], typer.Option("--on-error", help="at a row that cannot be read")]
Columns = Annotated[
    str | None,
    typer.Option(
        "--columns",
        help="which columns hold what, by name or place: user=account,item=3,time=DATE+CLOCK (or none),clicked=yes",
    ),
]
TraceColumns = Annotated[
    str | None,
    typer.Option(
        "--columns", help="which columns hold what, by name or place: arrival=ts,prompt=3,output=out,first=..,last=.."
    ),
]
Where = Annotated[
    str | None, typer.Option("--where", help="which rows count: \"event = 'click' and watch_ratio >= 0.5\"")
]
TimeUnit = Annotated[str, typer.Option("--time", help="s, ms, us, ns, days, iso, or a form such as '%d/%m/%Y %H:%M'")]
Zone = Annotated[str | None, typer.Option("--zone", help="of times that name none: Europe/Paris")]
Header = Annotated[str, typer.Option("--header", help="first, none, or the names: user,item,time")]
Encoding = Annotated[str, typer.Option("--encoding", help="of a text file: utf-8, cp1252, gb18030, ...")]
Separator = Annotated[str, typer.Option("--separator", help="of cells: comma, semicolon, tab, bar, ::, blanks")]
Quotes = Annotated[
    Literal["auto", "none", "double"], typer.Option("--quotes", help='whether " around a cell is part of it')
]
Part = Annotated[str | None, typer.Option("--part", help="sheet of a workbook, or file of a zip archive")]


@dataclass(frozen=True)
class LogOptions:
    """How a command's log is read: what its options say."""

    log_format: Format = "auto"
    columns: Columns = None
    where: Where = None
    unit: TimeUnit = "auto"
    zone: Zone = None
    header: Header = "auto"
    encoding: Encoding = "auto"
    separator: Separator = "auto"
    quotes: Quotes = "auto"
    part: Part = None
    on_error: OnError = "fail"

    def file(self, path: str, items: str | None = None) -> "LogFile":
        """The log at `path`, with its table of items. InputError where they cannot be."""
        from pydantic import ValidationError

        from fleetrec.models.runtime.errors import InputError
        from fleetrec.simulator.scenario.sections import LogFile
        from fleetrec.simulator.scenario.sections.workload import LogColumns

        said: dict[str, Any] = {"path": path}
        for key, value, default in (
            ("format", self.log_format, "auto"),
            ("where", self.where, None),
            ("encoding", self.encoding, "auto"),
            ("separator", self.separator, "auto"),
            ("quotes", self.quotes, "auto"),
            ("part", self.part, None),
            ("on_error", self.on_error, "fail"),
            ("items", items, None),
        ):
            if value != default:  # else it is not said: a recipe's word counts
                said[key] = value
        if self.columns is not None:
            said["columns"] = _columns(self.columns, tuple(LogColumns.model_fields))
        if self.header != "auto":
            names = [name.strip() for name in self.header.split(",")]
            said["header"] = self.header if self.header in ("first", "none") else names
        time = {"unit": self.unit} if self.unit != "auto" else {}
        time |= {"zone": self.zone} if self.zone is not None else {}
        if time:
            said["time"] = time
        try:
            return LogFile.model_validate(said)
        except ValidationError as error:
            first = error.errors()[0]
            option = {"zone": "zone", "unit": "time"}.get(str(first["loc"][-1]), str(first["loc"][0]))
            raise InputError(f"--{option}: {first['msg'].removeprefix('Value error, ')}") from None


@dataclass(frozen=True)
class TraceOptions:
    """How a command's request trace is read: what its options say."""

    columns: TraceColumns = None
    where: Where = None
    unit: TimeUnit = "auto"

    def said(self) -> "Said":
        """What they come to. InputError where they cannot be."""
        from fleetrec.simulator.cloud.request_files.forms import ROLES, Said

        columns = {} if self.columns is None else _columns(self.columns, ROLES)
        return Said(columns, self.where, None if self.unit == "auto" else self.unit)


def reads_a_log(command: Callable[..., None]) -> Callable[..., None]:
    """A command of Typer with each of a log's options in the place of its parameter `reading`, which is
    `LogOptions` or `TraceOptions`."""
    own = inspect.signature(command, eval_str=True)
    options = own.parameters["reading"].annotation
    names = [field.name for field in fields(options)]
    each = inspect.signature(options).parameters
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        parameter.replace(kind=keyword)
        for mine in own.parameters.values()
        for parameter in (each.values() if mine.name == "reading" else (mine,))
    ]

    @functools.wraps(command)
    def with_options(**given: Any) -> None:
        reading = options(**{name: given.pop(name) for name in names})
        command(**given, reading=reading)

    with_options.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return with_options


def _columns(said: str, roles: Sequence[str]) -> dict[str, Any]:
    from fleetrec.models.runtime.errors import InputError

    found: dict[str, Any] = {}
    for part in said.split(","):
        role, equals, names = (piece.strip() for piece in part.partition("="))
        if not equals or role not in roles or not names:
            raise InputError(
                f"--columns: {part!r} is not ROLE=NAME with a role of {', '.join(roles)}; commas part several"
            )
        if role in found:
            raise InputError(f"--columns: {role} is said twice; say it once")
        wanted = [int(name) if name.isdecimal() else name for name in names.split("+")]
        found[role] = wanted if len(wanted) > 1 else wanted[0]
    return found
