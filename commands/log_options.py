"""The options of commands that read an interaction log: the keys of `workload.interactions`, as flags."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from fleetrec.simulator.scenario.sections import LogFile

Format = Annotated[str, typer.Option("--format", help="kind of file, or a published data set by name")]
OnError = Annotated[Literal["fail", "skip"], typer.Option("--on-error", help="at a row that cannot be read")]
Columns = Annotated[
    str | None,
    typer.Option(
        "--columns",
        help="which columns hold what, by name or place: user=account,item=3,time=DATE+CLOCK; time=none: in order",
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


def log_file(path: str, columns: str | None, header: str, unit: str, zone: str | None, **settings: Any) -> "LogFile":
    """The log that a command's options say. InputError where they cannot be."""
    from pydantic import ValidationError

    from fleetrec.models.runtime.errors import InputError
    from fleetrec.simulator.scenario.sections import LogFile

    said: dict[str, Any] = {"path": path, **{key: value for key, value in settings.items() if value is not None}}
    defaults = {"format": "auto", "encoding": "auto", "separator": "auto", "quotes": "auto", "on_error": "fail"}
    for option, value in defaults.items():
        if said.get(option) == value:
            del said[option]  # not said: a recipe's word counts
    if columns is not None:
        said["columns"] = dict(_column(part) for part in columns.split(","))
    if header != "auto":
        said["header"] = header if header in ("first", "none") else [name.strip() for name in header.split(",")]
    time = {"unit": unit} if unit != "auto" else {}
    time |= {"zone": zone} if zone is not None else {}
    if time:
        said["time"] = time
    try:
        return LogFile.model_validate(said)
    except ValidationError as error:
        first = error.errors()[0]
        option = {"zone": "zone", "unit": "time"}.get(str(first["loc"][-1]), str(first["loc"][0]))
        raise InputError(f"--{option}: {first['msg'].removeprefix('Value error, ')}") from None


def _column(part: str) -> tuple[str, Any]:
    from fleetrec.models.runtime.errors import InputError

    role, equals, names = (piece.strip() for piece in part.partition("="))
    if not equals or role not in ("user", "item", "time") or not names:
        raise InputError(
            f"--columns: {part!r} is not user=NAME, item=NAME or time=NAME; write them with commas between"
        )
    wanted = [int(name) if name.isdecimal() else name for name in names.split("+")]
    return role, wanted if len(wanted) > 1 else wanted[0]
