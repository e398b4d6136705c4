"""Random scenarios: valid ones to simulate, whose results are checked for nonsense, and spoilt ones to be refused."""

import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fleetrec.simulator.results.run_result import RunResult

SMALL = """\
name: random
workload:
  synthetic: {users: 40, items: 60, events_per_user: 25, days: 2}
  split: {kind: per_user, last: 8, min_history: 5}
  arrivals: {kind: poisson, per_day: 100}
fleet: {devices: 20}
srm: {kind: gru4rec, dim: 8, layers: 1, max_length: 10, epochs: 1}
llm:
  candidates: {kind: item_lm, dim: 16, layers: 1, heads: 2, max_length: 20, epochs: 1}
  list_length: 20
  served_as: llama-3.1-8b
engine: {threads: 1}
"""

_CHOICES: dict[str, tuple[str, ...]] = {
    "seed": ("0", "1", "7", "1099511627776"),
    "duration": ("1s", "10min", "1h", "6h", "1d", "2d"),
    "fleet.devices": ("1", "2", "3", "20", "60"),
    "fleet.represents": ("1", "60", "1000", "1000000"),
    "fleet.churn": (
        "always_on",
        "{kind: on_off, online: 1h, offline: 10min}",
        "{kind: on_off, online: 1min, offline: 1d, late_joiners: 1, leavers: 1}",
        "{kind: on_off, join_over: 1d, late_joiners: 0.5}",
    ),
    "fleet.when_empty": ("miss", "frozen"),
    "fleet.preloaded": ("false", "{lag: 0}", "{lag: 3}", "{lag: 100000}"),
    "workload.arrivals": (
        "replay",
        "{kind: poisson, per_day: 0.1}",
        "{kind: poisson, per_day: 500}",
        "{kind: diurnal, per_day: 30}",
        "{kind: sessions, per_day: 4}",
    ),
    "workload.exclude_seen": ("true", "false"),
    "policy.slate": ("llm", "both", "srm", "popular", "recent", "frequent", "markov", "cloud_srm"),
    "policy.mode": ("blocking", "background"),
    "policy.patience": ("0s", "1ms", "2s", "1d"),
    "policy.decide_at": ("interaction", "join", "both"),
    "policy.when_offline": ("fail", "wait"),
    "policy.budget.ratio": ("0", "0.01", "0.5", "1"),
    "policy.budget.scope": ("device", "fleet"),
    "policy.request": (
        "never",
        "always",
        "{kind: random, ratio: 0}",
        "{kind: random, ratio: 1}",
        "{kind: every, n: 1}",
        "{kind: every, n: 1000}",
        "{kind: inconsistency, ratio: 0.3}",
        "session_start",
        "{kind: cloud_push, every: 6h}",
    ),
    "policy.fusion": ("llm_only", "{kind: linear, score: rank}", "{kind: linear, srm_weight: 0}"),
    "policy.update": ("none", "{kind: fleet, every: 6h, min_new: 1}"),
    "cloud.gpu": ("h100", "l4", "a100"),
    "cloud.engine": ("none", "vllm", "sglang", "tensorrt_llm", "generative_recommender"),
    "cloud.replicas": ("1", "3", "20"),
    "cloud.queue_limit": ("0", "1", "1000"),
    "cloud.max_sequences": ("16", "50", "256"),
    "cloud.request_timeout": ("1ms", "1s", "1d"),
    "cloud.autoscale": ("none", "{max: 4}", "{metric: queue, target: 5, max: 2, cooldown: 0s}"),
    "cloud.spot": ("none", "{taken_per_hour: 300}", "{taken_per_hour: 0.05}"),
    "cloud.failures": ("none", "{every: 1h, repair: 10min}"),
    "cloud.prefix_caching": ("true", "false"),
    "cloud.slo.p95_latency": ("1ms", "1s", "1d"),
    "llm.list_length": ("1", "2", "20", "60"),
    "llm.generation": ("list", "beam", "score"),
    "llm.beams": ("1", "2", "10"),
    "metrics.k": ("[1]", "[5, 10, 20]", "[1000]"),
    "tariffs.carbon": ("0", "400", "1000000"),
    "engine.batching": ("true", "false"),
    "engine.sleep": ("true", "false"),
    "engine.lookahead": ("1", "64"),
}


_NEVER_NEGATIVE = ("interactions", "devices", "accuracy", "requests", "latency_s", "cloud", "cost", "updates")


def random_settings(seed: int) -> list[str]:
    """Up to ten settings as `--set` takes them; not every combination of them is a valid scenario."""
    draw = random.Random(seed)
    keys = draw.sample(sorted(_CHOICES), draw.randint(1, 10))
    return [f"{key}={draw.choice(_CHOICES[key])}" for key in keys]


def nonsense(result: RunResult) -> list[str]:
    """What a result says that cannot be: no numbers, negative counts, sums that do not add up, impossible shares."""
    summary, found = result.summary, []
    for name, value in _numbers(summary, ""):
        if not math.isfinite(value):
            found.append(f"{name} is {value}")
        elif value < 0 and name.split(".")[0] in _NEVER_NEGATIVE:
            found.append(f"{name} is negative: {value}")
    for name, share in summary["accuracy"].items():
        if share is not None and "@" in name and not 0 <= share <= 1 + 1e-12:
            found.append(f"accuracy.{name} is {share}")
    if len(result.interactions) != summary["interactions"]:
        found.append("the table holds another number of interactions than the summary")
    outcomes = result.requests["outcome"].value_counts().to_dict()
    if sum(outcomes.values()) != len(result.requests):
        found.append("a request has no outcome")
    if (result.requests["t_delivered_s"] < result.requests["t_issued_s"]).any():
        found.append("an answer came before its request")
    return found


def _numbers(value: Any, name: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _numbers(inner, f"{name}.{key}" if name else key)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield name, float(value)


_SPOILT = (
    "",
    "null",
    "-1",
    "1e308",
    ".nan",
    "[]",
    "{}",
    "'\\0'",
    "9" * 400,
    "\t",
    "&a [*a]",
    "!!python/name:os.system ''",
)


def spoilt_text(seed: int) -> str:
    """A scenario's text that has been damaged somewhere: bytes, words, values, indentation, or one setting too many."""
    draw = random.Random(seed)
    lines = SMALL.splitlines()
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(lines))
        line = lines[at]
        kind = draw.randrange(7)
        if kind == 0:
            lines[at] = line[: draw.randrange(len(line) + 1)]
        elif kind == 1 and ":" in line:
            lines[at] = f"{line.split(':')[0]}: {draw.choice(_SPOILT)}"
        elif kind == 2:
            place = draw.randrange(len(line) + 1)
            lines[at] = line[:place] + chr(draw.choice((0, 7, 27, 34, 123, 0x9B, 0x202E, 0x1F511))) + line[place:]
        elif kind == 3:
            lines.insert(at, line)
        elif kind == 4:
            lines[at] = " " * draw.randrange(8) + line.strip()
        elif kind == 5:
            key = draw.choice(sorted(_CHOICES))
            lines.append(f"{key.split('.')[0]}: {draw.choice(_SPOILT)}")
        else:
            lines[at] = line.replace(draw.choice("0123456789"), draw.choice(_SPOILT))
        if not lines:
            break
    return "\n".join(lines) + "\n"


def write_small(folder: Path) -> Path:
    """The scenario that all of this is about, as a file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "random.yaml"
    path.write_text(SMALL, encoding="utf-8")
    return path
