"""Joules per request against measurements of nine dense models on H100 (ml-energy/leaderboard).

One power curve for the GPU. Each model is predicted by what is fitted to all others: by the curve at the measured
throughput, and, for models of the catalogue, by the curve at the roofline's throughput, whose MBU and overheads are
fitted to the others' throughput (vLLM, BF16; of the model itself only the batch is measured). A second table checks the
assumed curve of the A100 against power that Splitwise measured.

    python benchmarks/gpu_power.py [--data FOLDER] [--prompt-tokens N] [--json]

FOLDER holds llm/measured_energy_h100.csv; the environment variable FLEETREC_DATA where it is not given. The file does
not say how long prompts are: 70 tokens are assumed, the mean of LMSYS-Chat-1M (Zheng et al., ICLR 2024).
"""

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.table import Table
from scipy.optimize import least_squares

from fleetrec.reports.terminal.parts import console_for
from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue
from fleetrec.simulator.cloud.hardware.gpus import GpuSpec
from fleetrec.simulator.cloud.hardware.layout import Layout
from fleetrec.simulator.cloud.hardware.power import busy_watts
from fleetrec.simulator.cloud.hardware.timing import Efficiency, RooflineTiming

Floats = NDArray[np.float64]
CATALOGUE = {
    "Qwen/Qwen3-8B": "qwen3-8b",
    "Qwen/Qwen3-14B": "qwen3-14b",
    "Qwen/Qwen3-32B": "qwen3-32b",
    "meta-llama/Llama-3.1-8B-Instruct": "llama-3.1-8b",
    "meta-llama/Llama-3.1-70B-Instruct": "llama-3.1-70b",
    "meta-llama/Llama-3.3-70B-Instruct": "llama-3.1-70b",
}
"""of the models measured, those whose step times the catalogue can give"""


def read_rows(data: Path, prompt_tokens: float) -> pd.DataFrame:
    """The measured rows with `load`, the share of peak FLOP/s, and `watts` of one GPU."""
    rows = pd.read_csv(data / "llm" / "measured_energy_h100.csv")
    h100 = default_catalogue().gpu("h100")
    peak = np.array([h100.peak_flops("fp8" if precision == "fp8" else "bf16") for precision in rows.weight_precision])
    tokens_per_s = rows.output_throughput_tokens_per_sec * (1 + prompt_tokens / rows.avg_output_len)
    rows["load"] = 2e9 * rows.activated_params_billions * tokens_per_s / rows.num_gpus / peak
    rows["watts"] = rows.avg_power_watts / rows.num_gpus
    return rows


def with_curve(gpu: GpuSpec, values: Floats) -> GpuSpec:
    """`gpu` with another power curve: power at vanishing load over the limit, and the load half way up."""
    return gpu.model_copy(update={"busy_power_w": values[0] * gpu.power_w, "half_load": values[1]})


def fit_curve(rows: pd.DataFrame, gpu: GpuSpec) -> Floats:
    """The curve of least relative error in power."""

    def residuals(values: Floats) -> Floats:
        return np.asarray(busy_watts(with_curve(gpu, values), rows.load.to_numpy()) / rows.watts.to_numpy() - 1)

    return np.asarray(least_squares(residuals, (0.5, 0.1), bounds=((0.1, 0.001), (1.0, 1.0))).x)


def roofline_s(rows: pd.DataFrame, prompt_tokens: float, efficiency: Efficiency) -> Floats:
    """The roofline's seconds per token of one sequence [rows]; the models are in the catalogue."""
    catalogue, seconds = default_catalogue(), []
    columns = ("model_id", "num_gpus", "avg_output_len", "avg_batch_size")
    for name, gpus, output_tokens, batch in zip(*(rows[column].tolist() for column in columns), strict=True):
        timing = RooflineTiming(catalogue.model(CATALOGUE[name]), catalogue.gpu("h100"), Layout(int(gpus)), efficiency)
        seconds.append(timing.tpot_s(prompt_tokens, output_tokens, batch))
    return np.array(seconds)


def fit_efficiency(rows: pd.DataFrame, prompt_tokens: float) -> Efficiency:
    """MBU and overheads that fit measured throughput; MFU, which short prompts do not show, stays the default's."""
    measured_s = (rows.avg_batch_size / rows.output_throughput_tokens_per_sec).to_numpy()

    def efficiency(values: Floats) -> Efficiency:
        mbu, overhead_s, sequence_overhead_s = (float(value) for value in np.exp(values))
        return Efficiency(mbu=mbu, overhead_s=overhead_s, sequence_overhead_s=sequence_overhead_s)

    def residuals(values: Floats) -> Floats:
        return np.asarray(np.log(roofline_s(rows, prompt_tokens, efficiency(values)) / measured_s))

    low, high, start = np.log([(0.3, 1e-5, 1e-7), (1.0, 3e-2, 3e-4), (0.8, 2e-3, 2e-5)]).tolist()
    found = least_squares(
        residuals, start, bounds=(low, high), loss="soft_l1", f_scale=0.05, diff_step=[1e-4] * len(start)
    )
    return efficiency(found.x)


def held_out(rows: pd.DataFrame, prompt_tokens: float) -> pd.DataFrame:
    """Relative errors in joules per request of each model, by what is fitted to the other models."""
    gpu = default_catalogue().gpu("h100")
    rows["error"], rows["roofline_error"] = np.nan, np.nan
    for model, own in rows.groupby("model_id"):
        others = rows[rows.model_id != model]
        curve = with_curve(gpu, fit_curve(others, gpu))
        request_s = own.avg_output_len / own.output_throughput_tokens_per_sec
        joules = own.num_gpus * request_s * busy_watts(curve, own.load.to_numpy())
        rows.loc[own.index, "error"] = joules / own.energy_per_request_joules - 1
        if model in CATALOGUE:
            efficiency = fit_efficiency(others[others.model_id.isin(CATALOGUE)], prompt_tokens)
            measured_s = own.avg_batch_size / own.output_throughput_tokens_per_sec
            slower = roofline_s(own, prompt_tokens, efficiency) / measured_s
            joules = own.num_gpus * request_s * slower * busy_watts(curve, (own.load / slower).to_numpy())
            rows.loc[own.index, "roofline_error"] = joules / own.energy_per_request_joules - 1
    return rows


def a100_rows(data: Path) -> pd.DataFrame:
    """Splitwise's A100 rows with power, a decode that is longer than its prompt, by model, GPUs and batch."""
    rows = pd.read_csv(data / "llm" / "splitwise_perf_model.csv")
    rows = rows[(rows.hardware == "a100-80gb") & (rows.average_power > 0) & (rows.prompt_size <= 2048)].copy()
    gpu = default_catalogue().gpu("a100")
    params = rows.model.map({"llama2-70b": 69e9, "bloom-176b": 176e9})
    tokens = rows.batch_size * (rows.prompt_size + rows.token_size)
    load = 2 * params * tokens / (rows.e2e_time / 1e3) / rows.tensor_parallel / gpu.flops_16bit
    rows["error"] = busy_watts(gpu, load.to_numpy()) / gpu.power_w / rows.average_power - 1
    return rows


def main() -> None:
    """Print the fitted curve and the errors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("FLEETREC_DATA", ".")))
    parser.add_argument("--prompt-tokens", type=float, default=70.0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = read_rows(arguments.data, arguments.prompt_tokens)
    busy_share, half_load = fit_curve(rows, default_catalogue().gpu("h100"))
    efficiency = fit_efficiency(rows[rows.model_id.isin(CATALOGUE)], arguments.prompt_tokens)
    rows = held_out(rows, arguments.prompt_tokens)
    models: list[dict[str, Any]] = []
    for model, own in rows.groupby("model_id", sort=False):
        models.append(
            {
                "model": model,
                "rows": len(own),
                "error": float(own.error.abs().mean()),
                "bias": float(own.error.mean()),
                "worst": float(own.error.abs().max()),
                "roofline_error": float(own.roofline_error.abs().mean()) if model in CATALOGUE else None,
            }
        )
    a100 = {
        f"{model} x{gpus}": {"error": float(own.error.abs().mean()), "bias": float(own.error.mean())}
        for (model, gpus), own in a100_rows(arguments.data).groupby(["model", "tensor_parallel"])
    }
    results = {
        "busy_power_share": float(busy_share),
        "half_load": float(half_load),
        "efficiency": asdict(efficiency),
        "error": float(rows.error.abs().mean()),
        "roofline_error": float(rows.roofline_error.abs().mean()),
        "models": models,
        "a100": a100,
    }
    if arguments.json:
        print(json.dumps(results, indent=2))
        return
    console = console_for()
    console.print(f"H100: busy power {busy_share:.3f} of the limit, half way to it at a load of {half_load:.3f}")
    console.print(
        f"vLLM on H100, BF16: MBU {efficiency.mbu:.2f}, overhead {efficiency.overhead_s * 1e3:.2f} ms a step and "
        f"{efficiency.sequence_overhead_s * 1e6:.0f} us a sequence"
    )
    table = Table("model", "rows", "error", "bias", "worst", "from the roofline", title="joules per request, held out")
    for row in models:
        last = "" if row["roofline_error"] is None else f"{row['roofline_error']:.1%}"
        numbers = (f"{row[key]:.1%}" for key in ("error", "bias", "worst"))
        table.add_row(row["model"], str(row["rows"]), *numbers, last)
    table.add_row("all", str(len(rows)), f"{results['error']:.1%}", "", "", f"{results['roofline_error']:.1%}")
    console.print(table)
    check = Table("A100 (Splitwise)", "error", "bias", title="power at the assumed curve")
    for name, numbers_of in a100.items():
        check.add_row(name, f"{numbers_of['error']:.1%}", f"{numbers_of['bias']:+.1%}")
    console.print(check)


if __name__ == "__main__":
    main()
