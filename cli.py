"""Fleetrec on the command line: each command is a few lines over the packages below.

Heavy packages are imported by the commands that need them, so that `--help` and `validate` answer at once.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from models.errors import InputError

app = typer.Typer(
    help="Fleetrec: a discrete-event simulator of device fleets for device-cloud recommendation.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
data_app = typer.Typer(help="Interaction logs and tables of LLM answers.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(data_app, name="data")
prompts_app = typer.Typer(help="Prompts for a language model of your own.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(prompts_app, name="prompts")

ScenarioFile = Annotated[Path, typer.Argument(help="scenario file (YAML)", show_default=False)]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="override a key of the scenario; repeatable")
]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object on standard output, all else on standard error")]
Quiet = Annotated[bool, typer.Option("--quiet", help="print nothing but errors")]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="seed of the world, instead of the scenario's")]


OnDevice = Annotated[Literal["cpu", "cuda"], typer.Option("--device", help="where models are trained and run")]
_PROVISIONED_USD = "cost.usd_provisioned_per_1k_interactions"
LogFormat = Literal["auto", "csv", "tsv", "parquet", "inter", "movielens_dat", "movielens_csv", "lines"]


@contextmanager
def user_errors() -> Iterator[None]:
    """A user's mistake is one line and exit code 2; Ctrl-C says what is kept."""
    try:
        yield
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        print("interrupted: finished results and parts already written are kept", file=sys.stderr)
        raise typer.Exit(130) from None


def print_json(value: dict[str, Any]) -> None:
    """One JSON object on standard output."""
    json.dump(value, sys.stdout, indent=2, allow_nan=False)
    sys.stdout.write("\n")


@app.command()
def simulate(
    scenario: ScenarioFile,
    out: Annotated[Path | None, typer.Option("--out", help="folder of the run", show_default=False)] = None,
    seed: Seed = None,
    overrides: Overrides = None,
    device: OnDevice = "cpu",
    trace: Annotated[Path | None, typer.Option("--trace", help="timeline (JSON) for ui.perfetto.dev to write")] = None,
    trace_devices: Annotated[str | None, typer.Option("--trace-devices", help="0,3,7-9; 0-9 by default")] = None,
    trace_replicas: Annotated[str | None, typer.Option("--trace-replicas", help="0,1; all by default")] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Simulate a fleet; write its records, summary, figures and report.html to a folder."""
    with user_errors():
        from reports.figures import draw_run
        from reports.html import write_report
        from reports.terminal import console_for, print_run_summary
        from simulator import Scenario
        from simulator import simulate as run
        from simulator.outputs import run_folder, usable_device
        from simulator.tracing import read_trace_request

        loaded = Scenario.load(scenario, overrides or [], seed)
        tracing = read_trace_request(trace, trace_devices, trace_replicas) if trace is not None else None
        folder = run_folder(out, loaded)
        result = run(loaded, folder, usable_device(device), progress_bars(quiet), trace=tracing)
        draw_run(folder)
        write_report(folder)
        if as_json:
            print_json(result.summary)
        if not quiet:
            print_run_summary(result.summary, console_for(as_json))
            print(f"written to {folder}", file=sys.stderr if as_json else sys.stdout)


@app.command()
def compare_policies(
    scenario: ScenarioFile,
    out: Annotated[Path | None, typer.Option("--out", help="folder of the comparison", show_default=False)] = None,
    seed: Seed = None,
    overrides: Overrides = None,
    device: OnDevice = "cpu",
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Run one fleet under several request policies and draw accuracy against cost."""
    with user_errors():
        from reports.comparison import draw_comparison
        from reports.terminal import console_for, print_policy_comparison
        from simulator import Scenario
        from simulator.experiments.policy_comparison import compare
        from simulator.outputs import run_folder, usable_device

        loaded = Scenario.load(scenario, overrides or [], seed)
        folder = run_folder(out, loaded, suffix="policies")
        comparison = compare(loaded, folder, usable_device(device), progress_bars(quiet))
        figure = draw_comparison(folder)
        if as_json:
            print_json(comparison)
        if not quiet:
            print_policy_comparison(
                comparison["policies"], console_for(as_json), comparison["headline"], comparison["notes"]
            )
            print(f"cost-accuracy plot: {figure}", file=sys.stderr if as_json else sys.stdout)


@app.command()
def sweep(
    file: Annotated[Path, typer.Argument(help="sweep file (YAML)", show_default=False)],
    jobs: Annotated[int | None, typer.Option("--jobs", min=1, help="workers; as many as processors")] = None,
    engine: Annotated[
        Literal["local", "ray"], typer.Option("--engine", help="who runs: this machine or Ray")
    ] = "local",
    ray_address: Annotated[str | None, typer.Option("--ray-address", help="a Ray cluster: host:port or auto")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="folder; runs/<name>", show_default=False)] = None,
    resume: Annotated[bool, typer.Option("--resume", help="finish what is there, keep what is finished")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="so many runs are meant")] = False,
    overrides: Overrides = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Run every variant of a sweep file at every seed; write one table of all figures."""
    with user_errors():
        from reports.experiment_figures import draw_figures
        from reports.html import write_report
        from simulator.experiments.sweeps import executor_for, make_plan, read_sweep, run_sweep

        plan = make_plan(read_sweep(file), overrides or [], yes)
        executor = executor_for(engine, jobs, ray_address)
        folder = out or Path("runs") / plan.manifest.name

        def say(line: str) -> None:
            if not quiet:
                print(line, file=sys.stderr if as_json else sys.stdout, flush=True)

        found = run_sweep(plan, folder, executor, progress_bars(quiet), say, resume)
        if found.runs:
            draw_figures(folder)
            say(f"report: {write_report(folder)}")
        if as_json:
            print_json(found.figures())
        for line in found.failures():
            print(f"error: {line}", file=sys.stderr)
    if found.failed:
        raise typer.Exit(1)


@app.command()
def compare(
    folder: Annotated[Path, typer.Argument(help="folder of a sweep or an optimisation", show_default=False)],
    baseline: Annotated[str | None, typer.Option("--baseline", help="variant that others are compared to")] = None,
    metric: Annotated[str | None, typer.Option("--metric", help="what is wanted, such as ndcg@10")] = None,
    cost: Annotated[str | None, typer.Option("--against-cost", help="what it costs: a figure of the runs")] = None,
    third: Annotated[str | None, typer.Option("--third", help="a third objective of the front")] = None,
    equal_ratio: Annotated[bool, typer.Option("--equal-ratio", help="also at equal realised request ratios")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare the variants of an experiment: intervals, differences to a baseline, front, winner and its saving."""
    with user_errors():
        from reports.terminal import console_for
        from reports.terminal_comparison import print_comparison
        from simulator.experiments.comparison import compare as compared

        found = compared(folder, baseline, metric, cost, third, equal_ratio)
        if as_json:
            print_json(found.answer)
        else:
            print_comparison(found.table, found.answer, console_for(False))


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="folder of a run, a sweep, an optimisation or a policy comparison")],
    quiet: Quiet = False,
) -> None:
    """Write report.html, and every figure as PNG and SVG, from a folder's files alone."""
    with user_errors():
        from reports.experiment_figures import draw_figures
        from reports.html import write_report

        page, figures = write_report(folder), draw_figures(folder)
        if not quiet:
            print(f"report: {page}")
            print(f"figures: {len(figures)} files in {figures[0].parent}")


@app.command()
def optimize(
    scenario: ScenarioFile,
    maximize: Annotated[list[str], typer.Option("--maximize", help="figure of a summary; repeatable")] = ["ndcg@10"],  # noqa: B006
    minimize: Annotated[list[str], typer.Option("--minimize", help="likewise")] = [_PROVISIONED_USD],  # noqa: B006
    limit: Annotated[
        list[str] | None, typer.Option("--limit", metavar="FIGURE=MOST", help="latency_s.slate.p95=200ms")
    ] = None,
    trials: Annotated[
        int, typer.Option("--trials", min=2, help="points to run, the scenario as it is among them")
    ] = 40,
    sampler: Annotated[Literal["gp", "nsga2", "tpe"], typer.Option("--sampler", help="who proposes points")] = "gp",
    sampler_seed: Annotated[int, typer.Option("--sampler-seed", min=0, help="of the proposals")] = 0,
    batch: Annotated[int, typer.Option("--batch", min=1, help="points proposed at once")] = 4,
    space: Annotated[Path | None, typer.Option("--space", help="what may change (YAML)", show_default=False)] = None,
    seeds: Annotated[str, typer.Option("--seeds", help="seeds of the world, such as 1,2")] = "1",
    jobs: Annotated[int | None, typer.Option("--jobs", min=1, help="workers; as many as processors")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="folder; runs/<name>-optimised", show_default=False)] = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on with the search in the folder")] = False,
    overrides: Overrides = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Search a scenario's policies for the best accuracy at each cost, under limits."""
    with user_errors():
        from reports.experiment_figures import draw_figures
        from reports.html import write_report
        from reports.optimisation import print_front
        from reports.terminal import console_for
        from simulator import Scenario
        from simulator.experiments import optimise as search
        from simulator.experiments.sweeps import executor_for

        loaded = Scenario.load(scenario, overrides or [])
        goals = search.read_goals(maximize, minimize, limit or [])
        chosen = search.read_space(space) if space else search.default_space(loaded)
        worlds = search.read_seeds(seeds)
        problem = search.Problem(scenario, overrides or [], goals, chosen, trials, worlds, sampler, sampler_seed, batch)
        folder = out or Path("runs") / f"{loaded.name}-optimised"
        executor = executor_for("local", jobs, None)
        found = search.optimise(problem, folder, executor, progress_bars(quiet), resume)
        draw_figures(folder)
        page = write_report(folder)
        if as_json:
            print_json(found)
        elif not quiet:
            print_front(found, console_for(False))
            print(f"report: {page}")


@app.command()
def evaluate(
    scenario: ScenarioFile,
    overrides: Overrides = None,
    device: OnDevice = "cpu",
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Leave-one-out accuracy of a scenario's SRM and LLM, full ranking, beside baselines and published figures."""
    with user_errors():
        from reports.terminal import console_for, print_evaluation
        from simulator import Scenario
        from simulator.evaluation import evaluate as evaluated
        from simulator.outputs import usable_device

        figures = evaluated(Scenario.load(scenario, overrides or []), usable_device(device), progress_bars(quiet))
        if as_json:
            print_json(figures)
        elif not quiet:
            print_evaluation(figures, console_for(False))


@app.command()
def validate(scenario: ScenarioFile, overrides: Overrides = None, seed: Seed = None) -> None:
    """Check a scenario and print it with every default filled in."""
    with user_errors():
        from simulator.scenario import Scenario, check_files, resolved_yaml

        loaded = Scenario.load(scenario, overrides or [], seed)
        check_files(loaded)
        sys.stdout.write(resolved_yaml(loaded))


@app.command()
def schema() -> None:
    """JSON Schema of a scenario, for completion in an editor."""
    from simulator.scenario import json_schema

    print_json(json_schema())


@app.command()
def catalog(as_json: AsJson = False) -> None:
    """List the language models and GPUs that a scenario can name."""
    with user_errors():
        from reports.terminal import console_for, print_catalogue
        from simulator.cloud import default_catalogue

        figures = default_catalogue().figures()
        if as_json:
            print_json(figures)
        else:
            print_catalogue(figures, console_for(False))


@app.command()
def replay(
    trace: Annotated[Path, typer.Argument(help="request trace: Azure CSV, vLLM JSON lines or plain CSV")],
    model: Annotated[str, typer.Option("--model", help="model of the catalogue, or a config.json")],
    gpu: Annotated[str, typer.Option("--gpu", help="GPU of the catalogue")],
    replicas: Annotated[int | None, typer.Option("--replicas", min=1, help="copies of the model; 1 by default")] = None,
    gpus_per_replica: Annotated[int, typer.Option("--gpus-per-replica", min=1, help="GPUs of one copy")] = 1,
    router: Annotated[
        Literal["round_robin", "random", "least_outstanding", "least_kv", "device_affine"],
        typer.Option("--router", help="which replica gets a request"),
    ] = "least_outstanding",
    profile: Annotated[str | None, typer.Option("--profile", help="step times of `calibrate`")] = None,
    rate_scale: Annotated[float, typer.Option("--rate-scale", help="arrivals come so many times as fast")] = 1.0,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="only the first requests")] = None,
    slo: Annotated[str | None, typer.Option("--slo", help="p95=1s, ttft_p95=200ms: find the fewest replicas")] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Serve a request trace on the LLM node alone: latency, throughput, use, cost; or the fewest replicas."""
    with user_errors():
        from reports.terminal import console_for, print_replay
        from simulator.cloud.sizing import Plan, size

        plan = Plan(model, gpu, gpus_per_replica, replicas, router, profile, rate_scale, limit, slo)
        figures = size(trace, plan, progress_bars(quiet))
        if as_json:
            print_json(figures)
        elif not quiet:
            print_replay(figures, console_for(False))


@app.command()
def bench(
    devices: Annotated[int, typer.Option("--devices", min=1, help="size of the fleet")] = 10_000,
    naive: Annotated[int, typer.Option("--naive", min=1, help="interactions of the naive run")] = 2_000,
    as_json: AsJson = False,
) -> None:
    """Measure the engine's speed: against a naive loop and against the floor of its own parts."""
    with user_errors():
        from simulator.experiments.bench import run_bench

        figures = run_bench(devices, naive, progress_bars(False))
        if as_json:
            print_json(figures)
        else:
            for name, value in figures.items():
                print(f"{name:28} {value:,.4g}" if isinstance(value, float) else f"{name:28} {value}")


@app.command()
def calibrate(
    log: Annotated[Path, typer.Argument(help="request log of a server: JSON lines of vLLM's benchmark, or CSV")],
    engine: Annotated[Path, typer.Option("--engine", help="the run's meta.json: model, GPU, engine settings")],
    out: Annotated[Path | None, typer.Option("--out", help="profile (YAML) to write", show_default=False)] = None,
    fit_first: Annotated[
        float, typer.Option("--fit-first", help="share of the log to fit; the rest is held out")
    ] = 1.0,
    model: Annotated[
        str | None, typer.Option("--model", help="catalogue model or config.json, instead of the engine file's")
    ] = None,
    gpu: Annotated[str | None, typer.Option("--gpu", help="catalogue GPU, instead of the engine file's")] = None,
    figure: Annotated[Path | None, typer.Option("--figure", help="PNG of measured against simulated times")] = None,
    as_json: AsJson = False,
) -> None:
    """Fit step times to a server's request log by simulating it; write a profile that `cloud.profile` can name."""
    with user_errors():
        from reports.calibration import draw_calibration
        from reports.terminal import console_for, print_calibration
        from simulator.cloud.calibration import calibrate as fit
        from simulator.cloud.calibration import read_log, read_server, save_profile

        found = fit(read_log(log), read_server(engine, model, gpu), fit_first)
        if out is not None:
            save_profile(found, out)
        if figure is not None:
            draw_calibration(found, figure)
        if as_json:
            print_json(found.figures())
        else:
            print_calibration(found, console_for(False))


@data_app.command()
def describe(
    path: Annotated[str, typer.Argument(help="interaction log")],
    log_format: Annotated[LogFormat, typer.Option("--format", help="format of the log")] = "auto",
    items: Annotated[str | None, typer.Option("--items", help="CSV of item_id,title,attributes")] = None,
    on_error: Annotated[
        Literal["fail", "skip"], typer.Option("--on-error", help="at a row that cannot be read")
    ] = "fail",
    as_json: AsJson = False,
) -> None:
    """What a log holds: users, items, events, lengths, gaps, ties, the share usable per split, problems."""
    with user_errors():
        from reports.terminal import console_for, print_describe
        from simulator.scenario.sections import LogFile
        from simulator.workload.describe import describe as described
        from simulator.workload.loading import load_log

        figures = described(load_log(LogFile(path=path, format=log_format, items=items, on_error=on_error)))
        if as_json:
            print_json(figures)
        else:
            print_describe(figures, console_for(False))


@data_app.command("check-table")
def check_table(
    table: Annotated[Path, typer.Argument(help="Parquet of LLM answers")],
    log: Annotated[str, typer.Argument(help="interaction log that the table belongs to")],
    as_json: AsJson = False,
) -> None:
    """A table of LLM answers: coverage, invalid share, recall, and signs of an off-by-one leak."""
    with user_errors():
        from models.llm.table import check_table as checked
        from reports.terminal import console_for, print_check_table
        from simulator.scenario.sections import LogFile
        from simulator.workload.loading import load_log

        figures = checked(table, load_log(LogFile(path=log)))
        if as_json:
            print_json(figures)
        else:
            print_check_table(figures, console_for(False))


@data_app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="ml-1m, ml-latest-small or ml-100k")],
    to: Annotated[Path | None, typer.Option("--to", help="folder; the cache where not given")] = None,
    base_url: Annotated[str | None, typer.Option("--base-url", help="a mirror of the publisher's folder")] = None,
) -> None:
    """Download a public data set from its publisher, check its checksum and unpack it."""
    with user_errors():
        from simulator.workload.fetch import fetch as fetched
        from simulator.workload.fetch import terms_of

        print(terms_of(name), file=sys.stderr)
        got = fetched(name, to, base_url, progress_bars(False))
        print(f"{got.folder}: {'there already' if got.md5 is None else f'MD5 {got.md5} as published ({got.md5_from})'}")
        print("in a scenario, or after --set:")
        print(f"  workload.interactions={{path: {got.interactions}, items: {got.items}}}")


@prompts_app.command()
def export(
    scenario: ScenarioFile,
    out: Annotated[Path, typer.Option("--out", help="Parquet file to write", show_default=False)],
    overrides: Overrides = None,
) -> None:
    """Write the prompts of a scenario's requests: user_id, as_of, prompt. The answers become a `table`."""
    with user_errors():
        from simulator import Scenario
        from simulator.prompts import export_prompts

        rows = export_prompts(Scenario.load(scenario, overrides or []), out)
        print(f"{rows:,} prompts written to {out}; docs/llm_candidates.md says how the answers become a table")


def progress_bars(quiet: bool) -> Any:
    """Bars on a terminal; silence otherwise."""
    from models.progress import NullProgress, RichProgress

    return NullProgress() if quiet else RichProgress()


def main() -> None:
    """Run a command; a wrong flag is one line and exit code 2, like every other mistake."""
    try:
        code = app(standalone_mode=False)
    except Exception as error:
        if not hasattr(error, "format_message"):  # not the command line's own
            raise
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message())
            sys.exit(0)
        print(f"error: {error.format_message()} (see `python cli.py --help`)", file=sys.stderr)
        sys.exit(2)
    sys.exit(code or 0)


if __name__ == "__main__":
    main()
