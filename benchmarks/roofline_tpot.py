"""The roofline against measured time per output token of Llama-3.1-8B on H100 and H200 (ai-dynamo/aiconfigurator).

Constants per backend and GPU, one communication law for all. Every group of rows of one backend, number of GPUs and
input length is predicted by constants that are fitted to all other groups. Two forms: one MFU, MBU and overhead each,
and the same with a share of bandwidth for the KV cache and a floor under steps with prompts.

    python benchmarks/roofline_tpot.py [--data FOLDER] [--json]

FOLDER holds llm/measured_tpot_llama8b_h100.csv; the environment variable FLEETREC_DATA where it is not given.
"""

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.optimize import least_squares

from fleetrec.reports.terminal.parts import console_for
from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue
from fleetrec.simulator.cloud.hardware.layout import Layout
from fleetrec.simulator.cloud.hardware.models import ModelSpec
from fleetrec.simulator.cloud.hardware.timing import Efficiency, RooflineTiming

Floats = NDArray[np.float64]
GROUP = ["backend", "tp_size", "isl"]
TIGHT = 0.02  # relative errors beyond this weigh less than their square


@dataclass(frozen=True)
class Backend:
    """A serving engine whose rows share constants, and what its rows hold."""

    title: str
    model: ModelSpec
    gpu: str
    sequence_overhead: bool
    """the host's work for each sequence is not hidden behind the GPU's"""
    prefills: bool
    """other requests' prefills fall between a request's steps"""


MODEL = default_catalogue().model("llama-3.1-8b")
EIGHT_BIT = MODEL.model_copy(update={"weights": "fp8"})
BACKENDS = {
    "trtllm": Backend("TensorRT-LLM 1.0rc3, H100, BF16", MODEL, "h100", False, True),
    "sglang": Backend("SGLang 0.5.6, H200, FP8", EIGHT_BIT, "h200", True, True),
    "vllm": Backend("vLLM 0.12, H200, FP8", EIGHT_BIT, "h200", False, False),
}
PLAIN = ("mfu", "mbu", "overhead_s")
FULL = ("kv_mbu", "prompt_floor_s")  # where prefills tell compute and weights from the KV cache
START = {
    "mfu": 0.7,
    "mbu": 0.8,
    "overhead_s": 1e-3,
    "sequence_overhead_s": 2e-5,
    "kv_mbu": 0.8,
    "prompt_floor_s": 1e-2,
    "reduce_latency_s": 4e-6,
    "reduce_link_share": 0.35,
}
LAW = ("reduce_latency_s", "reduce_link_share")
BOUNDS = {
    "mfu": (0.4, 1.0),
    "mbu": (0.4, 1.0),
    "overhead_s": (1e-5, 2e-2),
    "sequence_overhead_s": (1e-7, 2e-4),
    "kv_mbu": (0.4, 1.0),
    "prompt_floor_s": (1e-4, 4e-2),
    "reduce_latency_s": (1e-8, 5e-5),
    "reduce_link_share": (0.05, 1.0),
}


class Constants:
    """Positions of the constants in one vector of logarithms: each backend's own, then the communication law."""

    def __init__(self, backends: Sequence[str], full: bool):
        self.names: list[tuple[str, str]] = []
        for name in backends:
            backend = BACKENDS[name]
            own = PLAIN + (FULL if full and backend.prefills else ())
            self.names += [(name, constant) for constant in own]
            if backend.sequence_overhead:
                self.names.append((name, "sequence_overhead_s"))
        self.names += [("", constant) for constant in LAW]
        self.start = np.log([START[constant] for _, constant in self.names])
        self.low, self.high = np.log([BOUNDS[constant] for _, constant in self.names]).T

    def efficiency(self, values: Floats, backend: str) -> Efficiency:
        """The constants of `backend` in the vector."""
        return Efficiency(
            **{name: float(np.exp(v)) for (of, name), v in zip(self.names, values, strict=True) if of in ("", backend)}
        )


@dataclass(frozen=True)
class Fit:
    """Constants found, and the values that they have."""

    constants: Constants
    values: Floats

    def efficiency(self, backend: str) -> Efficiency:
        """The constants of `backend`."""
        return self.constants.efficiency(self.values, backend)


def predictions(rows: pd.DataFrame, constants: Constants, values: Floats) -> Floats:
    """Predicted TPOT [rows], ms."""
    timings: dict[tuple[str, int], RooflineTiming] = {}
    predicted = []
    columns = ("backend", "tp_size", "isl", "osl", "batch_size")
    for name, gpus, isl, osl, batch in zip(*(rows[column].tolist() for column in columns), strict=True):
        backend = BACKENDS[name]
        timing = timings.get((name, gpus))
        if timing is None:
            gpu = default_catalogue().gpu(backend.gpu)
            timing = RooflineTiming(backend.model, gpu, Layout(int(gpus)), constants.efficiency(values, name))
            timings[name, gpus] = timing
        if backend.prefills:
            seconds = timing.tpot_s(isl, osl, batch)
        else:
            seconds = timing.step_time(batch, batch * (isl + (osl + 1) / 2), batch)
        predicted.append(seconds * 1e3)
    return np.array(predicted)


def fit(rows: pd.DataFrame, full: bool, near: Fit | None = None) -> Fit:
    """Constants that fit the logarithm of measured TPOT, outliers weighed down; the search begins at `near`."""
    constants = Constants([name for name in BACKENDS if (rows.backend == name).any()], full)
    measured = rows.silicon_tpot_ms.to_numpy()

    def residuals(values: Floats) -> Floats:
        return np.asarray(np.log(predictions(rows, constants, values) / measured))

    start = constants.start
    if near is not None and near.constants.names == constants.names:
        start = near.values
    bounds, steps = (constants.low, constants.high), [1e-4] * len(start)
    fitted = least_squares(residuals, start, bounds=bounds, loss="soft_l1", f_scale=TIGHT, diff_step=steps)
    return Fit(constants, fitted.x)


def held_out_errors(rows: pd.DataFrame, full: bool, near: Fit) -> pd.Series:
    """Signed relative error of each row, predicted by a fit to all rows outside its group."""
    errors = pd.Series(np.nan, index=rows.index)
    for _, group in rows.groupby(GROUP):
        found = fit(rows.drop(group.index), full, near)
        errors[group.index] = predictions(group, found.constants, found.values) / group.silicon_tpot_ms - 1
    return errors


def sizes(rows: pd.DataFrame) -> dict[str, float]:
    """Mean absolute held-out error by number of GPUs, and in all."""
    by_size = {f"tp{tp}": float(part.held_out.abs().mean()) for tp, part in rows.groupby(rows.tp_size.astype(int))}
    return by_size | {"held_out": float(rows.held_out.abs().mean())}


def results_of(rows: pd.DataFrame, full: bool) -> dict[str, Any]:
    """Constants fitted to all rows, and errors, in-sample and held out."""
    found = fit(rows, full)
    in_sample = predictions(rows, found.constants, found.values) / rows.silicon_tpot_ms - 1
    rows = rows.assign(in_sample=in_sample, held_out=held_out_errors(rows, full, found))
    backends = []
    for name, backend in BACKENDS.items():
        own = rows[rows.backend == name]
        backends.append(
            {
                "backend": backend.title,
                "rows": len(own),
                **asdict(found.efficiency(name)),
                "in_sample": float(own.in_sample.abs().mean()),
                "held_out_bias": float(own.held_out.mean()),
                "held_out_worst": float(own.held_out.abs().max()),
                **sizes(own),
            }
        )
    groups = rows.groupby(GROUP).ngroups
    return {"constants": len(found.values), "groups": groups, "rows": len(rows), **sizes(rows), "backends": backends}


def show(console: Console, title: str, results: dict[str, Any]) -> None:
    """Print one form's constants and errors."""
    heads = ("backend", "rows", "MFU", "MBU", "MBU of KV", "overhead ms", "per seq. us", "floor ms")
    table = Table(*heads, title=f"{title}: {results['constants']} constants, all {results['rows']} rows fitted")
    for r in results["backends"]:
        kv = "as MBU" if r["kv_mbu"] is None else f"{r['kv_mbu']:.2f}"
        milliseconds = (f"{1e3 * r['overhead_s']:.2f}", f"{1e6 * r['sequence_overhead_s']:.1f}")
        floor = f"{1e3 * r['prompt_floor_s']:.1f}"
        table.add_row(r["backend"], str(r["rows"]), f"{r['mfu']:.2f}", f"{r['mbu']:.2f}", kv, *milliseconds, floor)
    console.print(table)
    law = results["backends"][0]
    console.print(
        f"all-reduce: {law['reduce_latency_s'] * 1e6:.2f} us x log2(GPUs), {law['reduce_link_share']:.2f} of the link"
    )
    errors = Table(
        *("backend", "in-sample", "held out", "bias", "worst", "TP1", "TP2", "TP4", "TP8"),
        title=f"mean absolute TPOT error; each of {results['groups']} groups predicted from the others",
    )
    keys = ("in_sample", "held_out", "held_out_bias", "held_out_worst", "tp1", "tp2", "tp4", "tp8")
    for r in results["backends"]:
        errors.add_row(r["backend"], *(f"{r[key]:.1%}" for key in keys))
    errors.add_row("all rows", "", *(f"{results[key]:.1%}" if key in results else "" for key in keys[1:]))
    console.print(errors)


def main() -> None:
    """Print constants and errors, in-sample and held out, of both forms."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("FLEETREC_DATA", ".")))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = pd.read_csv(arguments.data / "llm" / "measured_tpot_llama8b_h100.csv")
    forms = {"plain": results_of(rows, full=False), "full": results_of(rows, full=True)}
    if arguments.json:
        print(json.dumps(forms, indent=2))
        return
    console = console_for()
    show(console, "one MFU, MBU and overhead each", forms["plain"])
    show(console, "a share for the KV cache, a floor under steps with prompts", forms["full"])


if __name__ == "__main__":
    main()
