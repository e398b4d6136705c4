"""The engine's speed: one measurement, or the suite."""

from pathlib import Path
from typing import Annotated

import typer

from fleetrec.commands.common import AsJson, print_json, progress_bars, say, user_errors

app = typer.Typer()


@app.command()
def bench(
    devices: Annotated[int, typer.Option("--devices", min=1, help="size of the fleet")] = 10_000,
    naive: Annotated[int, typer.Option("--naive", min=1, help="interactions of the naive run")] = 2_000,
    suite: Annotated[bool, typer.Option("--suite", help="fleets of many kinds, each in its own process")] = False,
    max_devices: Annotated[int, typer.Option("--max-devices", min=1, help="of the suite's cases")] = 1_000_000,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="NAME", help="cases that begin so; repeatable; keeps the rest")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="folder of the suite")] = Path("runs/bench"),
    against: Annotated[
        Path | None, typer.Option("--against", metavar="OLD.json", help="compare the suite to an older one")
    ] = None,
    tolerance: Annotated[float, typer.Option("--tolerance", min=0, help="share more than which is a change")] = 0.15,
    as_json: AsJson = False,
) -> None:
    """Measure the engine's speed: against a naive loop and against the floor of its own parts."""
    with user_errors():
        if suite or against is not None:
            slower = _suite(suite, max_devices, only or [], out, against, tolerance, as_json)
        else:
            slower = False
            _single(devices, naive, as_json)
    if slower:
        raise typer.Exit(1)


def _single(devices: int, naive: int, as_json: bool) -> None:
    from fleetrec.simulator.benchmark.engine_speed import run_bench

    figures = run_bench(devices, naive, progress_bars(False))
    if as_json:
        print_json(figures)
        return
    for name, value in figures.items():
        print(f"{name:28} {value:,.4g}" if isinstance(value, float) else f"{name:28} {value}")


def _suite(
    measure: bool, max_devices: int, only: list[str], out: Path, against: Path | None, tolerance: float, as_json: bool
) -> bool:
    """Measure, or read what was measured; print it, and against an older run where asked: whether a case is slower."""
    from fleetrec.reports.terminal.bench import print_changes, print_suite
    from fleetrec.reports.terminal.parts import console_for
    from fleetrec.simulator.benchmark.cases import chosen_cases
    from fleetrec.simulator.benchmark.compare import compare_records
    from fleetrec.simulator.benchmark.record import FILE, read_record
    from fleetrec.simulator.benchmark.suite import run_suite

    old = read_record(against) if against is not None else None
    if measure:
        record = run_suite(chosen_cases(only), max_devices, out, progress_bars(False), keep=bool(only))
    else:
        record = read_record(out / FILE)
    console = console_for(as_json)
    print_suite(record, console)
    if measure:
        # Matplotlib comes with it, which a comparison alone does not need.
        from fleetrec.reports.figures.bench_figures import draw_bench

        say(f"written to {out / FILE}; figure: {draw_bench(out)[0]}", aside=as_json)
    changes = compare_records(old, record, tolerance) if old is not None else None
    if changes is not None:
        print_changes(changes, tolerance, console)
    if as_json:
        print_json(record.model_dump() | ({"changes": changes.figures()} if changes is not None else {}))
    return changes is not None and bool(changes.slower)
