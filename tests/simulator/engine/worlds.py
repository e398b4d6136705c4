"""Small worlds in which what must hold of every device is looked at."""

from typing import Any

CHURN = {"kind": "on_off", "online": "1h", "offline": "20min", "late_joiners": 0.3, "leavers": 0.4}
SLOW_CLOUD = {"replicas": 1, "max_sequences": 50, "queue_limit": 3, "request_timeout": "4s"}
FEW = {"devices": 20}  # of those that learn themselves: each of their trainings takes its time
WORLDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "always": {"policy": {"request": {"kind": "always"}}},
    "inconsistency": {"policy": {"request": {"kind": "inconsistency", "threshold": 22}}},
    "churn": {"fleet": {"churn": CHURN}, "policy": {"request": {"kind": "always"}, "when_offline": "wait"}},
    "churn, fail": {"fleet": {"churn": CHURN}, "policy": {"request": {"kind": "every", "n": 2}}},
    "overload": {"cloud": SLOW_CLOUD, "policy": {"request": {"kind": "always"}}},
    "vllm": {"cloud": {"engine": "vllm"}, "policy": {"request": {"kind": "always"}}},
    "generative recommender": {
        "cloud": {**SLOW_CLOUD, "engine": "generative_recommender"},
        "policy": {"request": {"kind": "always"}},
    },
    "blocking": {"cloud": SLOW_CLOUD, "policy": {"request": {"kind": "always"}, "mode": "blocking"}},
    "no list": {"fleet": {"preloaded": False}, "policy": {"request": {"kind": "random", "ratio": 0.2}}},
    "stored lists": {"cloud": {"stores": "lists"}, "policy": {"request": {"kind": "always"}}},
    "faults": {
        "cloud": {
            "replicas": 2,
            "cold_start": "30s",
            "spot": {"taken_per_hour": 60, "notice": "0s", "replacement": "1min"},
            "failures": {"every": "2min", "repair": "20s"},
            "autoscale": {"min": 1, "max": 3, "period": "20s", "cooldown": "1min"},
            "router": "device_affine",
            "max_retries": 1,
        },
        "policy": {"request": {"kind": "always"}},
    },
    "push": {
        "cloud": {"stores": "history"},
        "policy": {"request": {"kind": "cloud_push", "every": "2h", "at": "10min", "window": "1h"}},
    },
    "both": {"policy": {"slate": "both"}},
    "lossy": {
        "fleet": {"classes": [{"name": "only", "share": 1, "link": {"kind": "constant", "loss": 0.3}}]},
        "policy": {"request": {"kind": "always"}},
    },
    "battery": {"fleet": {"classes": [{"name": "only", "share": 1, "battery": "0.03J"}]}},
    "lag": {"fleet": {"preloaded": {"lag": 3}}, "policy": {"request": {"kind": "staleness", "threshold": 4}}},
    "session start": {"policy": {"request": {"kind": "session_start", "gap": "10min"}}},
    "old lists, blocking": {
        "cloud": SLOW_CLOUD,
        "fleet": {"churn": CHURN},
        "policy": {"request": {"kind": "staleness", "age": "20min"}, "mode": "blocking", "when_offline": "wait"},
    },
    "inconsistency, budget": {
        "policy": {"request": {"kind": "inconsistency", "threshold": 18}, "budget": {"ratio": 0.1, "scope": "device"}}
    },
    "entropy": {"policy": {"request": {"kind": "uncertainty", "threshold": 0.93}}},
    "margin, blocking": {
        "cloud": SLOW_CLOUD,
        "policy": {"request": {"kind": "uncertainty", "measure": "margin", "threshold": 0.97}, "mode": "blocking"},
    },
    "learned": {"policy": {"request": {"kind": "learned", "ratio": 0.3}}},
    "learned, ties": {
        "workload": {"arrivals": {"kind": "replay", "time_scale": 0.001, "scale": "all"}},
        "fleet": {"preloaded": {"lag": 2}},
        "policy": {"request": {"kind": "learned", "ratio": 0.3}},
    },
    "rank term, churn": {
        "fleet": {"churn": CHURN, "preloaded": False},
        "policy": {"request": {"kind": "inconsistency", "terms": "rank", "ratio": 0.3}, "when_offline": "wait"},
    },
    "congestion": {"cloud": SLOW_CLOUD, "policy": {"request": {"kind": "congestion", "late": "1s"}}},
    "nightly": {
        "fleet": {"churn": CHURN},
        "policy": {"request": {"kind": "nightly_on_wifi", "links": ["wifi", "lte"], "window": "6h"}},
    },
    "oracle greedy": {"policy": {"request": {"kind": "oracle_greedy"}, "slate": "both"}},
    "oracle dp": {"policy": {"request": {"kind": "oracle_dp", "ratio": 0.3}}},
    "weight by age": {"policy": {"fusion": {"kind": "staleness"}}},
    "weight by reliability": {"policy": {"fusion": {"kind": "reliability"}, "slate": "both"}},
    "logistic fusion": {"policy": {"fusion": {"kind": "logistic"}}},
    "weight learnt online": {"policy": {"fusion": {"kind": "online"}, "request": {"kind": "random", "ratio": 0.1}}},
    "refill": {
        "workload": {"exclude_seen": "refill"},
        "policy": {"request": {"kind": "inconsistency", "threshold": 18}, "fusion": {"kind": "online"}},
    },
    "refill, on device": {
        "fleet": FEW,
        "workload": {"exclude_seen": "refill"},
        "policy": {
            "fusion": {"kind": "reliability"},
            "update": {"kind": "on_device", "when": {"kind": "every", "n": 3}},
        },
    },
    "fleet budget": {"policy": {"request": {"kind": "always"}, "budget": {"ratio": 0.2, "scope": "fleet"}}},
    "battery, no delay": {
        "fleet": {
            "classes": [{"name": "only", "share": 1, "battery": "0.05J", "link": {"kind": "constant", "rtt": "0s"}}]
        },
        "policy": {"request": {"kind": "random", "ratio": 0.7}, "mode": "blocking"},
    },
    "ties, always": {
        "workload": {"arrivals": {"kind": "replay", "time_scale": 0.001, "scale": "all"}},
        "policy": {"request": {"kind": "always"}},
    },
    "fleet": {"policy": {"update": {"kind": "fleet", "every": "20min"}}},
    "on device": {"fleet": FEW, "policy": {"update": {"kind": "on_device", "when": {"kind": "every", "n": 3}}}},
    "on device, idle, inconsistency": {
        "fleet": FEW,
        "policy": {
            "request": {"kind": "inconsistency", "threshold": 22},
            "update": {
                "kind": "on_device",
                "when": {"kind": "idle", "gap": "5min", "min_new": 2},
                "adapter": {"kind": "last_layer"},
            },
        },
    },
    "on device, worse, a module": {
        "fleet": FEW,
        "policy": {
            "update": {
                "kind": "on_device",
                "when": {"kind": "rank_drop", "window": 2, "drop": 0.1},
                "adapter": {"kind": "module", "name": "norm_out"},
            },
        },
    },
    "both, battery": {
        "fleet": {**FEW, "classes": [{"name": "only", "share": 1, "battery": "0.08J"}]},
        "policy": {
            "request": {"kind": "inconsistency", "threshold": 21},
            "update": {
                "kind": "both",
                "fleet": {"every": "25min", "start": "10s"},
                "on_device": {"when": {"kind": "every", "n": 2}, "adapter": {"kind": "bias"}},
            },
        },
    },
    "fleet, inconsistency": {
        "fleet": {"churn": CHURN},
        "policy": {
            "request": {"kind": "inconsistency", "threshold": 22},
            "update": {
                "kind": "fleet",
                "every": "25min",
                "weights": "delta",
                "learn_from": "new",
                "upload": "15min",
                "stages": [{"share": 0.2}, {"share": 0.9, "after": "10min"}],
            },
        },
    },
    "fleet, with list, blocking": {
        "srm": {"item_table": {"kind": "with_list", "precision": "int8"}},
        "cloud": SLOW_CLOUD,
        "policy": {
            "request": {"kind": "every", "n": 3},
            "mode": "blocking",
            "update": {"kind": "fleet", "every": "20min", "weights": "half", "drift": 0.01},
        },
    },
    "learned, both updates inside": {
        "fleet": FEW,
        "policy": {
            "request": {"kind": "learned", "ratio": 0.3},
            "update": {
                "kind": "both",
                "fleet": {"every": "25min", "start": "10s"},
                "on_device": {"when": {"kind": "every", "n": 3}, "adapter": {"kind": "module", "name": "norm_out"}},
            },
        },
    },
    "learnt online, both updates": {
        "fleet": FEW,
        "policy": {
            "slate": "both",
            "request": {"kind": "uncertainty", "threshold": 0.93},
            "fusion": {"kind": "online"},
            "update": {
                "kind": "both",
                "fleet": {"every": "25min", "start": "10s"},
                "on_device": {"when": {"kind": "rank_drop", "window": 2, "drop": 0.1}, "adapter": {"kind": "low_rank"}},
            },
        },
    },
    "oracle greedy, fleet, with list": {
        "srm": {"item_table": {"kind": "with_list", "precision": "int8"}},
        "policy": {"request": {"kind": "oracle_greedy"}, "update": {"kind": "fleet", "every": "20min"}},
    },
    "decides online and at answers": {
        "cloud": SLOW_CLOUD,
        "fleet": {"churn": CHURN, "preloaded": {"lag": 2}},
        "policy": {"request": {"kind": "always"}, "decide_at": ["join", "interaction", "online", "answer"]},
    },
    "decides online and at answers, blocking, lossy": {
        "cloud": SLOW_CLOUD,
        "fleet": {
            "churn": CHURN,
            "classes": [{"name": "only", "share": 1, "link": {"kind": "constant", "loss": 0.2}}],
        },
        "policy": {
            "request": {"kind": "inconsistency", "threshold": 20},
            "decide_at": ["interaction", "online", "answer"],
            "mode": "blocking",
            "when_offline": "wait",
        },
    },
    "decides online alone": {
        "fleet": {"churn": CHURN, "preloaded": False},
        "policy": {"request": {"kind": "random", "ratio": 0.5}, "decide_at": ["online"]},
    },
    "joining alone": {
        "fleet": {"churn": CHURN},
        "policy": {"request": {"kind": "inconsistency", "ratio": 0.5}, "decide_at": "join"},
    },
    "ties": {"workload": {"arrivals": {"kind": "replay", "time_scale": 0.001, "scale": "all"}}},
}
