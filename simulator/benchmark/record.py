"""What a run of the speed suite found, as its JSON holds it: the machine, a record a case, the cases left out."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

from pydantic import Field, ValidationError

from fleetrec.models.runtime.artifacts import atomic_path
from fleetrec.models.runtime.cores import available_cores
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.wording import counted
from fleetrec.simulator.benchmark.cases import SUITE, Case
from fleetrec.simulator.scenario.sections import Section

FILE = "bench.json"
FORMAT = "fleetrec bench suite 1"


class Machine(Section):
    """Where it was measured, and with what."""

    processor: str
    cores: int
    memory_bytes: int
    system: str
    python: str
    torch: str
    numpy: str

    def __str__(self) -> str:
        return (
            f"{self.processor}, {counted(self.cores, 'core')}, {self.memory_bytes / 1e9:.0f} GB, PyTorch {self.torch}"
        )


class Figures(Section):
    """One case, measured in a process of its own. Wall time unless the name says otherwise."""

    interactions: int = Field(ge=1)
    requests: int = Field(ge=0)
    setup_s: float = Field(gt=0)
    """drawing users, arrivals and devices"""
    seconds: float = Field(gt=0)
    """the run; in regions, all of `simulate` from lists in the cache to files on disk"""
    cpu_s: float = Field(gt=0)
    """processor time of the run, of all its processes"""
    peak_rss_bytes: int = Field(gt=0)
    """of the process, set-up included; of all processes together where there are several"""
    naive_per_s: float | None = None
    """interactions a second of a loop that ranks one at a time; none: not measured in regions"""
    floor_s: float | None = None
    """the same events without model work, plus the same tensor work without events; none: not measured"""

    @property
    def per_s(self) -> float:
        """Interactions a second."""
        return self.interactions / self.seconds

    @property
    def us(self) -> float:
        """Microseconds an interaction."""
        return 1e6 * self.seconds / self.interactions

    @property
    def cpu_us(self) -> float:
        """Microseconds of processor time an interaction."""
        return 1e6 * self.cpu_s / self.interactions

    @property
    def times_naive(self) -> float | None:
        """How many times as fast as the naive loop."""
        return self.per_s / self.naive_per_s if self.naive_per_s else None

    @property
    def times_floor(self) -> float | None:
        """Run over floor."""
        return self.seconds / self.floor_s if self.floor_s else None


class Measured(Section):
    """A case and what was found."""

    case: Case
    figures: Figures


class LeftOut(Section):
    """A case that was not measured, and why."""

    case: Case
    why: str

    def __str__(self) -> str:
        return f"{self.case.name} left out: {self.why}"


class SuiteRecord(Section):
    """A run of the suite."""

    format: str = Field(pattern=f"^{FORMAT}$")
    machine: Machine
    measured: tuple[Measured, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

    def replaced(self, case: Case, found: Figures | str) -> "SuiteRecord":
        """This with what was found of `case`, or why nothing was, in place of what is known of it."""
        measured = [held for held in self.measured if held.case.name != case.name]
        left_out = [held for held in self.left_out if held.case.name != case.name]
        if isinstance(found, str):
            left_out.append(LeftOut(case=case, why=found))
        else:
            measured.append(Measured(case=case, figures=found))
        place = {known.name: number for number, known in enumerate(SUITE)}
        measured.sort(key=lambda held: place.get(held.case.name, len(place)))
        return self.model_copy(update={"measured": tuple(measured), "left_out": tuple(left_out)})

    def write(self, folder: Path) -> Path:
        """Write bench.json; its path."""
        with atomic_path(folder / FILE) as path:
            path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
        return folder / FILE


def read_record(path: Path) -> SuiteRecord:
    """Read what the suite wrote; InputError where it cannot be read, or is something else."""
    try:
        return SuiteRecord.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); `bench --suite` writes such a file") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        text = f"{path}: was not written by this version's `bench --suite` ({where}: {first['msg']}); measure again"
        raise InputError(" ".join(text.split())) from None


def this_machine() -> Machine:
    """The machine that this runs on."""
    return Machine(
        processor=_processor(),
        cores=available_cores(),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        torch=version("torch"),
        numpy=version("numpy"),
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
