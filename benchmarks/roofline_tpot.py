"""The roofline against measured time per output token of Llama-3.1-8B on H100 and H200 (ai-dynamo/aiconfigurator).

One MFU, MBU and overhead per backend and GPU, one communication law for all. Every group of rows of one backend, number
of GPUs and input length is predicted by constants that are fitted to all other groups.

    python benchmarks/roofline_tpot.py [--data FOLDER] [--json]

FOLDER holds llm/measured_tpot_llama8b_h100.csv; the environment variable FLEETREC_DATA where it is not given.
"""

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.table import Table
from scipy.optimize import least_squares

from reports.terminal import console_for
from simulator.cloud import Efficiency, ModelSpec, RooflineTiming, default_catalogue

Floats = NDArray[np.float64]
GROUP = ["backend", "tp_size", "isl"]
TIGHT = 0.02  # relative errors beyond this weigh less than their square


@dataclass(frozen=True)
class Backend:
    """A serving engine whose rows share constants, and what its rows hold."""

    title: str
    gpu: str
    eight_bit: bool
    sequence_overhead: bool
    """the host's work for each sequence is not hidden behind the GPU's"""
    prefills: bool
    """other requests' prefills fall between a request's steps"""


BACKENDS = {
    "trtllm": Backend("TensorRT-LLM 1.0rc3, H100, BF16", "h100", False, False, True),
    "sglang": Backend("SGLang 0.5.6, H200, FP8", "h200", True, True, True),
    "vllm": Backend("vLLM 0.12, H200, FP8", "h200", True, False, False),
}
START = {"mfu": 0.7, "mbu": 0.8, "overhead_s": 1e-3, "sequence_overhead_s": 2e-5}
LAW = {"reduce_latency_s": 4e-6, "reduce_link_share": 0.35}
BOUNDS = {
    "mfu": (0.4, 1.0),
    "mbu": (0.4, 1.0),
    "overhead_s": (1e-5, 2e-2),
    "sequence_overhead_s": (1e-7, 2e-4),
    "reduce_latency_s": (1e-8, 5e-5),
    "reduce_link_share": (0.05, 1.0),
}


class Constants:
    """Positions of the constants in one vector of logarithms: each backend's own, then the communication law."""

    def __init__(self, backends: Sequence[str]):
        self.names: list[tuple[str, str]] = []
        for backend in backends:
            own = [name for name in START if name != "sequence_overhead_s" or BACKENDS[backend].sequence_overhead]
            self.names += [(backend, name) for name in own]
        self.names += [("", name) for name in LAW]
        self.start = np.log([(START | LAW)[name] for _, name in self.names])
        self.bounds = np.log([BOUNDS[name] for _, name in self.names]).T

    def efficiency(self, values: Floats, backend: str) -> Efficiency:
        """The constants of `backend` in the vector."""
        return Efficiency(
            **{name: float(np.exp(v)) for (of, name), v in zip(self.names, values, strict=True) if of in ("", backend)}
        )


def served_model(backend: Backend) -> ModelSpec:
    """Llama-3.1-8B as that backend held it: 8-bit weights go with a 16-bit KV cache."""
    model = default_catalogue().model("llama-3.1-8b")
    return model.model_copy(update={"dtype_bytes": 1, "kv_dtype_bytes": 2}) if backend.eight_bit else model


def predictions(rows: pd.DataFrame, constants: Constants, values: Floats) -> Floats:
    """Predicted TPOT [rows], ms."""
    timings: dict[tuple[str, int], RooflineTiming] = {}
    predicted = []
    for row in rows.itertuples():
        key = (row.backend, int(row.tp_size))
        backend = BACKENDS[row.backend]
        if key not in timings:
            gpu = default_catalogue().gpu(backend.gpu)
            efficiency = constants.efficiency(values, row.backend)
            timings[key] = RooflineTiming(served_model(backend), gpu, key[1], efficiency)
        batch, context = row.batch_size, row.isl + (row.osl + 1) / 2
        if backend.prefills:
            seconds = timings[key].tpot_s(row.isl, row.osl, batch)
        else:
            seconds = timings[key].step_time(batch, batch * context, batch)
        predicted.append(seconds * 1e3)
    return np.array(predicted)


def fit(rows: pd.DataFrame) -> tuple[Constants, Floats]:
    """Constants that fit the logarithm of measured TPOT, outliers weighed down."""
    constants = Constants([name for name in BACKENDS if (rows.backend == name).any()])
    measured = rows.silicon_tpot_ms.to_numpy()

    def residuals(values: Floats) -> Floats:
        return np.log(predictions(rows, constants, values) / measured)

    fitted = least_squares(
        residuals, constants.start, bounds=constants.bounds, loss="soft_l1", f_scale=TIGHT, diff_step=1e-4
    )
    return constants, fitted.x


def held_out_errors(rows: pd.DataFrame) -> pd.Series:
    """Signed relative error of each row, predicted by a fit to all rows outside its group."""
    errors = pd.Series(np.nan, index=rows.index)
    for _, group in rows.groupby(GROUP):
        constants, values = fit(rows.drop(group.index))
        errors[group.index] = predictions(group, constants, values) / group.silicon_tpot_ms - 1
    return errors


def read_rows(data: Path) -> pd.DataFrame:
    """The measured rows, in file order."""
    return pd.read_csv(data / "llm" / "measured_tpot_llama8b_h100.csv")


def main() -> None:
    """Print constants and errors, in-sample and held out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("FLEETREC_DATA", ".")))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = read_rows(arguments.data)
    constants, values = fit(rows)
    rows["in_sample"] = predictions(rows, constants, values) / rows.silicon_tpot_ms - 1
    rows["held_out"] = held_out_errors(rows)
    results = []
    for name, backend in BACKENDS.items():
        own = rows[rows.backend == name]
        sizes = {f"tp{int(tp)}": float(part.held_out.abs().mean()) for tp, part in own.groupby("tp_size")}
        results.append(
            {
                "backend": backend.title,
                "rows": len(own),
                **asdict(constants.efficiency(values, name)),
                "in_sample": float(own.in_sample.abs().mean()),
                "held_out": float(own.held_out.abs().mean()),
                "held_out_bias": float(own.held_out.mean()),
                "held_out_worst": float(own.held_out.abs().max()),
                **sizes,
            }
        )
    if arguments.json:
        print(json.dumps(results, indent=2))
        return
    console = console_for()
    table = Table("backend", "rows", "MFU", "MBU", "overhead ms", "per seq. us", title="constants, all rows fitted")
    for r in results:
        per_sequence = f"{r['sequence_overhead_s'] * 1e6:.1f}"
        table.add_row(
            r["backend"],
            str(r["rows"]),
            f"{r['mfu']:.2f}",
            f"{r['mbu']:.2f}",
            f"{r['overhead_s'] * 1e3:.2f}",
            per_sequence,
        )
    console.print(table)
    law = constants.efficiency(values, "trtllm")
    console.print(
        f"all-reduce: {law.reduce_latency_s * 1e6:.2f} us x log2(GPUs), {law.reduce_link_share:.2f} of the link"
    )
    heads = ("backend", "in-sample", "held out", "bias", "worst", "TP1", "TP2", "TP4", "TP8")
    errors = Table(*heads, title="mean absolute TPOT error; each group predicted from the others")
    for r in results:
        keys = ("in_sample", "held_out", "held_out_bias", "held_out_worst", "tp1", "tp2", "tp4", "tp8")
        errors.add_row(str(r["backend"]), *(f"{r[key]:.1%}" for key in keys))
    console.print(errors)
    console.print(f"all {len(rows)} rows, held out: {rows.held_out.abs().mean():.1%}")


if __name__ == "__main__":
    main()
