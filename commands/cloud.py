"""Commands on the LLM node alone: what it can be made of, a request trace, a server's own step times."""

from pathlib import Path
from typing import Annotated

import typer

from fleetrec.commands.common import (
    AsJson,
    ExpertParallel,
    KvCachePrecision,
    PipelineParallel,
    Quiet,
    TensorParallel,
    WeightPrecision,
    blaming_options,
    print_json,
    progress_bars,
    user_errors,
)
from fleetrec.commands.log_options import TraceOptions, reads_a_log
from fleetrec.models.runtime.errors import InputError

app = typer.Typer()


@app.command()
def catalog(as_json: AsJson = False) -> None:
    """List the language models and GPUs that a scenario can name."""
    with user_errors():
        from fleetrec.reports.terminal.cloud import print_catalogue
        from fleetrec.reports.terminal.parts import console_for
        from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue

        figures = default_catalogue().figures()
        if as_json:
            print_json(figures)
        else:
            print_catalogue(figures, console_for(False))


@app.command()
@reads_a_log
def replay(
    trace: Annotated[
        Path, typer.Argument(help="request trace: Azure, BurstGPT, Mooncake, a load test's result, JSON lines or CSV")
    ],
    model: Annotated[str, typer.Option("--model", help="model of the catalogue, or a config.json")],
    gpu: Annotated[str, typer.Option("--gpu", help="GPU of the catalogue")],
    replicas: Annotated[int | None, typer.Option("--replicas", min=1, help="copies of the model; 1 by default")] = None,
    tp: TensorParallel = 1,
    pp: PipelineParallel = 1,
    ep: ExpertParallel = 1,
    precision: WeightPrecision = "",
    kv_cache: KvCachePrecision = "",
    router: Annotated[
        str, typer.Option("--router", help="which replica gets a request, as cloud.router in a scenario")
    ] = "least_outstanding",
    engine: Annotated[
        str | None,
        typer.Option("--engine", help="serving engine, as cloud.engine; vllm by default, none: the plain roofline"),
    ] = None,
    profile: Annotated[
        str | None, typer.Option("--profile", help="step times of `calibrate`, instead of an engine's")
    ] = None,
    rate_scale: Annotated[float, typer.Option("--rate-scale", help="arrivals come so many times as fast")] = 1.0,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="only the first requests")] = None,
    slo: Annotated[
        list[str] | None,
        typer.Option("--slo", help="p95=1s,ttft_p99=200ms: find the fewest replicas that meet all; repeatable"),
    ] = None,
    *,
    reading: TraceOptions,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Serve a request trace on the LLM node alone: latency, throughput, use, cost; or the fewest replicas."""
    with user_errors():
        from fleetrec.reports.terminal.cloud import print_replay
        from fleetrec.reports.terminal.parts import console_for
        from fleetrec.simulator.cloud.capacity.sizing import Plan, size
        from fleetrec.simulator.cloud.hardware.layout import layout_named
        from fleetrec.simulator.cloud.prediction.setup import Formats
        from fleetrec.simulator.scenario.sections import Router

        chosen = Router.called(router, "--router")
        objectives = ",".join(slo) if slo else None
        with blaming_options():
            layout, formats = layout_named(tp, pp, None, ep, ep), Formats(precision, kv_cache=kv_cache)
            of = (layout, formats, replicas, chosen, engine, profile, rate_scale, limit, objectives, reading.said())
            figures = size(trace, Plan(model, gpu, *of), progress_bars(quiet))
        if as_json:
            print_json(figures)
        elif not quiet:
            print_replay(figures, console_for(False))


@app.command()
@reads_a_log
def calibrate(
    log: Annotated[
        Path, typer.Argument(help="a server's request log, or a load test's result: JSON, JSON lines or CSV")
    ],
    engine: Annotated[
        Path | None,
        typer.Option(
            "--engine",
            help="the run's meta.json: model, GPU, engine settings; none: --model and --gpu, or what the log shows",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="profile (YAML) to write", show_default=False)] = None,
    fit_first: Annotated[
        float, typer.Option("--fit-first", help="share of the log to fit; the rest is held out")
    ] = 1.0,
    model: Annotated[
        str | None, typer.Option("--model", help="catalogue model or config.json, instead of the engine file's")
    ] = None,
    gpu: Annotated[str | None, typer.Option("--gpu", help="catalogue GPU, instead of the engine file's")] = None,
    figure: Annotated[Path | None, typer.Option("--figure", help="PNG of measured against simulated times")] = None,
    *,
    reading: TraceOptions,
    as_json: AsJson = False,
) -> None:
    """Fit step times to a server's request log by simulating it; write a profile that `cloud.profile` can name."""
    with user_errors():
        from fleetrec.models.runtime.artifacts import check_file_place
        from fleetrec.reports.figures.calibration import draw_calibration
        from fleetrec.reports.terminal.cloud import print_calibration
        from fleetrec.reports.terminal.parts import console_for
        from fleetrec.simulator.cloud.calibration import calibrate as fit
        from fleetrec.simulator.cloud.calibration import read_log, read_server, save_profile

        for option, path in (("--out", out), ("--figure", figure)):
            if path is not None:
                check_file_place(option, path)
        if figure is not None and figure.suffix != ".png":
            raise InputError(f"--figure {figure}: a PNG is drawn; name a file that ends with .png")
        found = fit(read_log(log, reading.said()), read_server(engine, model, gpu), fit_first)
        if out is not None:
            save_profile(found, out)
        if figure is not None:
            draw_calibration(found, figure)
        if as_json:
            print_json(found.figures())
        else:
            print_calibration(found, console_for(False))
