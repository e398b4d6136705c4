"""LSC4Rec's claims on five data sets: runs the study's sweeps and writes its tables and figures into the page.

    python experiments/lsc4rec/study.py [--data ml-1m]... [--parts requests]... [--jobs N] [--out runs/lsc4rec]
    python experiments/lsc4rec/study.py --tables       # only docs/background/lsc4rec_study.md, from what is finished

What is finished is kept; the same command goes on after a break. `--dry-run` prints the commands, which anyone can run
one by one. Real logs are read from the folder that FLEETREC_DATA names.
"""

import argparse
import json
import os
import re
import resource
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from page import write_page
from tables import PARTS

from fleetrec.models.runtime.artifacts import atomic_path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
SWEEPS = ("fusion", "lengths", "requests", "training", "updates")
REPLAYS = {
    "ages": "benchmarks/list_age.py",
    "replay": "benchmarks/request_policies.py",
    "invalid": "benchmarks/request_policies.py",
}
INVALID = (
    "llm.candidates={kind: p5, item_ids: collaborative, constrained: false, epochs: 8, prompts_per_epoch: 20000}",
)
"""an LLM that names invalid items, for which the penalty term of the inconsistency was made"""
INVALID_BUDGETS = "0.05,0.2,0.5"
THREADS = ("engine.threads=1",)
"""trained models differ by the number of threads; one is the most that every machine has"""
TO_THE_END = (
    "srm.epochs=60",
    "srm.training.learning_rate=2e-3",
    "srm.training.schedule=plateau",
    "srm.training.patience=3",
    *(
        f"{model}.training.{of}_precision=float32"
        for model in ("srm", "llm.candidates")
        for of in ("softmax", "encoder")
    ),
)
"""the training in float32, until validation gets no better, of the models that the page's figures are of"""
FEW = {"srm.training.seed": 2}
"""a training until validation gets no better takes up to a quarter of an hour"""
MAIN_REPLAYS = ("ages", "replay")
WORLDS = 5
"""draws of the coins in a replay of request policies"""
LLMS = "llms"
"""another kind of LLM, on the smallest set"""
PAPER = "paper"
"""the paper's own protocol and small model, for sets of few events a user"""


@dataclass(frozen=True)
class Study:
    """One data set: its scenario, what is thinned for time, and the parts that are studied on it."""

    scenario: str
    settings: tuple[str, ...]
    parts: tuple[str, ...] = (*MAIN_REPLAYS, *SWEEPS)
    of_part: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """settings of some parts alone"""
    ages: str = "0,1,2,4,8,16"
    most: dict[str, int] = field(default_factory=dict)
    """how many entries of some lists of a sweep file are run, the first ones"""


STUDIES = {
    "ml-1m": Study("scenarios/movielens_1m.yaml", ("fleet.devices=1000", *TO_THE_END), most=FEW),
    "foursquare-nyc": Study(
        "scenarios/foursquare_nyc.yaml",
        ("fleet.devices=500",),
        (*MAIN_REPLAYS, "invalid", *SWEEPS, LLMS),
        most=FEW,
        of_part={"invalid": INVALID, "updates": ("workload.arrivals={kind: poisson, per_day: 30}", "duration=1d")},
    ),
    "yelp": Study("scenarios/yelp.yaml", ("fleet.devices=4000",), ages="0,1,2", most=FEW | {"seeds": 1}),
    "yelp-half": Study(  # longer streams, of all users, and a model of gains that has more to learn from
        "scenarios/yelp.yaml",
        ("fleet.devices=26016", "workload.split.at=0.5", "workload.split.validation_users=8192"),
        ("replay", "requests"),
    ),
    "beauty": Study(
        "scenarios/paper_protocol.yaml",
        (),
        ("replay", "invalid", PAPER),
        of_part={"invalid": INVALID},
        most={"srm.training.seed": 3},
    ),
    "toys": Study(
        "scenarios/paper_protocol.yaml",
        (
            "llm.candidates.epochs=5",
            "fleet.devices=19412",
            "workload.interactions.path=${FLEETREC_DATA}/interactions/toys/interactions.csv.gz",
            "workload.interactions.items=${FLEETREC_DATA}/interactions/toys/items.csv",
        ),
        ("replay", PAPER),
        most={"srm.training.seed": 1},
    ),
}


def command(data: str, part: str, out: Path, jobs: int) -> list[str]:
    """The command that measures one part on one data set; a sweep leaves the folder `out`, a replay prints JSON."""
    study = STUDIES[data]
    settings = [word for pair in (*THREADS, *study.settings, *study.of_part.get(part, ())) for word in ("--set", pair)]
    if part in REPLAYS:
        how = ["--ages", study.ages] if part == "ages" else ["--worlds", str(WORLDS)]
        how += ["--budgets", INVALID_BUDGETS] if part == "invalid" else []
        return [sys.executable, REPLAYS[part], study.scenario, *settings, *how, "--json"]
    sweep = os.path.relpath(thinned(HERE / f"{part}.yaml", out, study.most), ROOT)
    resume = ["--resume"] if (out / "experiment.json").exists() else []
    places = ["--base", study.scenario, "--out", str(out), "--jobs", str(jobs)]
    return [sys.executable, "cli.py", "sweep", sweep, *places, *settings, "--quiet", *resume]


def thinned(sweep: Path, out: Path, most: Mapping[str, int]) -> Path:
    """The sweep file, or beside the results a copy of it whose lists of these keys have so many entries at most."""
    text = sweep.read_text(encoding="utf-8")
    thin = text
    for key, number in most.items():
        for line in re.findall(rf"^ *{re.escape(key)}: \[.*\]$", text, re.MULTILINE):
            name, entries = line.split(": ")
            thin = thin.replace(line, f"{name}: {json.loads(entries)[:number]}")
    if thin == text:
        return sweep
    copy = out.with_name(f"{out.name}.yaml")
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_text(thin, encoding="utf-8")
    return copy


def measure(data: str, part: str, root: Path, jobs: int) -> None:
    """Run one part on one data set unless it is finished, and note its time."""
    out = root / f"{part}-{data}"
    done = out / "times.json"
    if done.exists():
        return
    words = command(data, part, out, jobs)
    print(f"{data}, {part}: {shlex.join(words)}", flush=True)
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    found = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE if part in REPLAYS else None, text=True)
    if found.returncode:
        raise SystemExit(f"error: {data}, {part}: the command above failed; mend what it says and run the study again")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    out.mkdir(parents=True, exist_ok=True)
    if part in REPLAYS:
        with atomic_path(out / "found.json") as path:
            path.write_text(found.stdout, encoding="utf-8")
    core_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    with atomic_path(done) as path:
        path.write_text(json.dumps({"wall_s": time.monotonic() - began, "core_s": core_s}), encoding="utf-8")


def main() -> None:
    """Run what is asked for and is not finished, then write the page's tables and figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", choices=list(STUDIES), help="all of them unless given; repeatable")
    parser.add_argument("--parts", action="append", choices=PARTS, help="all of them unless given; repeatable")
    parser.add_argument("--jobs", type=int, default=2, help="workers of a sweep")
    parser.add_argument("--out", type=Path, default=Path("runs/lsc4rec"), help="folder of the results")
    parser.add_argument("--tables", action="store_true", help="measure nothing; only write the page")
    parser.add_argument("--dry-run", action="store_true", help="only print the commands")
    given = parser.parse_args()
    root = (ROOT / given.out).resolve()
    for data in given.data or STUDIES:
        for part in STUDIES[data].parts:
            if given.tables or part not in (given.parts or PARTS):
                continue
            if given.dry_run:
                print(shlex.join(command(data, part, root / f"{part}-{data}", given.jobs)))
            else:
                measure(data, part, root, given.jobs)
    if not given.dry_run:
        write_page(root, list(STUDIES), ROOT / "docs" / "background")


if __name__ == "__main__":
    main()
