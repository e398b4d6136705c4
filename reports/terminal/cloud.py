"""What `catalog`, `replay`, `predict` and `calibrate` print."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console

from fleetrec.models.runtime.wording import counted, with_minus
from fleetrec.reports.data.quantities import number_text, seconds_text
from fleetrec.reports.data.run_folder import setting
from fleetrec.reports.terminal.parts import cell, new_table, print_tree, write_line, write_notes
from fleetrec.reports.terminal.text import escape

if TYPE_CHECKING:
    from fleetrec.simulator.cloud.calibration import Calibration


_MODEL_HEADS = (
    "model",
    "parameters\nbillions",
    "active\nbillions",
    "layers",
    "hidden",
    "heads\nQ/KV",
    "experts\nused/all",
)
_GPU_HEADS = ("GPU", "memory\nGB", "bandwidth\nGB/s", "TFLOP/s\n16-bit/FP8/FP4", "link\nGB/s")


def print_calibration(found: "Calibration", console: Console) -> None:
    """The server, its coefficients, and the errors on what was fitted and on what was held out."""
    limits = f"{found.engine.kv_blocks:,} KV blocks, at most {counted(found.engine.max_sequences, 'sequence')}"
    write_line(console, f"{found.server.name}: {limits}", "bold")
    coefficients = new_table(console, ("coefficient", "value"))
    for name, value in found.coefficients._asdict().items():
        coefficients.add_row(name, f"{value:.4g}")
    console.print(coefficients)
    write_line(console, "errors, simulated over measured", "bold")
    errors = new_table(console, ("time", "fitted", "held out") if found.held_out else ("time", "fitted"))
    for name, error in found.in_sample.items():
        held_out = [with_minus(f"{found.held_out[name]:+.2%}")] if found.held_out else []
        errors.add_row(escape(name.replace("_", " ")), with_minus(f"{error:+.2%}"), *held_out)
    console.print(errors)
    preempted = counted(found.simulated.preemptions, "preemption")
    write_line(console, f"{found.fitted} of {counted(len(found.log), 'request')} fitted; {preempted}")
    write_line(console, f"{number_text(found.simulated_requests_per_s)} simulated requests per second")
    write_notes(found.figures(), console, caveat=False)


def print_replay(figures: Mapping[str, Any], console: Console) -> None:
    """What serving a trace took: how many replicas, latency, throughput, use and cost, then what to know of it."""
    served = figures["served_by"]
    many = counted(served["replicas"], "replica")
    use = cell("share", setting(figures, "load", "utilization"))
    latency = seconds_text(setting(figures, "latency_s", "p95") or math.nan)
    write_line(console, f"{many} of {served['model']} on {served['gpu']}: p95 latency {latency}, busy {use}", "bold")
    write_line(console, "")
    times = new_table(console, ["", "mean", "p50", "p95", "p99"])
    for key, name in (("ttft_s", "time to first token"), ("tpot_s", "per output token"), ("latency_s", "latency")):
        times.add_row(name, *(seconds_text(math.nan if v is None else v) for v in figures[key].values()))
    console.print(times)
    write_line(console, "")
    print_tree({key: figures[key] for key in ("trace", "served_by", "throughput", "load", "cost")}, console)
    write_notes(figures, console, caveat=False)


def print_prediction(figures: Mapping[str, Any], console: Console) -> None:
    """What a set-up gives, and how far that may be off."""
    of, by = figures["predicted"], figures["set_up"]
    what = f"{by['model']} on {by['gpus']} x {by['gpu']}, {by['engine']}"
    write_line(console, f"{what}: {counted(by['concurrency'], 'request')} under way", "bold")
    table = new_table(console, ("", "mean"))
    for key, name in (("ttft_s", "time to first token"), ("tpot_s", "per output token"), ("latency_s", "latency")):
        if of[key] is not None:  # an answer of one token has no further ones
            table.add_row(name, seconds_text(of[key]))
    for key, name in (
        ("requests_per_s", "requests per second"),
        ("tokens_per_s", "tokens written per second"),
        ("joules_per_million_tokens", "joules per million tokens written"),
        ("usd_per_million_tokens", "USD per million tokens written"),
    ):
        table.add_row(name, number_text(of[key]))
    console.print(table)
    write_line(console, f"expect: {figures['expected_error']}")


def print_catalogue(catalogue: Mapping[str, Any], console: Console) -> None:
    """The models and GPUs of `Catalogue.figures()`, sources aside."""
    models = new_table(console, (*_MODEL_HEADS, "weights\nGB", "KV cache\nkB/token"))
    for name, m in catalogue["models"].items():
        experts = f"{m['experts_per_token']}/{m['experts']}" if m["experts"] > 1 else "dense"
        models.add_row(
            escape(name),
            f"{m['n_params'] / 1e9:.2f}",
            f"{m['active_params'] / 1e9:.2f}",
            str(m["layers"]),
            str(m["hidden"]),
            f"{m['heads']}/{m['kv_heads']}",
            experts,
            f"{m['weight_bytes'] / 1e9:.1f}",
            f"{m['kv_bytes_per_token'] / 1e3:.1f}",
        )
    console.print(models)
    write_line(console, "")
    gpus = new_table(console, (*_GPU_HEADS, "power, W\nidle/busy/limit", "USD/h\nlow/typical/high"))
    for name, g in catalogue["gpus"].items():
        peaks = (g["flops_16bit"], g["flops_fp8"], g["flops_fp4"])
        gpus.add_row(
            escape(name),
            f"{g['memory_bytes'] / 1e9:.1f}",
            number_text(g["bandwidth_bytes_per_s"] / 1e9),
            "/".join(number_text(peak / 1e12) if peak else "-" for peak in peaks),
            number_text(g["link_bytes_per_s"] / 1e9),
            f"{g['idle_power_w']:.0f}/{g['busy_power_w']:.0f}/{g['power_w']:.0f}",
            "/".join(f"{g['price'][key]:.2f}" for key in ("low", "typical", "high")),
        )
    console.print(gpus)
    write_line(console, "")
    write_line(console, "active: parameters that one token meets. busy: power while serving at few tokens a second.")
    write_line(
        console,
        "The source of every figure, of prices too: --json. A path to a model's config.json stands for its name too.",
    )
