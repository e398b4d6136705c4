"""Constants of the serving engines (simulator/cloud/hardware/engines/), fitted to `llm/measured_serving.csv`.

    FLEETREC_DATA=... python benchmarks/fit_engines.py           # fits, and prints the table of errors
    FLEETREC_DATA=... python benchmarks/fit_engines.py --write   # and writes those errors, and profiles that have moved
    FLEETREC_DATA=... python benchmarks/fit_engines.py --check   # or says whether the shipped ones are these

Each triple of model, GPU and engine is predicted by a fit to all the others, its closed loops simulated as `predict`
does. The fit itself runs on an estimate in closed form, corrected set-up by set-up by what simulation gives. Then
`fit_beams.py` fits wide beams to `llm/beam_serving.csv`, which stand on these constants.
"""

import argparse
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fit_beams
import numpy as np
import pandas as pd
import yaml
from engine_constants import (
    DEVIATIONS,
    ENGINES,
    NAMES,
    SIZE,
    START,
    Floats,
    changes,
    columns_of,
    figures_of,
    profile_of,
    shipped,
    write,
    written,
)

from fleetrec.models.runtime.progress import RichProgress
from fleetrec.simulator.cloud.hardware.engine_errors import ERRORS_FILE
from fleetrec.simulator.cloud.hardware.engine_profile import EngineProfile, engine_profile
from fleetrec.simulator.cloud.hardware.engine_timing import engine_steps
from fleetrec.simulator.cloud.hardware.step_time import Batch
from fleetrec.simulator.cloud.prediction.rows import setup_of
from fleetrec.simulator.cloud.prediction.setup import (
    Protocol,
    Server,
    Setup,
    front_end_of,
    predict,
    protocol_of,
    server_of,
)
from fleetrec.simulator.scenario.sections import EngineName

SUSPECT = ("gpt-oss-120b/h100/tensorrt_llm", "qwen3-32b/gb200/tensorrt_llm", "llama-3.1-8b/h200/vllm")
"""triples that no law of step times meets beside the others', or whose rows hang on how they were sent
(docs/background/serving_errors.md)"""
SUSPECT_WEIGHT = 0.3
BURSTS = ("llama-3.1-8b/h200/sglang", "llama-3.1-8b/h100/tensorrt_llm")
"""triples whose TTFT holds what is none of the server's"""
TPOT_KNEE, TTFT_KNEE, TTFT_WEIGHT = 0.08, 0.15, 0.5
"""relative errors beyond which a row pulls less than its square (pseudo-Huber)"""
STEPS = 5
"""of a fit"""
TIMES_WITHIN = (0.1, 0.04)
"""relative medians of TTFT and TPOT by which the fit's constants may differ from the shipped ones, which then stand: no
result changes for nothing"""
LONGEST_TTFT_S = 4.0
"""a longer one is a queue's, which hangs on the requests' number"""


@dataclass(frozen=True)
class Case:
    """A distinct set-up, ready to be timed."""

    setup: Setup
    server: Server
    running: float
    """requests that have room"""
    prompt: float
    output: float
    protocol: Protocol

    @property
    def triple(self) -> str:
        """Its model, GPU and engine."""
        return f"{self.setup.model}/{self.setup.gpu}/{self.setup.engine}"


def case_of(setup: Setup) -> Case:
    """The case of a set-up, its lengths in the mean."""
    server, protocol = server_of(setup), protocol_of(setup)
    mean = 1.0 - protocol.length_spread / 2
    prompt, output = setup.prompt_tokens * mean, setup.output_tokens * mean
    room = server.limits.kv_blocks * server.limits.block_tokens / (prompt + output / 2)
    running = max(min(float(setup.concurrency), room), 1.0)
    return Case(setup, server, running, prompt, output, protocol)


def estimate(case: Case, profile: EngineProfile) -> tuple[float, float]:
    """TTFT and TPOT, s, in closed form: steps that decode, and steps in which prompts of others come."""
    steps = engine_steps(case.server.model, case.server.gpu, case.setup.layout, profile)
    running, prompt, output = case.running, case.prompt, case.output
    context = running * (prompt + output / 2)

    def step(prompts: float) -> float:
        pairs = prompts * prompt * (prompt + 1) / 2
        new, sequences = running + prompts * prompt, running + prompts
        return steps.at(Batch(new, sequences, context + prompts * prompt, context + pairs))

    decode = steps.at(Batch(running, running, context, context))
    prompts_a_step = (running - 1) / output
    share = max(1.0 - math.exp(-prompts_a_step * math.ceil(prompt / case.protocol.max_batched_tokens)), 1e-9)
    mixed = step(prompts_a_step / share)
    tpot = decode + share * (mixed - decode)
    first = step(1.0)
    together = max(case.protocol.max_batched_tokens / prompt, 1.0)
    behind = 0.5 / case.protocol.rounds * (case.setup.concurrency - 1) * step(together) / together
    wait = 1.2 * first
    if case.protocol.length_spread:
        wait = 0.6 * ((1 - share) * decode**2 + share * mixed**2) / ((1 - share) * decode + share * mixed)
    if case.protocol.async_scheduling:
        wait += (1 - share) * decode + share * mixed
    front = front_end_of(case.protocol, profile)
    delay = front.request + front.request_token * prompt + front.request_stream * case.setup.concurrency
    return first + wait + delay + behind, tpot


@dataclass
class Measured:
    """Rows, and the cases that they are of. Times are logarithms of seconds: [rows or cases, (TTFT, TPOT)]."""

    cases: list[Case]
    of: Any
    """each row's case"""
    times: Floats
    corrections: Floats
    """of estimates, by case: what simulation gives over them"""

    @property
    def triples(self) -> Any:
        """Each row's."""
        return np.array([self.cases[i].triple for i in self.of])

    def weights(self) -> Floats:
        """Of rows [rows, 2]: triples of many rows weigh more than others, but not by their number."""
        triples = self.triples
        numbers = pd.Series(triples).map(pd.Series(triples).value_counts()).to_numpy()
        of_triple = np.maximum(numbers, 60) ** -0.4 * np.where(np.isin(triples, SUSPECT), SUSPECT_WEIGHT, 1.0)
        of_triple *= 0.5 / of_triple.mean()
        full = np.array([case.running < case.setup.concurrency * 0.999 for case in self.cases])[self.of]
        queued = full | (self.times[:, 0] > math.log(LONGEST_TTFT_S)) | np.isin(triples, SUSPECT + BURSTS)
        return np.stack([of_triple * TTFT_WEIGHT * ~queued / TTFT_KNEE, of_triple / TPOT_KNEE], axis=1)


def read(path: Path) -> Measured:
    """The measured rows of a file."""
    rows = pd.read_csv(path, keep_default_na=False, dtype=str).to_dict("records")
    setups = [setup_of({str(key): str(value) for key, value in row.items()}) for row in rows]
    distinct = list(dict.fromkeys(setups))
    place = {setup: i for i, setup in enumerate(distinct)}
    times = np.log([[float(row["ttft_ms"]) / 1e3, float(row["tpot_ms"]) / 1e3] for row in rows])
    of = np.array([place[setup] for setup in setups])
    return Measured([case_of(setup) for setup in distinct], of, times, np.zeros((len(distinct), 2)))


def profiles_of(vector: Floats) -> dict[EngineName, EngineProfile]:
    """The engines' profiles under the vector."""
    return {engine: profile_of(engine, figures_of(columns_of(engine) @ vector)) for engine in ENGINES}


def estimates(cases: Sequence[Case], vector: Floats) -> Floats:
    """Logarithms of estimated times [cases, 2]."""
    profiles = profiles_of(vector)
    return np.log([estimate(case, profiles[case.setup.engine]) for case in cases])


def slopes(cases: Sequence[Case], vector: Floats, base: Floats, by: float = 1e-3) -> Floats:
    """Of the logarithms of estimates by the vector [cases, 2, SIZE]; an engine's constants move its own cases alone."""
    found = np.zeros((len(cases), 2, SIZE))
    for engine in ENGINES:
        own = [i for i, case in enumerate(cases) if case.setup.engine == engine]
        matrix = columns_of(engine)
        logarithms, local = matrix @ vector, np.zeros((len(own), 2, len(NAMES)))
        for j in range(len(NAMES)):
            moved = logarithms.copy()
            moved[j] += by
            profile = profile_of(engine, figures_of(moved))
            there = np.log([estimate(cases[i], profile) for i in own])
            local[:, :, j] = (there - base[own]) / by
        found[own] = local @ matrix
    return found


def fitted(data: Measured, rows: Any, vector: Floats, slope: Floats) -> Floats:
    """Constants that meet the rows (a mask), each drawn towards what was expected of it: Gauss-Newton steps with
    weights that fall beyond the knees, all with the slope at the vector."""
    weights = data.weights()[rows] ** 2
    of, times, rise = data.of[rows], data.times[rows], slope[data.of[rows]].reshape(-1, SIZE)
    for _ in range(STEPS):
        errors = (estimates(data.cases, vector) + data.corrections)[of] - times
        pulls = (weights / np.sqrt(1.0 + (errors / (TTFT_KNEE, TPOT_KNEE)) ** 2)).reshape(-1)
        curve = rise.T @ (pulls[:, None] * rise) + np.diag(DEVIATIONS**-2)
        downhill = rise.T @ (pulls * errors.reshape(-1)) + (vector - START) / DEVIATIONS**2
        vector = vector - np.clip(np.linalg.solve(curve, downhill), -0.7, 0.7)
    return vector


def simulated(cases: Sequence[Case], vectors: Mapping[str, Floats] | Floats, name: str) -> Floats:
    """Logarithms of simulated times [cases, 2]; by triple where each has constants of its own."""
    by_triple = {
        triple: profiles_of(vectors[triple] if isinstance(vectors, Mapping) else vectors)
        for triple in dict.fromkeys(case.triple for case in cases)
    }
    found = []
    with RichProgress().task(name, len(cases)) as task:
        for case in cases:
            times = predict(case.setup, by_triple[case.triple][case.setup.engine])
            found.append((times.ttft_s, times.tpot_s))
            task.advance()
    return np.log(found)


def errors_of(errors: Floats) -> dict[str, Any]:
    """Medians and percentiles of relative errors [rows, (TTFT, TPOT)]."""
    found: dict[str, Any] = {"rows": len(errors)}
    for column, name in ((1, "tpot"), (0, "ttft")):
        own = errors[:, column]
        found[name] = float(np.median(np.abs(own)))
        found[f"{name}_p90"] = float(np.quantile(np.abs(own), 0.9))
        found[f"{name}_bias"] = float(np.median(own))
    return {key: value if key == "rows" else round(value, 4) for key, value in found.items()}


def held_out_table(data: Measured, held_out: Floats) -> dict[str, Any]:
    """What `engines/held_out_errors.yaml` holds."""
    errors = np.exp(held_out[data.of] - data.times) - 1.0
    engines = np.array([data.cases[i].setup.engine for i in data.of])
    experts = np.array([data.cases[i].server.model.experts > 1 for i in data.of])
    triples: dict[str, dict[str, Any]] = {}
    for triple in sorted(set(data.triples.tolist())):
        rows = np.flatnonzero(data.triples == triple)
        name, _, engine = triple.rpartition("/")
        worst = rows[np.argmax(np.abs(held_out[data.of[rows], 1] - data.times[rows, 1]))]
        setup = data.cases[data.of[worst]].setup
        triples.setdefault(engine, {})[name] = errors_of(errors[rows]) | {
            "worst": {
                "prompt_tokens": setup.prompt_tokens,
                "output_tokens": setup.output_tokens,
                "concurrency": setup.concurrency,
                "gpus": setup.layout.gpus,
                "measured_tpot_ms": round(float(np.exp(data.times[worst, 1]) * 1e3), 2),
                "predicted_tpot_ms": round(float(np.exp(held_out[data.of[worst], 1]) * 1e3), 2),
            }
        }
    return {
        "overall": {
            "all": errors_of(errors),
            "dense": errors_of(errors[~experts]),
            "experts": errors_of(errors[experts]),
        },
        "engines": {engine: errors_of(errors[engines == engine]) for engine in ENGINES},
        "triples": triples,
    }


def show(title: str, table: Mapping[str, Any]) -> None:
    """Print a table of errors."""
    rows = {f"{name}/{engine}": row for engine, own in table["triples"].items() for name, row in own.items()}
    frame = pd.DataFrame({**rows, **table["engines"], **table["overall"]}).T.drop(columns="worst")
    frame["rows"] = frame["rows"].astype(int)
    percent = {name: "{:+.1%}" if name.endswith("bias") else "{:.1%}" for name in frame.columns if name != "rows"}
    for name, form in percent.items():
        frame[name] = [form.format(value) for value in frame[name]]
    print(f"{title}\n{frame.to_string()}", flush=True)


def fit_all(data: Measured, vector: Floats, rounds: int) -> Floats:
    """Constants fitted to all rows, the search begun at `vector`."""
    for turn in range(rounds):
        there = simulated(data.cases, vector, f"round {turn + 1}: simulate")
        now = estimates(data.cases, vector)
        data.corrections = there - now
        show(f"fitted to, before round {turn + 1}", held_out_table(data, there))
        vector = fitted(data, np.ones(len(data.of), bool), vector, slopes(data.cases, vector, now))
    return vector


def leave_out(data: Measured, vector: Floats) -> Floats:
    """Simulated times of each triple under constants fitted to the others."""
    slope = slopes(data.cases, vector, estimates(data.cases, vector))
    triples, vectors = data.triples, {}
    for triple in dict.fromkeys(triples.tolist()):
        vectors[triple] = fitted(data, triples != triple, vector, slope)
    return simulated(data.cases, vectors, "simulate what was left out")


def moved(cases: Sequence[Case], vector: Floats) -> set[EngineName]:
    """Engines whose times are others under the vector than under the shipped constants. Single constants are no
    measure of that, since some make up for each other."""
    off = np.abs(estimates(cases, vector) - estimates(cases, shipped()))
    engines = np.array([case.setup.engine for case in cases])
    return {engine for engine in ENGINES if np.any(np.median(off[engines == engine], axis=0) > TIMES_WITHIN)}


def texts_of(vector: Floats, table: Mapping[str, Any], engines: set[EngineName]) -> dict[Path, str]:
    """The files that the fit makes: of these engines, and the errors."""
    folder, texts = ERRORS_FILE.parent, {}
    for engine in engines:
        # of generative_recommender no such row is measured: SGLang stands in
        for name in (engine, "generative_recommender") if engine == "sglang" else (engine,):
            path = folder / f"{name}.yaml"
            texts[path] = written(path.read_text(encoding="utf-8"), figures_of(columns_of(engine) @ vector))
    head = "# Relative errors of set-ups that were left out: written by benchmarks/fit_engines.py --write.\n"
    texts[ERRORS_FILE] = head + yaml.safe_dump(dict(table), sort_keys=False, default_flow_style=None, width=200)
    return texts


def main() -> None:
    """Fit, leave out, and print, write or check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("FLEETREC_DATA", ".")))
    parser.add_argument("--rounds", type=int, default=1, help="of simulating and fitting; more where it begins anew")
    parser.add_argument("--anew", action="store_true", help="begin at what is expected, not at the shipped constants")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--write", action="store_true", help="write the profiles and the held-out errors")
    what.add_argument("--check", action="store_true", help="compare them with the shipped ones")
    arguments = parser.parse_args()
    data = read(arguments.data / "llm" / "measured_serving.csv")
    vector = fit_all(data, START if arguments.anew else shipped(), arguments.rounds)
    table = held_out_table(data, leave_out(data, vector))
    show("held out by triple", table)
    texts = texts_of(vector, table, moved(data.cases, vector))
    found = changes(texts)
    if arguments.write:
        write(texts)
        engine_profile.cache_clear()
    of_beams = fit_beams.make(arguments.data)  # on the constants that are now in the files
    fit_beams.print_table(fit_beams.show(of_beams))
    texts = fit_beams.texts_of(of_beams)
    if arguments.write:
        write(texts)
    if arguments.check:
        found += changes(texts)
        print("\n".join(found) or "the shipped files are what the fit makes")
        sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
