"""What the commands share: options, how a user's mistakes are told, and what goes to which output."""

import errno
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from fleetrec.commands.streams import why_not_flushed
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.printable import printable

ScenarioFile = Annotated[Path, typer.Argument(help="scenario file (YAML)", show_default=False)]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="override a key of the scenario; repeatable")
]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object on standard output, all else on standard error")]
Quiet = Annotated[bool, typer.Option("--quiet", help="print nothing but errors")]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="seed of the world, instead of the scenario's")]


Overwrite = Annotated[bool, typer.Option("--overwrite", help="lose the other finished result in the folder")]
TensorParallel = Annotated[
    int, typer.Option("--tp", "--gpus-per-replica", min=1, help="GPUs that divide a sequence's attention")
]
PipelineParallel = Annotated[int, typer.Option("--pp", min=1, help="stages of a pipeline")]
ExpertParallel = Annotated[
    int,
    typer.Option("--ep", min=1, help="GPUs among which experts are dealt out; more than --tp: data parallel attention"),
]
WeightPrecision = Annotated[
    str, typer.Option("--precision", help="of weights: fp8, fp4, bf16 and others; none: as published")
]
KvCachePrecision = Annotated[str, typer.Option("--kv-cache", help="fp16 or fp8; none: as the engine does")]
OnDevice = Annotated[Literal["cpu", "cuda"], typer.Option("--device", help="where models are trained and run")]


_LONGEST = 2000
_FULL_OR_CLOSED = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)
_MAKE_ROOM = "make room, or name another folder (--out; FLEETREC_CACHE for the cache); what was finished is kept"


def say(line: str, aside: bool = False) -> None:
    """Print one line in which no name moves a cursor, nor fills the screen; `aside`: on standard error."""
    if len(line) > _LONGEST:
        line = f"{line[: _LONGEST // 2]} [...] {line[-_LONGEST // 2 :]}"
    print(printable(line), file=sys.stderr if aside else sys.stdout, flush=True)


@contextmanager
def user_errors() -> Iterator[None]:
    """A user's mistake, or a disk that takes no more, is one line and exit code 2; Ctrl-C says what is kept."""
    try:
        yield
    except InputError as error:
        say(f"error: {error}", aside=True)
        raise typer.Exit(2) from None
    except OSError as error:
        if error.errno not in _FULL_OR_CLOSED or why_not_flushed():  # by standard output: told where that is given out
            raise
        where = f"{error.filename}: " if error.filename else ""
        say(f"error: {where}{error.strerror}; {_MAKE_ROOM}", aside=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        say("interrupted: finished results and parts already written are kept", aside=True)
        raise typer.Exit(130) from None


_OPTIONS = {name: f"--{name}" for name in ("model", "gpu", "engine", "tp", "pp", "ep", "precision", "beams")}
_OPTIONS |= {"prompt_tokens": "--prompt", "output_tokens": "--output", "concurrency": "--concurrency"}
_OPTIONS |= {"kv_cache": "--kv-cache", "cloud.gpus_per_replica": "--tp", "cloud.profile": "--profile"}
_OPTIONS |= {"cloud.engine": "--engine", "cloud.parallel.pipeline": "--pp", "cloud.parallel.expert": "--ep"}
"""by the columns of a file of set-ups, or the keys of a scenario"""


@contextmanager
def blaming_options() -> Iterator[None]:
    """A mistake in a serving set-up is said of the options that were typed."""
    from fleetrec.models.runtime.wording import as_options

    try:
        yield
    except InputError as error:
        raise InputError(as_options(str(error), _OPTIONS)) from None


def print_json(value: dict[str, Any]) -> None:
    """One JSON object on standard output."""
    json.dump(value, sys.stdout, indent=2, allow_nan=False)
    sys.stdout.write("\n")


def print_advice(scenario: Any, quiet: bool = False) -> None:
    """Settings of a scenario that have no effect, or a surprising one, on standard error."""
    from fleetrec.simulator.scenario import advice

    for line in [] if quiet else advice(scenario):
        say(f"note: {line}", aside=True)


def progress_bars(quiet: bool) -> Any:
    """Bars on a terminal, lines on standard error otherwise, one a minute in the end; silence where `quiet`."""
    from fleetrec.models.runtime.progress import NullProgress, RichProgress

    return NullProgress() if quiet else RichProgress()
