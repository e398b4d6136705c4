"""What the commands print: short tables at most 100 columns wide, plain text where the output is not a terminal."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

from fleetrec.models.runtime.wording import counted
from fleetrec.reports.data.notes import texts_but
from fleetrec.reports.data.quantities import number_text, seconds_text
from fleetrec.reports.data.run_folder import setting
from fleetrec.reports.terminal.text import escape
from fleetrec.simulator.core.notes import PREDICTION, PREDICTION_TEXT

if TYPE_CHECKING:
    from fleetrec.simulator.cloud.calibration import Calibration

WIDTH = 100
_MODEL_HEADS = (
    "model",
    "parameters\nbillions",
    "active\nbillions",
    "layers",
    "hidden",
    "heads\nQ/KV",
    "experts\nused/all",
)
_GPU_HEADS = ("GPU", "memory\nGB", "bandwidth\nGB/s", "16-bit\nTFLOP/s", "8-bit\nTFLOP/s", "link\nGB/s")
_MOST_ASSUMPTIONS = 3
"""of what an answer hangs on, those that matter most come first"""
_OUTCOMES = ("completed", "timed_out", "rejected", "lost", "abandoned", "unfinished")
_COLUMNS = {
    "policy": "policy",
    "accuracy": "accuracy",
    "half_width": "95% ±",
    "hr@10": "HR@10",
    "cost": "USD\nper 1k",
    "realised_ratio": "share\nasked",
    "ratio": "requests\nsent",
    "mean_staleness": "list\nstaleness",
    "latency_p95_s": "p95\nlatency",
}
_IF_THERE_IS_ROOM = ("realised_ratio", "hr@10", "mean_staleness")


def console_for(stderr: bool = False) -> Console:
    """A console of at most 100 columns, on standard error where standard output is kept for JSON."""
    console = Console(stderr=stderr, highlight=False, soft_wrap=False)
    console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    return console


def print_run_summary(summary: Mapping[str, Any], console: Console) -> None:
    """What `simulate` ends with: the headline, accuracy beside the baselines, requests, latency, cost, notes."""
    write_line(console, str(summary.get("headline") or "no headline"), "bold")
    write_line(console, "")
    _accuracy_table(summary, console)
    write_line(console, "")
    facts = new_table(console, ("", ""), left=2, heads_shown=False)
    for name, text in _facts(summary):
        facts.add_row(name, text)
    console.print(facts)
    if summary.get("by_region"):
        _region_table(summary["by_region"], console)
    assumed = [str(row["text"]) for row in summary.get("hangs_on") or ()]
    write_line(console, "")
    for text in assumed[:_MOST_ASSUMPTIONS]:
        write_line(console, f"hangs on: {text}")
    write_line(console, "")
    write_notes(summary, console)


def _region_table(regions: Mapping[str, Any], console: Console) -> None:
    """One line a region: its size, accuracy, latency, the use of its cloud and what it costs."""
    accuracy = next(iter(regions.values()))["accuracy"]
    metric = "ndcg@10" if "ndcg@10" in accuracy else next(name for name in accuracy if name.startswith("ndcg@"))
    heads = (
        "region",
        "devices",
        metric.upper(),
        "requests",
        "p95\nlatency",
        "cloud\nuse",
        "replicas\nneeded",
        "USD\nper 1k",
    )
    table = new_table(console, heads)
    for name, own in regions.items():
        cells = {
            "devices": own["devices"],
            metric: own["accuracy"][metric],
            "asked": own["requests"]["asked"],
            "latency_s": own["latency_s"]["request"]["p95"],
            "utilization": own["cloud"]["utilization"],
            "replicas_provisioned": own["cost"]["replicas_provisioned"],
            "usd": own["cost"]["usd_provisioned_per_1k_interactions"],
        }
        table.add_row(escape(name), *(_cell(key, value) for key, value in cells.items()))
    write_line(console, "")
    console.print(table)


def print_policy_comparison(comparison: Mapping[str, Any], console: Console) -> None:
    """What comparison.json holds: its headline, a line for what is there today and for each policy, its notes. Columns
    that no row has are left out."""
    write_line(console, comparison["headline"], "bold")
    write_line(console, "")
    full = [{**row, "half_width": _half_width(row)} for row in (*comparison["today"], *comparison["policies"])]
    wanted = [key for key in _COLUMNS if console.width >= WIDTH or key not in _IF_THERE_IS_ROOM]
    shown = [key for key in wanted if any(row.get(key) is not None for row in full)]
    table = new_table(console, [_COLUMNS[key] for key in shown])
    for row in full:
        table.add_row(*(escape(_cell(key, row.get(key))) for key in shown))
    console.print(table)
    write_line(console, "")
    write_notes(comparison, console)


def print_calibration(found: "Calibration", console: Console) -> None:
    """The server, its coefficients, and the errors on what was fitted and on what was held out."""
    server = found.server
    limits = f"{server.engine.kv_blocks:,} KV blocks, at most {counted(server.engine.max_sequences, 'sequence')}"
    write_line(console, f"{server.model.name} on {server.gpus_per_replica} x {server.gpu.name}: {limits}", "bold")
    coefficients = new_table(console, ("coefficient", "value"))
    for name, value in found.coefficients._asdict().items():
        coefficients.add_row(name, f"{value:.4g}")
    console.print(coefficients)
    write_line(console, "errors, simulated over measured", "bold")
    errors = new_table(console, ("time", "fitted", "held out") if found.held_out else ("time", "fitted"))
    for name, error in found.in_sample.items():
        held_out = [f"{found.held_out[name]:+.2%}"] if found.held_out else []
        errors.add_row(escape(name.replace("_", " ")), f"{error:+.2%}", *held_out)
    console.print(errors)
    preempted = counted(found.simulated.preemptions, "preemption")
    write_line(console, f"{found.fitted} of {counted(len(found.log), 'request')} fitted; {preempted}")
    write_line(console, f"{number_text(found.simulated_requests_per_s)} simulated requests per second")


def print_describe(described: Mapping[str, Any], console: Console) -> None:
    """What an interaction log holds, section by section."""
    _print_tree(described, console)


def print_check_table(checked: Mapping[str, Any], console: Console) -> None:
    """What a table of LLM answers holds; its verdict comes first."""
    if "verdict" in checked:
        write_line(console, str(checked["verdict"]), "bold")
        write_line(console, "")
    _print_tree({key: value for key, value in checked.items() if key != "verdict"}, console)


def print_evaluation(figures: Mapping[str, Any], console: Console) -> None:
    """The SRM and the LLM, then the baselines, then what others have published, one line each; the protocol below."""
    write_line(console, f"{figures['data']}: {figures['users']:,} users, {figures['items']:,} items", "bold")
    keys = [key for key in figures["srm"] if key.startswith(("hr@", "ndcg@"))]
    table = new_table(console, ["", *(key.upper() for key in keys)])
    rows = {f"{name.upper()} ({figures['models'][name]})": figures[name] for name in ("srm", "llm")}
    rows |= {f"baseline {name}": values for name, values in figures["baselines"].items()}
    rows |= {f"published: {one['model']} [{place}]": one for place, one in enumerate(figures["published"], start=1)}
    for name, values in rows.items():
        table.add_row(escape(name), *(_cell(key, values[key]) if key in values else "" for key in keys))
    console.print(table)
    for place, one in enumerate(figures["published"], start=1):
        write_line(console, f"[{place}] {one['source']}" + (f"; {one['note']}" if one["note"] else ""), "dim")
    write_line(console, f"protocol: {figures['protocol']}")
    write_notes(figures, console, caveat=False)


def print_replay(figures: Mapping[str, Any], console: Console) -> None:
    """What serving a trace took: how many replicas, latency, throughput, use and cost, then what to know of it."""
    served = figures["served_by"]
    many = counted(served["replicas"], "replica")
    use = _cell("share", setting(figures, "load", "utilization"))
    latency = seconds_text(setting(figures, "latency_s", "p95") or math.nan)
    write_line(console, f"{many} of {served['model']} on {served['gpu']}: p95 latency {latency}, busy {use}", "bold")
    write_line(console, "")
    times = new_table(console, ["", "mean", "p50", "p95", "p99"])
    for key, name in (("ttft_s", "time to first token"), ("tpot_s", "per output token"), ("latency_s", "latency")):
        times.add_row(name, *(seconds_text(math.nan if v is None else v) for v in figures[key].values()))
    console.print(times)
    write_line(console, "")
    _print_tree({key: figures[key] for key in ("trace", "served_by", "throughput", "load", "cost")}, console)
    write_notes(figures, console, caveat=False)


def print_catalogue(catalogue: Mapping[str, Any], console: Console) -> None:
    """The models and GPUs of `Catalogue.figures()`, sources aside."""
    models = new_table(console, (*_MODEL_HEADS, "weights\nGB", "KV cache\nkB/token"))
    for name, m in catalogue["models"].items():
        experts = f"{m['experts_per_token']}/{m['experts']}" if m["experts"] > 1 else "dense"
        models.add_row(
            escape(name),
            f"{m['n_params'] / 1e9:.2f}",
            f"{m['active_params'] / 1e9:.2f}",
            str(m["layers"]),
            str(m["hidden"]),
            f"{m['heads']}/{m['kv_heads']}",
            experts,
            f"{m['weight_bytes'] / 1e9:.1f}",
            f"{m['kv_bytes_per_token'] / 1e3:.1f}",
        )
    console.print(models)
    write_line(console, "")
    gpus = new_table(console, (*_GPU_HEADS, "power, W\nidle/busy/limit", "USD/h"))
    for name, g in catalogue["gpus"].items():
        gpus.add_row(
            escape(name),
            f"{g['memory_bytes'] / 1e9:.1f}",
            number_text(g["bandwidth_bytes_per_s"] / 1e9),
            number_text(g["flops_16bit"] / 1e12),
            number_text(g["flops_8bit"] / 1e12),
            number_text(g["link_bytes_per_s"] / 1e9),
            f"{g['idle_power_w']:.0f}/{g['busy_power_w']:.0f}/{g['power_w']:.0f}",
            f"{g['usd_per_hour']:.2f}",
        )
    console.print(gpus)
    write_line(console, "")
    write_line(console, "active: parameters that one token meets. busy: power while serving at few tokens a second.")
    write_line(console, "The source of every figure: --json. A path to a model's config.json stands for its name too.")


# ------------------------------------------------------------------------------------------------------ parts


def write_line(console: Console, text: str, style: str = "") -> None:
    """A line of plain words, which wraps; styled on a terminal alone."""
    console.print(escape(text), style=style if console.is_terminal else "", overflow="fold")


def new_table(console: Console, heads: Sequence[str], left: int = 1, heads_shown: bool = True) -> Table:
    """An empty table whose first `left` columns are words and the others figures."""
    fancy = console.is_terminal
    table = Table(box=box.SIMPLE_HEAD if fancy and heads_shown else None, show_header=heads_shown, pad_edge=False)
    table.padding = (0, 2 if console.width >= WIDTH else 1, 0, 0)
    for i, head in enumerate(heads):
        words = i < left  # words may wrap; a figure never does
        table.add_column(head, justify="left" if words else "right", overflow="fold", no_wrap=not words)
    return table


def _half_width(row: Mapping[str, Any]) -> float | None:
    low, high = row.get("low"), row.get("high")
    return None if low is None or high is None else (float(high) - float(low)) / 2


def write_notes(held: Mapping[str, Any], console: Console, caveat: bool = True, said: Sequence[str] = ()) -> None:
    """What is `said`, then the notes held, a line each; last the caveat that predictions are no engagement."""
    for text in (*said, *texts_but(held, PREDICTION), *([PREDICTION_TEXT] if caveat else [])):
        write_line(console, f"note: {text}", "dim")


def _accuracy_table(summary: Mapping[str, Any], console: Console) -> None:
    accuracy = summary.get("accuracy") or {}
    keys = [key for key in accuracy if key.startswith(("hr@", "ndcg@"))]
    table = new_table(console, ["", *(key.upper() for key in keys)])
    table.add_row("this run", *(_cell(key, accuracy.get(key)) for key in keys))
    baselines = {name: values or {} for name, values in (summary.get("baselines") or {}).items()}
    last = keys[-1] if keys else ""
    for name in sorted(baselines, key=lambda name: (-(baselines[name].get(last) or 0.0), name)):
        table.add_row(escape(f"baseline {name}"), *(_cell(key, baselines[name].get(key)) for key in keys))
    console.print(table)


def _facts(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    def value(*keys: str) -> float:
        found = setting(summary, *keys)
        return math.nan if found is None else float(found)

    def count(*keys: str) -> str:
        found = value(*keys)
        return "n/a" if math.isnan(found) else f"{found:,.0f}"

    def latency(part: str) -> str:
        names = ("p50", "p95", "p99")
        texts = [seconds_text(value("latency_s", part, name)) for name in names]
        return "none" if set(texts) == {"n/a"} else ", ".join(f"{n} {t}" for n, t in zip(names, texts, strict=True))

    def dollars(key: str) -> str:
        return f"${number_text(value('cost', key))}"

    server = "replica" if setting(summary, "cloud", "cpu_seconds") is None else "core"
    ended = [
        f"{name.replace('_', ' ')} {count('requests', name)}" for name in _OUTCOMES[1:] if value("requests", name) > 0
    ]
    asked = ", ".join(
        f"{name} {count('requests', name)} ({number_text(value('requests', key))} an interaction)"
        for name, key in (("asked", "asked_ratio"), ("sent", "ratio"), ("answered", "answered_ratio"))
    )
    gap_to_response = value("pace", "gap_to_response")
    facts = [
        ("fleet", f"{counted(value('devices'), 'device')}, {counted(value('interactions'), 'interaction')}"),
        ("simulated", seconds_text(value("simulated_seconds"))),
        ("requests", asked + ("; " + ", ".join(ended) if ended else "")),
        ("slate latency", latency("slate")),
        ("request latency", latency("request")),
        ("queueing", latency("queue")),
        ("list on screen", _freshness(value("freshness", "mean_staleness"), value("freshness", "mean_list_age_s"))),
        (
            "cloud",
            f"{number_text(value('cloud', 'gpu_seconds'))} GPU s; busy {_cell('share', value('cloud', 'utilization'))} "
            "of the time (not idle, which is not full), " + _headroom(value("cloud", "headroom")),
        ),
        (
            "cost",
            f"{dollars('usd_marginal')} marginal, {dollars('usd_marginal_per_1k_interactions')} per 1,000 interactions;"
            f" {server}s, idle or not: {dollars('usd_replicas')}",
        ),
        ("provisioned", _provisioned(value, dollars, server)),
        ("represented", _represented(value, server)),
        (
            "devices",
            f"{number_text(value('cost', 'device_joules'))} J; {number_text(value('cost', 'gco2'))} gCO2 in all",
        ),
    ]
    if not math.isnan(gap_to_response):
        text = f"the median gap between interactions is {number_text(gap_to_response)} times the median response time"
        facts.insert(7, ("pace", text))
    return [(name, escape(text)) for name, text in facts]


def _provisioned(value: Callable[..., float], dollars: Callable[[str], str], server: str) -> str:
    number, devices = value("cost", "replicas_provisioned"), value("cost", "devices_per_replica")
    if math.isnan(number):
        return f"no number of {server}s meets the objective"
    each = "" if math.isnan(devices) else f", one for {counted(devices, 'device')}"
    low, high = (value("cost", f"replicas_provisioned_{end}") for end in ("low", "high"))
    of_replicas = "" if math.isnan(low) or low == high else f" (95%: {low:,.0f} to {high:,.0f})"

    def sure(key: str) -> str:
        if math.isnan(value("cost", f"{key}_low")):
            return dollars(key)
        return f"{dollars(key)} (95%: {dollars(f'{key}_low')} to {dollars(f'{key}_high')})"

    monthly = "usd_provisioned_per_month"
    month = "" if math.isnan(value("cost", monthly)) else f"{sure(monthly)} a month, "
    return (
        f"{dollars('usd_provisioned')} with {counted(number, server)}{of_replicas}{each}; {month}"
        f"{sure('usd_provisioned_per_1k_interactions')} per 1,000 interactions"
    )


def _represented(value: Callable[..., float], server: str) -> str:
    """What the represented fleet meets on the servers that it needs; the lines above are of the simulated phones."""
    if math.isnan(value("represented", "replicas")):
        return f"not known: no number of {server}s meets the objective"
    if not value("represented", "replicas") > 0:
        return "no request of the represented fleet is served"
    latency = ", ".join(f"{p} {seconds_text(value('represented', 'latency_s', p))}" for p in ("p50", "p95", "p99"))
    return (
        f"{counted(value('represented', 'devices'), 'device')}, all active after the cut, on "
        f"{counted(value('represented', 'replicas'), server)} at "
        f"{number_text(value('represented', 'requests_per_s'))} requests/s: request latency {latency}; busy "
        f"{_cell('share', value('represented', 'utilization'))} of the time, "
        + _headroom(value("represented", "headroom"))
    )


def _headroom(share: float) -> str:
    """How much more load would do, in words; a large multiple is said as the times that it is of the busiest load."""
    if math.isnan(share):
        return "headroom n/a"
    if share >= 1:
        return f"could take {number_text(1 + share)} times the busiest load"
    if share < 0:
        return f"overloaded: could take {1 + share:.1%} of the busiest load"
    return f"could take {share:.1%} more than the busiest load"


def _freshness(staleness: float, age_s: float) -> str:
    if math.isnan(staleness):
        return "no list was on screen"
    return f"{number_text(staleness)} interactions and {seconds_text(age_s)} old in the mean"


def _cell(key: str, value: Any) -> str:
    """A figure as the name of its key asks: shares in percent, times with a unit, accuracies to four places."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "n/a"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    if not isinstance(value, float):
        return str(value)
    if key.endswith("_s"):
        return seconds_text(value)
    if key in ("utilization", "share", "coverage") or key.endswith(("_share", "_coverage")):
        return f"{value:.1%}"
    if "@" in key or key in ("accuracy", "half_width"):
        return f"{value:.4f}"
    if key == "cost" or key.startswith("usd"):
        return f"${number_text(value)}"
    return number_text(value)


def _print_tree(tree: Mapping[str, Any], console: Console) -> None:
    """Nested mappings as two columns, a sub-mapping indented under its name."""
    table = new_table(console, ("", ""), left=2, heads_shown=False)

    def add(mapping: Mapping[str, Any], depth: int) -> None:
        for key, value in mapping.items():
            name = "  " * depth + str(key).replace("_", " ")
            if isinstance(value, Mapping):
                table.add_row(escape(name), "" if value else "none")
                add(value, depth + 1)
            elif isinstance(value, list | tuple):
                table.add_row(escape(name), escape(", ".join(_cell(str(key), item) for item in value) or "none"))
            else:
                table.add_row(escape(name), escape(_cell(str(key), value)))

    add(tree, 0)
    console.print(table)
