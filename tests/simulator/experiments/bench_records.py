"""Made-up records of the speed suite."""

from fleetrec.simulator.benchmark.cases import BASE, Case
from fleetrec.simulator.benchmark.record import FORMAT, Figures, LeftOut, Machine, Measured, SuiteRecord

MACHINE = Machine(
    processor="one", cores=2, memory_bytes=16_000_000_000, system="Linux 6", python="3.11", torch="2.5", numpy="2.1"
)
SMALL, LARGE, SHARDED = Case("devices-1k", 1_000), Case("devices-100k", 100_000), Case("shards-2", shards=2)


def figures(us: float = 50.0, gb: float = 1.0, naive_per_s: float | None = 1_000.0) -> Figures:
    """A million interactions of so many microseconds each, processor time alike."""
    return Figures(
        interactions=1_000_000,
        requests=200_000,
        setup_s=1.0,
        seconds=us,
        cpu_s=us,
        peak_rss_bytes=int(gb * 1e9),
        naive_per_s=naive_per_s,
        floor_s=us / 2 if naive_per_s else None,
    )


def record(found: dict[Case, Figures], left_out: dict[Case, str] | None = None, **machine: object) -> SuiteRecord:
    """A run of the suite on the machine `MACHINE`, changed as told."""
    return SuiteRecord(
        format=FORMAT,
        machine=MACHINE.model_copy(update=machine),
        measured=tuple(Measured(case=case, figures=of) for case, of in found.items()),
        left_out=tuple(LeftOut(case=case, why=why) for case, why in (left_out or {}).items()),
    )


USUAL = record(
    {SMALL: figures(60.0, 0.5), BASE: figures(), LARGE: figures(55.0, 4.0), SHARDED: figures(90.0, 2.0, None)},
    {Case("devices-1m", 1_000_000): "takes about 24.6 GB, and 8.0 GB are free"},
)
