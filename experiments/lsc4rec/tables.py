"""The tables of the study's page, as Markdown, each from what is finished; an empty one where nothing is."""

from pathlib import Path
from typing import Any

from claims import at_no_latency, at_one_share, claims
from merging import table
from results import Difference, core_minutes, replays, share, signed, sweeps

PARTS = ("ages", "fusion", "lengths", "replay", "invalid", "requests", "training", "updates", "llms", "paper")
LEARNED_BUDGET = "0.2"
REPLAY_POLICIES = (
    "never",
    "random",
    "staleness",
    "inconsistency",
    "rank distance alone",
    "invalid items alone",
    "entropy",
    "margin",
    "learned",
    "oracle_greedy",
    "oracle_dp",
    "always, without a budget",
)


def fusion(root: Path, names: list[str]) -> str:
    """NDCG@10 of every order and slate, and its difference to the sum of both orders."""
    found = sweeps(root, "fusion", names)
    rows = []
    for variant in next(iter(found.values())).variants if found else []:
        row = [variant]
        for sweep in found.values():
            row += [share(sweep.ndcg(variant)), "" if variant == "sum" else str(sweep.minus(variant, "sum"))]
        rows.append(row)
    head = [word for data in found for word in (data, f"{data} minus sum")]
    return table(["shown", *head], rows)


def lengths(root: Path, names: list[str]) -> str:
    """NDCG@10 by the list's length."""
    rows = []
    for data, sweep in sweeps(root, "lengths", names).items():
        for rule in ("LLM only", "sum", "SRM only"):
            own = [variant for variant in sweep.variants if variant.startswith(f"{rule} ")]
            at_50 = next(variant for variant in own if variant.endswith("=50"))
            cells = [
                share(sweep.ndcg(variant))
                + (
                    ""
                    if variant == at_50
                    else f" ({sweep.minus(variant, at_50)})".replace(" [", "; ", 1).replace("]", "")
                )
                for variant in own
            ]
            rows.append([data, rule, *cells])
    return table(["data", "order", "20", "50", "100", "200", "500"], rows)


def ages(root: Path, names: list[str]) -> str:
    """NDCG@10 by the age of the list, under each order."""
    rows = []
    found = replays(root, "ages", names)
    held = list(dict.fromkeys(age for data in found.values() for age in next(iter(data["by_rule"].values()))))
    for data, replay in found.items():
        for rule, by_age in replay["by_rule"].items():
            rows.append([data, rule, *(share(by_age[age]["ndcg@10"]) if age in by_age else "" for age in held)])
        for name in ("srm", "markov", "frequent"):
            rows.append(
                [data, f"({name}, no list)", share(replay["baselines"][name]["ndcg@10"]), *[""] * (len(held) - 1)]
            )
    return table(["data", "order", *(f"age {age}" for age in held)], rows)


def age_leads(root: Path, names: list[str]) -> str:
    """Paired leads of the sum rule by age: over the LLM's order, over SRM re-ranking, over the SRM alone."""
    rows = []
    found = replays(root, "ages", names)
    held = list(dict.fromkeys(age for data in found.values() for age in next(iter(data["by_rule"].values()))))
    for data, replay in found.items():
        for rule, others in (
            ("fused, weight 1", ("LLM order", "SRM re-rank", "SRM alone")),
            ("joined, weight 1", ("SRM alone",)),
        ):
            by_age = replay["by_rule"][rule]
            for other in others:
                cells = []
                for age in held:
                    mean, half = by_age[age][f"minus {other}"] if age in by_age else (0.0, -1.0)
                    text = f"{signed(mean)} ± {share(half)}"
                    cells.append("" if half < 0 else f"**{text}**" if abs(mean) > half else text)
                rows.append([data, f"{rule.split(',')[0]} − {other}", *cells])
    return table(["data", "difference in NDCG@10", *(f"age {age}" for age in held)], rows)


def replay(root: Path, names: list[str]) -> str:
    """Request policies at no latency and 20% budget."""
    return _replayed(root, "replay", names)


def invalid(root: Path, names: list[str]) -> str:
    """The same with an LLM that names invalid items."""
    return _replayed(root, "invalid", names)


def _replayed(root: Path, part: str, names: list[str]) -> str:
    rows = []
    for data, found in replays(root, part, names).items():
        for policy in REPLAY_POLICIES:
            row: dict[str, Any] = found[LEARNED_BUDGET][policy]
            leads = ["" if policy == o else str(Difference(*row[f"minus_{o}"])) for o in ("random", "inconsistency")]
            cells = [share(row["requests"]), share(row["ndcg@10"]), f"{round(100 * row['share_of_gap'])}%", *leads]
            rows.append([data, policy, *cells])
    return table(["data", "policy", "requests", "NDCG@10", "of gap", "minus random", "minus inconsistency"], rows)


def replay_budgets(root: Path, names: list[str]) -> str:
    """Leads over random requests at every budget, no latency."""
    rows, budgets = [], []
    for data, found in replays(root, "replay", names).items():
        budgets = list(found)
        for policy in ("staleness", "inconsistency", "entropy", "margin", "learned", "oracle_dp"):
            rows.append([data, policy, *(str(at_no_latency(found[b], policy, "random")) for b in budgets)])
    return table(["data", "minus random", *(f"{float(b):.0%}" for b in budgets)], rows)


def requests(root: Path, names: list[str]) -> str:
    """Request policies in background with real latency: at each budget, the lead over random requests."""
    rows: list[list[str]] = []
    budgets = ("0.05", "0.2", "0.5")
    for data, sweep in sweeps(root, "requests", names).items():
        policies = list(dict.fromkeys(name.split(" ratio=")[0] for name in sweep.variants))
        for policy in policies:
            cells = [
                f"{share(sweep.ndcg(f'random ratio={b}'))} at {share(sweep.asked(f'random ratio={b}'))}"
                if policy == "random"
                else str(at_one_share(sweep, policy, "random", b))
                for b in budgets
            ]
            rows.append([data, policy, *cells])
    return table(["data", "policy", *(f"{float(b):.0%}" for b in budgets)], rows)


def training(root: Path, names: list[str]) -> str:
    """The three training strategies, each as it re-ranks alone and in the sum."""
    rows = []
    for data, sweep in sweeps(root, "training", names).items():
        for strategy in dict.fromkeys(name.split(" fusion=")[0] for name in sweep.variants):
            cells = []
            for rule in ("srm_only", "linear"):
                name, alone = f"{strategy} fusion={rule}", f"independent fusion={rule}"
                cells += [share(sweep.ndcg_of(name)), "" if name == alone else str(sweep.trained(name, alone))]
            rows.append([data, strategy, *cells])
    return table(
        ["data", "training", "SRM re-ranks", "SRM re-ranks, minus independent", "sum", "sum, minus independent"], rows
    )


def updates(root: Path, names: list[str]) -> str:
    """Update schedules by cost."""
    rows = []
    for data, sweep in sweeps(root, "updates", names).items():
        for name in dict.fromkeys(variant.split(" seed=")[0] for variant in sweep.variants):
            first = sweep.seeds_of(name)[0]
            pushed = sweep.figure(first, "updates.bytes_pushed") / 1e9
            costs = [
                f"{sweep.figure(first, 'updates.gpu_hours'):.2f}",
                f"{pushed:.2f}",
                f"{sweep.figure(first, 'updates.device_joules'):.0f}",
            ]
            costs = ["" if cost == "nan" else cost for cost in costs]
            lead = "" if name == "none" else str(sweep.trained(name, "none"))
            rows.append([data, name, share(sweep.ndcg_of(name)), lead, *costs])
    return table(["data", "schedule", "NDCG@10", "minus none", "GPU-h", "GB pushed", "J on devices"], rows)


def llms(root: Path, names: list[str]) -> str:
    """The orders of lists of two kinds of LLM, and the differences between orders under each."""
    rows = []
    for data, sweep in sweeps(root, "llms", names).items():
        for llm in dict.fromkeys(name.split(" fusion=")[0] for name in sweep.variants):
            alone, fused, ranked = (f"{llm} fusion={rule}" for rule in ("llm_only", "linear", "srm_only"))
            leads = [str(sweep.minus(fused, other)) for other in (alone, ranked)]
            rows.append([data, llm, *(share(sweep.ndcg(name)) for name in (alone, fused, ranked)), *leads])
    return table(["data", "LLM", "LLM only", "sum", "SRM only", "sum minus LLM only", "sum minus SRM only"], rows)


def paper(root: Path, names: list[str]) -> str:
    """The paper's protocol: means over training seeds, differences to the sum rule with t over these seeds."""
    rows = []
    for data, sweep in sweeps(root, "paper", names).items():
        groups: dict[str, list[str]] = {}
        for name in sweep.variants:
            groups.setdefault(name.split(" seed=")[0], []).append(name)
        for group, own in groups.items():
            ndcg = sum(sweep.ndcg(name) for name in own) / len(own)
            hit = sum(sweep.figure(name, "accuracy.hr@10") for name in own) / len(own)
            lead = "" if group == "sum" else str(sweep.over_trainings(own, groups["sum"]))
            rows.append([data, group, share(hit), share(ndcg), lead])
    return table(["data", "shown", "HR@10", "NDCG@10", "minus sum"], rows)


def times(root: Path, names: list[str]) -> str:
    """Processor minutes of every part."""
    rows = []
    for data in names:
        minutes = [core_minutes(root, part, data) for part in PARTS]
        if any(value is not None for value in minutes):
            rows.append([data, *("" if value is None else f"{value:.1f}" for value in minutes)])
    return table(["core-minutes", *PARTS], rows)


def claim_rows(root: Path, names: list[str]) -> str:
    """The claims, on the data sets that anything was measured on."""
    measured = [data for data in names if any((root / f"{part}-{data}" / "times.json").exists() for part in PARTS)]
    return table(["difference in NDCG@10", *measured], claims(root, measured))


TABLES = {
    "claims": (claim_rows, 1),
    "fusion": (fusion, 1),
    "lengths": (lengths, 2),
    "ages": (ages, 2),
    "age leads": (age_leads, 2),
    "replay": (replay, 2),
    "replay budgets": (replay_budgets, 2),
    "invalid": (invalid, 2),
    "requests": (requests, 2),
    "training": (training, 2),
    "updates": (updates, 2),
    "llms": (llms, 2),
    "paper": (paper, 2),
    "times": (times, 1),
}
"""How each table is made, and how many of its cells tell its rows apart."""
