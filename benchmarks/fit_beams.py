"""Constants of wide beams by engine, fitted to measured cells (`beam_serving.csv`: SID-GR and FlashRec's tables).

Each program and version has constants of its own, held to those of its kin by a prior. Each is fitted to half of its
cells and judged on the others, both ways round and on random halves; bars of the first two are printed.

    python benchmarks/fit_beams.py [--data FOLDER] [--halves 20] [--write] [--json]

FOLDER holds llm/beam_serving.csv; the environment variable FLEETREC_DATA where it is not given. `--write` puts the
constants of all cells, with those errors, into the engines' files.
"""

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray
from rich.table import Table
from scipy.optimize import least_squares

from fleetrec.reports.terminal.parts import console_for
from fleetrec.simulator.cloud.beam_prediction import MODELS, NOT_STATED, BeamLoad, batch_s, requests_per_s
from fleetrec.simulator.cloud.hardware import engine_profile as profiles
from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue
from fleetrec.simulator.cloud.hardware.engine_profile import Search, engine_profile
from fleetrec.simulator.cloud.hardware.engine_timing import engine_steps
from fleetrec.simulator.cloud.hardware.layout import Layout
from fleetrec.simulator.scenario.sections import EngineName, Precision

Floats = NDArray[np.float64]
BARS = {"median": 0.12, "worst": 0.35, "vllm": 0.25}
TIGHT = 0.15
"""relative errors beyond this weigh less than their square"""
SPREAD = 0.06
"""of a cell about what the form says"""
VERSIONS: dict[str, EngineName] = {  # the first of an engine is what scenarios take
    "sid-gr": "generative_recommender",
    "flashrec": "generative_recommender",
    "sglang-main": "sglang",
    "sglang-0801": "sglang",
    "sglang-beam-pr": "sglang",
    "trtllm": "tensorrt_llm",
    "vllm": "vllm",
}
GPUS = {"h100_sxm": "h100", "rtx_5090": "rtx5090"}
PRIORS: dict[str, tuple[float, float, float, float]] = {
    # value, and standard deviations of its logarithm: for all, of an engine about them, of a version about its engine
    "products": (0.8, 0.3, 0.3, 0.2),
    "again": (0.1, 0.5, 0.5, 0.4),
    "step": (2.5e-3, 0.5, 0.5, 0.3),
    "search": (3e-4, 0.7, 0.5, 0.3),
    "beam": (1e-5, 0.5, 0.7, 0.5),
    "square": (3.6e-6, 0.25, 0.0, 0.0),  # two candidates a beam, each a Python object with a copy of its tokens
    "prompt_layer": (4e-4, 0.4, 0.5, 0.3),
    "request": (6e-3, 0.7, 1.0, 0.5),
}
OTHERWISE: dict[str, dict[str, tuple[float, float]]] = {
    # vLLM's beams are requests: value and standard deviation of its engine
    "vllm": {"beam": (7e-4, 0.4), "step": (2e-2, 1.0), "request": (2e-2, 1.0), "search": (1e-3, 1.0)},
}
KEYS = tuple(PRIORS)


def cells(folder: Path) -> pd.DataFrame:
    """The measured cells: seconds of a batch, or of a client's request over the clients."""
    rows = pd.read_csv(folder / "llm" / "beam_serving.csv")
    rows["precision"] = rows.precision.fillna(NOT_STATED)
    rows["offline"] = rows.batch.notna()
    rows["requests"] = rows.batch.fillna(rows.concurrency).astype(int)
    rows["seconds"] = np.where(rows.offline, rows.ms / 1e3, rows.requests / rows.requests_per_s)
    return rows


class Form:
    """Log constants: of all, of engines and of versions, added up."""

    def __init__(self) -> None:
        self.names: list[tuple[str, str]] = []
        mean: list[float] = []
        spread: list[float] = []
        engines = list(dict.fromkeys(VERSIONS.values()))
        several = [e for e in engines if list(VERSIONS.values()).count(e) > 1]
        for key, (value, of_all, of_engine, of_version) in PRIORS.items():
            levels = [("", np.log(value), of_all)]
            for engine in engines:
                own = OTHERWISE.get(engine, {}).get(key)
                levels.append((engine, 0.0, of_engine) if own is None else (engine, np.log(own[0] / value), own[1]))
            levels += [(v, 0.0, of_version) for v, engine in VERSIONS.items() if engine in several]
            for name, at, width in levels:
                if width:
                    self.names.append((key, name))
                    mean.append(at)
                    spread.append(width)
        self.mean, self.spread = np.array(mean), np.array(spread)
        self.of = np.array(
            [[k == key and name in ("", VERSIONS[v], v) for k, name in self.names] for v in VERSIONS for key in KEYS],
            dtype=float,
        ).reshape(len(VERSIONS), len(KEYS), len(self.names))

    def searches(self, logs: Floats) -> dict[str, Search]:
        """By version, of log constants [version, key]."""
        found = {}
        for version, values in zip(VERSIONS, np.exp(logs), strict=True):
            constants = dict(zip(KEYS, values.tolist(), strict=True))
            constants["again"] = min(constants["again"], 1.0)
            if version != "vllm":
                constants["square"] = 0.0
            found[version] = Search(**constants, trie=False, fitted_to="", error=0.0, error_worst=0.0)
        return found


def predictions(rows: pd.DataFrame, searches: dict[str, Search]) -> Floats:
    """[cells, 3] seconds of each cell, and of its prefill and its decode steps."""
    steps: dict[tuple[Any, ...], Any] = {}
    found = []
    columns = ("engine", "model", "gpu", "precision", "prompt_tokens", "output_tokens", "beams", "requests", "offline")
    for engine, name, card, weights, *lengths, offline in zip(*(rows[c].tolist() for c in columns), strict=True):
        key = (engine, name, card, weights)
        if key not in steps:
            model = default_catalogue().model(MODELS.get(name, name)).served_in(Precision(weights=weights))
            gpu, profile = default_catalogue().gpu(GPUS[card]), engine_profile(VERSIONS[engine])
            steps[key] = engine_steps(model, gpu, Layout(), profile, searches[engine])
        load = BeamLoad(*lengths)
        timing = steps[key]
        whole = batch_s(timing, load)
        prefill = batch_s(timing, replace(load, output_tokens=1))
        clients = load.requests / requests_per_s(timing, searches[engine], load)
        found.append((whole if offline else clients, prefill, whole - prefill))
    return np.array(found)


def fit(rows: pd.DataFrame, form: Form) -> dict[str, Search]:
    """Constants of all versions, of those cells."""
    version = np.array([list(VERSIONS).index(engine) for engine in rows.engine])
    measured = np.stack([rows.seconds, rows.prefill_ms / 1e3, rows.decode_ms / 1e3], axis=1)
    there = np.isfinite(measured)
    version = np.broadcast_to(version[:, None], there.shape)[there]

    def misfit(logs: Floats) -> Floats:
        error = np.log((predictions(rows, form.searches(logs)) / measured)[there])
        bent = TIGHT * np.sqrt(2.0 * (np.sqrt(1.0 + (error / TIGHT) ** 2) - 1.0)) * np.sign(error)
        return np.asarray(bent / SPREAD)

    def residuals(values: Floats) -> Floats:
        return np.concatenate([misfit(form.of @ values), (values - form.mean) / form.spread])

    def slopes(values: Floats) -> Floats:
        """A cell follows its own version's constants alone, so one step of each serves all versions at once."""
        logs, step = form.of @ values, 1e-5
        at = misfit(logs)
        own = np.stack([(misfit(logs + step * np.eye(len(KEYS))[k]) - at) / step for k in range(len(KEYS))], axis=1)
        return np.vstack([np.einsum("rk,rkn->rn", own, form.of[version]), np.diag(1.0 / form.spread)])

    return form.searches(form.of @ least_squares(residuals, form.mean, slopes, max_nfev=40).x)


def halves(rows: pd.DataFrame, random: int) -> list[NDArray[np.bool_]]:
    """Cells to fit to: every second cell of each version and the others, and random halves of each."""
    even = (rows.groupby("engine").cumcount() % 2 == 0).to_numpy()
    found, rng = [even, ~even], np.random.default_rng(0)
    for _ in range(random):
        chosen = np.zeros(len(rows), dtype=bool)
        for _, part in rows.groupby("engine"):
            chosen[rng.permutation(part.index)[: (len(part) + 1) // 2]] = True
        found.append(chosen)
    return found


def write(searches: dict[str, Search], rows: pd.DataFrame) -> None:
    """Replace `searches` in the engines' files; what stands around them stays."""
    folder = Path(profiles.__file__).parent / "engines"
    for engine in dict.fromkeys(VERSIONS.values()):
        versions = [v for v, of in VERSIONS.items() if of == engine]
        path = folder / f"{engine}.yaml"
        text = path.read_text(encoding="utf-8").split("searches:")[0]
        own = {}
        for version in versions:
            cell = rows[rows.engine == version]
            values: dict[str, Any] = {key: float(f"{getattr(searches[version], key):.3g}") for key in KEYS}
            where = f"{cell.source.iloc[0]}: {len(cell)} cells of {', '.join(sorted({GPUS[g] for g in cell.gpu}))}"
            where += f", widths of {', '.join(map(str, sorted(cell.beams.unique())))}"
            errors = {"error": round(float(cell.held.median()), 3), "error_worst": round(float(cell.held.max()), 3)}
            own[version] = values | {"trie": bool(cell.trie.iloc[0]), "fitted_to": where} | errors
        path.write_text(text + yaml.safe_dump({"searches": own}, sort_keys=False, width=110), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("FLEETREC_DATA"))
    parser.add_argument("--halves", type=int, default=20)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows, form = cells(Path(args.data)), Form()
    searches = fit(rows, form)
    rows["within"] = predictions(rows, searches)[:, 0] / rows.seconds - 1.0
    outcomes = []
    rows["held"] = np.nan
    for n, chosen in enumerate(halves(rows, args.halves)):
        others = rows[~chosen]
        error = predictions(others, fit(rows[chosen], form))[:, 0] / others.seconds - 1.0
        if n < 2:
            rows.loc[~chosen, "held"] = error.abs()
        outcomes.append({"median": float(error.abs().median()), "worst": float(error.abs().max())})
    if args.write:
        write(searches, rows)
    by_version: list[dict[str, Any]] = [
        {
            "version": version,
            "engine": engine,
            "cells": len(part),
            "within": float(part.within.abs().median()),
            "held": float(part.held.median()),
            "worst": float(part.held.max()),
        }
        for version, engine in VERSIONS.items()
        for part in [rows[rows.engine == version]]
    ]
    random = pd.DataFrame(outcomes[2:])
    result: dict[str, Any] = {
        "median": float(rows.held.median()),
        "worst": float(rows.held.max()),
        "vllm": float(rows.held[rows.engine == "vllm"].max()),
        "halves_median": float(random["median"].median()) if len(random) else None,
        "halves_worst": float(random["worst"].median()) if len(random) else None,
        "versions": by_version,
    }
    if args.json:
        print(json.dumps(result))
        return
    console = console_for()
    table = Table("version", "engine", "cells", "all fitted", "held out", "worst", title="Wide beams: absolute errors")
    for r in by_version:
        figures = (f"{r[key]:.1%}" for key in ("within", "held", "worst"))
        table.add_row(r["version"], r["engine"], str(r["cells"]), *figures)
    console.print(table)
    for key, bar in BARS.items():
        print(f"{key}: {result[key]:.1%}, bar {bar:.0%}: {'met' if result[key] <= bar else 'NOT met'}")
    if len(random):
        median, worst = result["halves_median"], result["halves_worst"]
        print(f"random halves: median {median:.1%}, worst cell {worst:.1%} (each in the median half)")


if __name__ == "__main__":
    main()
