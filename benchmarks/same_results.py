"""Whether results are still the same bytes: a small scenario of each kind of world, and the SHA-256 of what it gives.

    python benchmarks/same_results.py                     # compare with benchmarks/same_results.json
    python benchmarks/same_results.py --world spot        # only this world; repeatable
    python benchmarks/same_results.py --pin               # write the file anew: in a commit that says what changed

Models are trained from nothing in a folder of their own. Hashed are the rows and columns of every table, and
`summary.json`, without the run's id, which comes from the version of the source too. Bytes are equal on one kind of
processor only (docs/background/reliability.md), so the file says on which it was made; on another it proves nothing.
"""

import argparse
import contextlib
import hashlib
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fleetrec import Scenario, simulate
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.simulator.results.run_folder import made_by

PINS = Path(__file__).with_name("same_results.json")
BASE = """\
name: pinned
duration: 1d
workload:
  synthetic: {users: 60, items: 80, events_per_user: 40, days: 3}
  split: {kind: per_user, last: 16, min_history: 5}
  arrivals: {kind: diurnal, per_day: 40}
fleet:
  devices: 50
  represents: 20000
  churn: {kind: on_off, online: 2h, offline: 20min, late_joiners: 0.2, leavers: 0.1}
srm: {kind: gru4rec, dim: 8, layers: 1, max_length: 10, epochs: 2}
llm:
  candidates: {kind: item_lm, dim: 16, layers: 1, heads: 2, max_length: 20, epochs: 1}
  list_length: 20
  served_as: llama-3.1-8b
policy:
  request: {kind: random, ratio: 0.3}
engine: {threads: 1}
"""
REQUESTS = {
    "never": "never",
    "always": "always",
    "every": "{kind: every, n: 3}",
    "random": "{kind: random, ratio: 0.3}",
    "staleness": "{kind: staleness, threshold: 3}",
    "staleness in time": "{kind: staleness, age: 2h}",
    "inconsistency": "{kind: inconsistency, ratio: 0.3}",
    "inconsistency, threshold": "{kind: inconsistency, threshold: 0.2}",
    "uncertainty": "{kind: uncertainty, measure: margin, ratio: 0.3}",
    "learned": "{kind: learned, ratio: 0.3}",
    "congestion": "{kind: congestion, late: 1s}",
    "nightly": "{kind: nightly_on_wifi, at: 20h, links: [lte]}",
    "session start": "{kind: session_start, gap: 10min}",
    "oracle_greedy": "oracle_greedy",
    "oracle_dp": "{kind: oracle_dp, ratio: 0.3}",
    "cloud_push": "{kind: cloud_push, every: 6h}",
}
FUSIONS = {
    "llm_only": "llm_only",
    "srm_only": "srm_only",
    "gated": "gated",
    "reciprocal_rank": "reciprocal_rank",
    "age": "{kind: staleness}",
    "reliability": "reliability",
    "logistic": "logistic",
    "online": "online",
}
SLATES = ("srm", "both", "cloud_srm", "popular", "recent", "frequent", "markov")
INCONSISTENCY = f"policy.request={REQUESTS['inconsistency']}"
LOAD = ("llm.generation=beam", "cloud.gpu=l4", "fleet.preloaded=false")
ROUTERS = ("round_robin", "random", "least_kv", "device_affine")
SPOT = ("cloud.spot={taken_per_hour: 2}", "cloud.replicas=2", "policy.request=always", *LOAD)
AUTOSCALING = ("cloud.autoscale={max: 3, metric: queue, target: 1}", "policy.request=always", *LOAD)
ROOFLINE = "cloud.engine=none"
ENGINES = ("sglang", "tensorrt_llm", "generative_recommender")
"""beside vLLM, the default"""
API = (
    "{price: {input: 1, cached_input: 0.2, output: 4, per_request: 0.0001}, "
    "limits: {requests_per_minute: 9, burst: 10s}, "
    "latency: {kind: log_normal, ttft: 300ms, ttft_spread: 0.4, tpot: 5ms, tpot_spread: 0.2, tail: {share: 0.02}}, "
    "outages: {every: 4h, length: 5min}, prompt_cache: {least_tokens: 64, block_tokens: 16}, daily: {}}"
)
WORLDS: dict[str, tuple[str, ...]] = {
    **{f"request: {name}": (f"policy.request={kind}", "cloud.stores=history") for name, kind in REQUESTS.items()},
    **{f"fusion: {name}": (f"policy.fusion={kind}",) for name, kind in FUSIONS.items()},
    **{f"slate: {kind}": (f"policy.slate={kind}",) for kind in SLATES},
    "sasrec": ("srm={kind: sasrec, dim: 8, layers: 1, heads: 1, max_length: 10, epochs: 1}", INCONSISTENCY),
    "din": ("srm={kind: din, dim: 8, max_length: 10, epochs: 1, loss: bce}", INCONSISTENCY),
    "cooperative": ("srm.training.kind=cooperative",),
    "fleet updates": ("policy.update={kind: fleet, every: 6h, min_new: 1}", INCONSISTENCY),
    "on-device updates": ("policy.update={kind: on_device, learning_rate: 0.01}", INCONSISTENCY),
    "both updates": ("policy.update={kind: both, fleet: {every: 6h, min_new: 1}}",),
    "blocking": ("policy.mode=blocking", "policy.patience=500ms", *LOAD),
    "fleet-wide budget": ("policy.request=always", "policy.budget={ratio: 0.2, scope: fleet}"),
    "budget of a device": ("policy.request=always", "policy.budget={ratio: 0.2, scope: device}"),
    "decide everywhere": (
        "policy.decide_at=[join, interaction, online, answer]",
        "policy.when_offline=wait",
        "policy.request=always",
    ),
    "autoscaling": AUTOSCALING,
    "spot": SPOT,
    "roofline": (ROOFLINE, INCONSISTENCY),
    "roofline, autoscaling": (*AUTOSCALING, ROOFLINE),
    "roofline, spot": (*SPOT, ROOFLINE),
    **{f"engine: {name}": (f"cloud.engine={name}", "policy.request=always", *LOAD) for name in ENGINES},
    "engine: vllm, lists": ("llm.generation=list", "policy.request=always"),
    "failures": ("cloud.failures={every: 1h, repair: 10min}", "policy.request=always", *LOAD),
    "queue limit": ("cloud.queue_limit=1", "cloud.max_sequences=50", "policy.request=always", *LOAD),
    **{
        f"router: {name}": (f"cloud.router={name}", "cloud.replicas=3", "cloud.slo={p95_latency: 5s}", *LOAD)
        for name in ROUTERS
    },
    "router: prefix_aware": (
        "cloud={gpu: l4, replicas: 3, router: prefix_aware, prefix_caching: true}",
        "llm.prompt.window=blocks",
        "policy.request=always",
    ),
    "speculation, deadline": (
        "llm.generation=list",
        "cloud={gpu: l4, speculation: {kind: ngram, acceptance: 0.5}, admission: deadline, request_timeout: 30s}",
        "policy.request=always",
    ),
    "speculation by a draft model, random_early": (
        "llm.generation=list",
        "cloud.speculation={kind: draft_model, model: llama-3.2-1b, acceptance: [0.8, 0.7, 0.6, 0.5]}",
        "cloud.admission=random_early",
        "policy.request=always",
    ),
    "split prefill, host memory": (
        "llm.generation=list",
        "llm.prompt.window=blocks",
        "cloud={disaggregation: {prefill: {replicas: 2}, decode: {replicas: 2}}, router: prefix_aware, "
        "prefix_caching: true, kv_offloading: {memory: 1GB}}",
        "policy.request=always",
    ),
    "illegal beams": ("llm.illegal_beams=engine", INCONSISTENCY),
    "list quality": ("llm.quality={blend: 0.5, knows_next: 0.2}", INCONSISTENCY),
    "order: shortest_prompt": ("cloud.order=shortest_prompt", "cloud.max_sequences=50", "policy.request=always", *LOAD),
    "p5": ("llm.candidates={kind: p5, dim: 16, layers: 1, heads: 2, epochs: 1, prompts_per_epoch: 200}",),
    "table": ("llm.candidates={kind: table, path: answers.parquet, missing: previous}",),
    "regions": ("regions=[{name: a, share: 0.6}, {name: b, share: 0.4}]", "policy.request=always", *LOAD),
    "regions, one budget": (
        "regions=[{name: a, share: 0.6}, {name: b, share: 0.4}]",
        "policy.budget={ratio: 0.2, scope: fleet}",
        "policy.update={kind: fleet, every: 6h, min_new: 1}",
    ),
    "regions, users who choose": (
        "regions=[{name: a, share: 0.6}, {name: b, share: 0.4}]",
        "fleet.devices=70",
        "workload.users={kind: choice, looks: 5}",
        "policy.budget={ratio: 0.5, scope: fleet}",
        "policy.update={kind: both, fleet: {every: 6h, min_new: 1}}",
    ),
    "hosted API": (f"cloud={{kind: api, api: {API}}}", "llm.prompt.window=blocks", "policy.request=always"),
    "hosted API for overflow": (
        f"cloud={{kind: overflow, gpu: l4, queue_limit: 0, max_sequences: 50, api: {API}}}",
        "llm.generation=beam",
        "policy.request=always",
    ),
    "regions, one on an API": (
        f"regions=[{{name: a, share: 0.6}}, {{name: b, share: 0.4, cloud: {{kind: api, api: {API}}}}}]",
        "policy.request=always",
    ),
    "users who choose": ("workload.users=choice", INCONSISTENCY),
    "users who choose, list quality": ("workload.users=choice", "llm.quality.blend=0.5", "policy.request=always"),
    "users who choose, table": (
        "workload.users=choice",
        "llm.candidates={kind: table, path: answers.parquet, missing: previous}",
        "policy.request=always",
    ),
    "steps of one": ("engine={threads: 1, batching: false, sleep: false}", INCONSISTENCY),
}
USERS, ITEMS, LENGTH = 60, 80, 20


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every table of a run, of its rows and columns, and of its summary, without what names the source."""
    found = {path.name: _of_table(pq.read_table(path)) for path in sorted(folder.glob("*.parquet"))}
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    del summary["run"]
    text = json.dumps(summary, sort_keys=True)
    return found | {"summary.json": hashlib.sha256(text.encode()).hexdigest()}


def _of_table(table: pa.Table) -> str:
    digest = hashlib.sha256(str(table.schema.remove_metadata()).encode())
    for name in table.column_names:
        for value in table.column(name).to_pylist():
            digest.update(repr(value).encode())
    return digest.hexdigest()


def write_answers(path: Path) -> None:
    """A table of answers for every user and each fourth interaction: a keyed order of the items."""
    draws = np.random.default_rng(1)
    keys = [(user, as_of) for user in range(USERS) for as_of in range(0, USERS, 4)]
    lists = [draws.permutation(ITEMS)[:LENGTH] for _ in keys]
    users, as_of = np.repeat(np.array(keys), LENGTH, axis=0).T
    columns = {
        "user_id": [f"u{user}" for user in users],
        "as_of": as_of,
        "item_id": [f"i{item}" for item in np.concatenate(lists)],
        "rank": np.tile(np.arange(LENGTH), len(keys)),
    }
    pd.DataFrame(columns).to_parquet(path)


def run_world(name: str, folder: Path, store: ArtifactStore) -> dict[str, str]:
    """The hashes of one world, simulated in `folder`, which holds the scenario and the table of answers."""
    scenario = Scenario.load(folder / "pinned.yaml", WORLDS[name])
    out = folder / "runs" / "".join(letter if letter.isalnum() else "_" for letter in name)
    simulate(scenario, out, store=store)
    return hashes(out)


def differences(pinned: Mapping[str, Mapping[str, str]], found: Mapping[str, Mapping[str, str]]) -> list[str]:
    """A line for each world whose files differ from the pinned ones."""
    lines = []
    for world, files in found.items():
        before: Mapping[str, str] = pinned.get(world, {})
        other = sorted(name for name in {*before, *files} if before.get(name) != files.get(name))
        if other:
            lines.append(f"{world}: {', '.join(other)}" if before else f"{world}: not pinned")
    return lines


def main() -> int:
    """Simulate, then compare or pin; the number of worlds that differ decides the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", action="append", choices=list(WORLDS), help="all of them unless given; repeatable")
    parser.add_argument("--pin", action="store_true", help="write the hashes instead of comparing")
    given = parser.parse_args()
    worlds = given.world or list(WORLDS)
    found: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        folder = Path(name)
        (folder / "pinned.yaml").write_text(BASE, encoding="utf-8")
        write_answers(folder / "answers.parquet")
        store = ArtifactStore(folder / "cache")
        for world in worlds:
            found[world] = run_world(world, folder, store)
            print(f"{len(found)}/{len(worlds)} {world}", file=sys.stderr)
    pinned: dict[str, Any] = json.loads(PINS.read_text(encoding="utf-8")) if PINS.exists() else {"worlds": {}}
    if given.pin:
        text = json.dumps({"made_by": made_by(1), "worlds": pinned["worlds"] | found}, indent=1)
        PINS.write_text(text + "\n", encoding="utf-8")
        print(f"{len(found)} worlds pinned")
        return 0
    lines = differences(pinned["worlds"], found)
    if lines and pinned.get("made_by") != made_by(1):
        print(f"pinned on {pinned.get('made_by')}, run on {made_by(1)}: bytes may differ")
    print("\n".join(lines) or f"{len(found)} worlds as pinned")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
