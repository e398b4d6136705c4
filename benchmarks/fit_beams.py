"""Constants of wide beams by engine, fitted to measured cells (`beam_serving.csv`: SID-GR and FlashRec's tables).

Each program and version has constants of its own, held to those of its kin by a prior. Each cell is predicted from all
others; and each version is fitted to half of its cells and judged on the others, both ways round and on random halves.
It stands on the engines' other constants: `fit_engines.py` makes those first, and then calls this.

    python benchmarks/fit_beams.py [--data FOLDER] [--halves 20] [--write | --check] [--json]

FOLDER holds llm/beam_serving.csv; the environment variable FLEETREC_DATA where it is not given. `--write` puts the
constants of all cells into the engines' files and the errors beside them; `--check` says whether they are there.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from engine_constants import changes, write
from numpy.typing import NDArray
from rich.table import Table
from scipy.optimize import least_squares

from fleetrec.reports.terminal.parts import console_for
from fleetrec.simulator.cloud.beam_prediction import MODELS, NOT_STATED, BeamLoad, batch_s, requests_per_s
from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue
from fleetrec.simulator.cloud.hardware.engine_errors import BEAM_ERRORS_FILE
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


def left_out(rows: pd.DataFrame, form: Form) -> Floats:
    """[cells] seconds of each as constants say that were fitted to all others."""
    each = np.eye(len(rows), dtype=bool)
    return np.array([predictions(rows[own], fit(rows[~own], form))[0, 0] for own in each])


@dataclass
class Made:
    """What the fit finds."""

    rows: pd.DataFrame
    """the cells; relative errors `within` the fit, `alone` left out, `held` out with half of its version's cells"""
    searches: dict[str, Search]
    halves: list[dict[str, float]]
    """median and worst error of each half that was left out; the first two are one whole"""


def make(data: Path, random_halves: int = 0) -> Made:
    """Fit to all cells, to all but one, and to halves of them."""
    rows, form = cells(data), Form()
    searches = fit(rows, form)
    rows["within"] = predictions(rows, searches)[:, 0] / rows.seconds - 1.0
    rows["predicted"] = left_out(rows, form)
    rows["alone"] = rows.predicted / rows.seconds - 1.0
    rows["held"] = np.nan
    outcomes = []
    for n, chosen in enumerate(halves(rows, random_halves)):
        others = rows[~chosen]
        error = predictions(others, fit(rows[chosen], form))[:, 0] / others.seconds - 1.0
        if n < 2:
            rows.loc[~chosen, "held"] = error.abs()
        outcomes.append({"median": float(error.abs().median()), "worst": float(error.abs().max())})
    return Made(rows, searches, outcomes)


def errors_of(part: pd.DataFrame) -> dict[str, Any]:
    """Errors of some cells, as the page of errors has them."""
    off = part.alone.abs()
    worst = part.iloc[int(off.to_numpy().argmax())]
    each = 1e3 / (1 if worst.offline else worst.requests)  # ms of a batch, or of the clients' requests
    return {
        "cells": len(part),
        **{name: round(float(value), 4) for name, value in (("median", off.median()), ("p90", off.quantile(0.9)))},
        **{"bias": round(float(part.alone.median()), 4), "half": round(float(part.held.median()), 4)},
        "half_worst": round(float(part.held.max()), 4),
        "worst": {
            "version": worst.engine,
            "model": worst.model,
            "gpu": GPUS[worst.gpu],
            **{name: int(worst[name]) for name in ("prompt_tokens", "output_tokens", "beams", "requests")},
            "measured_ms": round(float(worst.seconds * each), 3),
            "predicted_ms": round(float(worst.predicted * each), 3),
        },
    }


def texts_of(made: Made) -> dict[Path, str]:
    """The files that the fit makes; of the engines' what stands before `searches` stays."""
    texts, rows = {}, made.rows
    for engine in dict.fromkeys(VERSIONS.values()):
        path = BEAM_ERRORS_FILE.with_name(f"{engine}.yaml")
        own = {}
        for version in (v for v, of in VERSIONS.items() if of == engine):
            cell = rows[rows.engine == version]
            values: dict[str, Any] = {key: float(f"{getattr(made.searches[version], key):.3g}") for key in KEYS}
            where = f"{cell.source.iloc[0]}: {len(cell)} cells of {', '.join(sorted({GPUS[g] for g in cell.gpu}))}"
            where += f", widths of {', '.join(map(str, sorted(cell.beams.unique())))}"
            errors = {"error": round(float(cell.held.median()), 3), "error_worst": round(float(cell.held.max()), 3)}
            own[version] = values | {"trie": bool(cell.trie.iloc[0]), "fitted_to": where} | errors
        before = path.read_text(encoding="utf-8").split("searches:")[0]
        texts[path] = before + yaml.safe_dump({"searches": own}, sort_keys=False, width=110)
    engines = rows.engine.map(VERSIONS)
    table = {
        "overall": errors_of(rows),
        "engines": {engine: errors_of(rows[engines == engine]) for engine in dict.fromkeys(VERSIONS.values())},
        "versions": {version: errors_of(rows[rows.engine == version]) for version in VERSIONS},
    }
    head = "# Relative errors of measured beams that were left out: written by benchmarks/fit_beams.py --write.\n"
    texts[BEAM_ERRORS_FILE] = head + yaml.safe_dump(table, sort_keys=False, default_flow_style=None, width=200)
    return texts


def show(made: Made) -> dict[str, Any]:
    """Errors by version, and of all, with the bars."""
    rows, random = made.rows, pd.DataFrame(made.halves[2:])
    by_version: list[dict[str, Any]] = [
        {
            "version": version,
            "engine": engine,
            "cells": len(part),
            "within": float(part.within.abs().median()),
            "left_out": float(part.alone.abs().median()),
            "left_out_worst": float(part.alone.abs().max()),
            "half": float(part.held.median()),
            "half_worst": float(part.held.max()),
        }
        for version, engine in VERSIONS.items()
        for part in [rows[rows.engine == version]]
    ]
    return {
        "median": float(rows.held.median()),
        "worst": float(rows.held.max()),
        "vllm": float(rows.held[rows.engine == "vllm"].max()),
        "halves_median": float(random["median"].median()) if len(random) else None,
        "halves_worst": float(random["worst"].median()) if len(random) else None,
        "versions": by_version,
    }


def main() -> None:
    """Fit, leave out, and print, write or check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("FLEETREC_DATA", ".")))
    parser.add_argument("--halves", type=int, default=20)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--write", action="store_true")
    what.add_argument("--check", action="store_true")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    made = make(args.data, args.halves)
    texts, result = texts_of(made), show(made)
    if args.json:
        print(json.dumps(result))
    else:
        print_table(result)
    if args.write:
        write(texts)
    if args.check:
        found = changes(texts)
        print("\n".join(found) or "the shipped files are what the fit makes")
        sys.exit(1 if found else 0)


def print_table(result: Mapping[str, Any]) -> None:
    """For people."""
    heads = ("version", "engine", "cells", "all fitted", "left out", "worst", "half left out", "worst")
    table = Table(*heads, title="Wide beams: absolute errors")
    keys = ("within", "left_out", "left_out_worst", "half", "half_worst")
    for r in result["versions"]:
        table.add_row(r["version"], r["engine"], str(r["cells"]), *(f"{r[key]:.1%}" for key in keys))
    console_for().print(table)
    for key, bar in BARS.items():
        print(f"{key}: {result[key]:.1%}, bar {bar:.0%}: {'met' if result[key] <= bar else 'NOT met'}")
    if result["halves_median"] is not None:
        median, worst = result["halves_median"], result["halves_worst"]
        print(f"random halves: median {median:.1%}, worst cell {worst:.1%} (each in the median half)")


if __name__ == "__main__":
    main()
