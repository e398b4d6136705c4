"""Plausible run folders made up by hand, so that reports can be tested without a simulation."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

KS = (5, 10, 20)

sparse_runs = pytest.mark.parametrize(
    "kind",
    [
        {"request_share": 0.0},
        {"lists": False, "baselines": {}},
        {"devices": 1, "per_device": 1, "seed": 5, "span_s": 100.0},
        {"devices": 3, "per_device": 0, "request_share": 0.0, "cost": {}, "headline": None, "notes": []},
    ],
    ids=["no request", "no list and no baseline", "two interactions", "no interaction"],
)
"""what `write_run` makes of little"""


def summary_of(**changes: Any) -> dict[str, Any]:
    """A summary with every key of the schema."""
    baselines = {"popular": 0.051, "recent": 0.012, "frequent": 0.018, "markov": 0.131, "srm": 0.142}
    base: dict[str, Any] = {
        "schema_version": 1,
        "scenario": "fake",
        "seed": 7,
        "split": "global_time at 80% of events",
        "simulated_seconds": 6 * 86400.0,
        "devices": 300,
        "interactions": 6000,
        "headline": "HR@10 0.2011 with 0.21 requests an interaction; best baseline srm 0.1420",
        "notes": [{"key": "quality_and_cost", "text": "quality of item_lm, cost of llama-3.1-8b", "values": {}}],
        "accuracy": {f"{m}@{k}": 0.1 for m in ("hr", "ndcg", "mrr") for k in KS},
        "baselines": {name: {f"hr@{k}": v * (k / 10) ** 0.6 for k in KS} for name, v in baselines.items()},
        "freshness": {"mean_staleness": 3.2, "mean_list_age_s": 5400.0},
        "requests": {
            "asked": 1200,
            "sent": 1180,
            "answered": 1100,
            "completed": 1100,
            "timed_out": 40,
            "rejected": 10,
            "lost": 20,
            "abandoned": 20,
            "unfinished": 10,
            "ratio": 0.1967,
            "asked_ratio": 0.2,
            "answered_ratio": 0.1833,
        },
        "latency_s": {
            "slate": {"p50": 0.004, "p95": 0.02, "p99": 1.2},
            "request": {"p50": 0.61, "p95": 2.3, "p99": 5.2},
            "queue": {"p50": 0.0, "p95": 1.1, "p99": 3.0},
        },
        "cloud": {
            "gpu_seconds": 412.5,
            "utilization": 0.31,
            "headroom": 4.2,
            "prompt_tokens": 812345,
            "output_tokens": 402000,
        },
        "cost": {
            "usd_marginal": 0.42,
            "usd_serving": 0.407,
            "gpu_joules": 280000.0,
            "usd_replicas": 57.6,
            "usd_network": 0.013,
            "usd_marginal_per_1k_interactions": 0.07,
            "replicas_provisioned": 8,
            "usd_provisioned": 771.7,
            "usd_provisioned_per_1k_interactions": 0.0386,
            "devices_per_replica": 125_000.0,
            "device_joules": 5210.0,
            "bytes_up": 3.1e6,
            "bytes_down": 4.2e8,
            "gco2": 61.0,
        },
    }
    return base | changes


def write_run(
    folder: Path,
    *,
    devices: int = 300,
    per_device: float = 20,
    request_share: float = 0.2,
    lists: bool = True,
    span_s: float = 6 * 86400.0,
    users: int | None = None,
    seed: int = 3,
    **summary: Any,
) -> Path:
    """Write a run folder whose load has a daily cycle, whose lists age and whose accuracy falls with their age."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(per_device, devices)
    device = np.repeat(np.arange(devices), counts)
    n = len(device)
    t = rng.uniform(0, span_s, 4 * n + 8)
    t = t[rng.uniform(size=t.size) < 0.55 + 0.45 * np.sin(2 * np.pi * (t / 86400 - 0.6))][:n]
    t = np.resize(t, n) if t.size else np.zeros(n)
    order = np.lexsort((t, device))
    device, t = device[order], t[order]
    first = np.concatenate([[0], np.cumsum(counts)])[:-1]
    step = 10 + np.arange(n) - first[device] if n else np.zeros(0, dtype=np.int64)
    requested = rng.uniform(size=n) < request_share
    staleness = np.minimum(rng.geometric(max(request_share, 0.03), n) - 1, step) if lists else np.full(n, -1)
    missing = rng.uniform(size=n) < 0.04
    staleness = np.where(missing, -1, staleness)
    taste = rng.beta(4, 6, devices)[device]
    chance = 0.75 * taste * 0.93 ** np.maximum(staleness, 0)
    rank = np.where(rng.uniform(size=n) < chance, np.minimum(rng.geometric(0.09, n) - 1, 49), -1)
    listed = staleness >= 0
    interactions = pd.DataFrame(
        {
            "device": device.astype(np.int32),
            "step": step.astype(np.int32),
            "t_s": t,
            "item": rng.integers(0, 500, n).astype(np.int32),
            "rank": rank.astype(np.int32),
            "as_of": np.where(listed, step - 1 - staleness, -1).astype(np.int32),
            "staleness": staleness.astype(np.int32),
            "list_age_s": np.where(listed, rng.exponential(3600, n), np.nan).astype(np.float32),
            "requested": requested,
            "request": np.where(requested, np.cumsum(requested) - 1, -1),
            "online": rng.uniform(size=n) < 0.9,
            "inconsistency": rng.gamma(4, 3, n).astype(np.float32),
            "slate_latency_s": (0.004 * rng.lognormal(0, 0.5, n)).astype(np.float32),
        }
    )
    asked = interactions[interactions.requested].reset_index(drop=True)
    m = len(asked)
    issued = asked.t_s.to_numpy()
    arrived = issued + 0.04 * rng.lognormal(0, 0.6, m)
    started = arrived + np.where(rng.uniform(size=m) < 0.6, 0.0, rng.exponential(0.7, m))
    finished = started + 0.5 * rng.lognormal(0, 0.2, m)
    delivered = finished + 0.05 * rng.lognormal(0, 0.6, m)
    outcome = np.where(delivered - issued > 4, "timed_out", "completed")
    outcome[rng.uniform(size=m) < 0.03] = "lost"
    requests = pd.DataFrame(
        {
            "request": np.arange(m),
            "device": asked.device,
            "step": asked.step,
            "t_issued_s": issued,
            "t_arrived_s": np.where(outcome == "lost", np.nan, arrived),
            "t_started_s": np.where(outcome == "lost", np.nan, started),
            "t_finished_s": np.where(outcome == "lost", np.nan, finished),
            "t_delivered_s": np.where(outcome == "completed", delivered, np.nan),
            "outcome": outcome.astype(object) if m else np.zeros(0, dtype=object),
            "prompt_tokens": np.full(m, 700, dtype=np.int32),
            "output_tokens": np.full(m, 400, dtype=np.int32),
            "replica": np.zeros(m, dtype=np.int32),
            "gpu_seconds": np.full(m, 0.35),
            "usd": np.full(m, 0.0004),
        }
    )
    table = pd.DataFrame(
        {
            "device": np.arange(devices, dtype=np.int32),
            "user": [f"u{i}" for i in np.arange(devices) % (users or max(devices, 1))],
            "class": rng.choice(["high_end", "mid_range", "low_end"], devices, p=[0.3, 0.5, 0.2]),
            "link": "lte",
            "joules": rng.gamma(3, 5, devices),
            "bytes_up": rng.gamma(3, 4e3, devices),
            "bytes_down": 1.3e6 + rng.gamma(3, 1e4, devices),
            "joined_s": 0.0,
            "left_s": np.inf,
        }
    )
    events = np.sort(np.concatenate([arrived, finished])) if m else np.zeros(0)
    busy = np.searchsorted(np.sort(started), events, "right") - np.searchsorted(np.sort(finished), events, "right")
    queue = np.searchsorted(np.sort(arrived), events, "right") - np.searchsorted(np.sort(started), events, "right")
    cloud = pd.DataFrame({"t_s": events, "queue": queue.astype(np.int32), "busy": busy.astype(np.int32), "up": 2})
    folder.mkdir(parents=True, exist_ok=True)
    tables = {"interactions": interactions, "requests": requests, "devices": table, "cloud": cloud}
    for name, frame in tables.items():
        frame.to_parquet(folder / f"{name}.parquet", index=False)
    stated = summary_of(simulated_seconds=span_s, devices=devices, interactions=n) | summary
    (folder / "summary.json").write_text(json.dumps(stated), encoding="utf-8")
    (folder / "timing.json").write_text("{}", encoding="utf-8")
    scenario = {"name": "fake", "metrics": {"k": list(KS)}, "cloud": {"replicas": 1, "slo": {"p95_latency": 1.0}}}
    (folder / "scenario.yaml").write_text(yaml.safe_dump(scenario), encoding="utf-8")
    return folder
