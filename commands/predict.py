"""Command on a serving set-up: what it gives at a fixed concurrency, for one set-up or for each row of a file."""

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
    say,
    user_errors,
)
from fleetrec.models.runtime.errors import InputError

app = typer.Typer()


@app.command()
def predict(
    rows: Annotated[
        Path | None,
        typer.Argument(help="CSV of set-ups, a row each, instead of the options", show_default=False),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="CSV to write, with the predictions of `rows`")] = None,
    model: Annotated[str | None, typer.Option("--model", help="model of the catalogue, or a config.json")] = None,
    gpu: Annotated[str | None, typer.Option("--gpu", help="GPU of the catalogue")] = None,
    engine: Annotated[
        str | None, typer.Option("--engine", help="vllm, sglang, trtllm or generative_recommender")
    ] = None,
    tp: TensorParallel = 1,
    pp: PipelineParallel = 1,
    ep: ExpertParallel = 1,
    precision: WeightPrecision = "",
    kv_cache: KvCachePrecision = "",
    beams: Annotated[int, typer.Option("--beams", min=1, help="sequences of an answer")] = 1,
    prompt: Annotated[int, typer.Option("--prompt", min=1, help="tokens of a prompt")] = 1024,
    output: Annotated[int, typer.Option("--output", min=1, help="tokens of an answer")] = 128,
    concurrency: Annotated[int, typer.Option("--concurrency", min=1, help="requests always under way")] = 1,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Predict what a serving set-up gives: latency, throughput, energy, dollars, and the error to expect of them."""
    with user_errors():
        from fleetrec.models.runtime.artifacts import check_file_place
        from fleetrec.reports.terminal.cloud import print_prediction
        from fleetrec.reports.terminal.parts import console_for
        from fleetrec.simulator.cloud.prediction.rows import predict_file, predict_row

        named = {"--model": model, "--gpu": gpu, "--engine": engine}
        if rows is not None:
            if given := [name for name, value in named.items() if value is not None]:
                raise InputError(f"{given[0]}: the set-ups are those of {rows}; give the file or the options")
            if out is None:
                raise InputError(f"--out: where the predictions of {rows} are to go; name a CSV file")
            check_file_place("--out", out)
            unserved = predict_file(rows, out, progress_bars(quiet))
            if not quiet:
                say(f"written to {out}" + (f"; {unserved} rows cannot be served: see their note" if unserved else ""))
            return
        if missing := [name for name, value in named.items() if value is None]:
            raise InputError(f"{missing[0]}: not given; name a CSV of set-ups, or {', '.join(named)}")
        if out is not None:
            raise InputError("--out: it goes with a CSV of set-ups; take --json for the figures of one")
        row = {
            "model": model or "",
            "gpu": gpu or "",
            "engine": engine or "",
            "tp": str(tp),
            "pp": str(pp),
            "ep": str(ep),
            "weights": precision,
            "kv_cache": kv_cache,
            "beams": str(beams),
            "prompt_tokens": str(prompt),
            "output_tokens": str(output),
            "concurrency": str(concurrency),
        }
        with blaming_options():
            figures = predict_row(row)
        if as_json:
            print_json(figures)
        elif not quiet:
            print_prediction(figures, console_for(False))
