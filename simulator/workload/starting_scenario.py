"""A first scenario for a log: how it is read, how it is split and replayed, and what the log tells of the rest."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import available_timezones

import numpy as np
import yaml

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.scenario.sections.workload import ItemFile, LogFile
from fleetrec.simulator.workload.column_evidence import Category, Evidence, Told, column_evidence
from fleetrec.simulator.workload.describe import describe
from fleetrec.simulator.workload.loading import load_log
from fleetrec.simulator.workload.log import InteractionLog
from fleetrec.simulator.workload.tables.readings import OpenReading

_MOST_DEVICES = 500
_MOST_REPEATS = 0.2
_MOST_SKIPPED = 0.05  # of the rows, before it is asked whether the file is the right one
_LONGEST_HISTORY = 100
_CHARACTERS_PER_TOKEN = 4.0
_NUMBER_TOKENS = 3.0  # of "12. " before a title, and the end of its line
_EVENTS_LEARNT = 300_000  # in all passes of a training, which then takes a minute or two
_UTC = ("UTC", "Etc/UTC", "Universal", "Etc/Universal", "Zulu", "Etc/Zulu", "UCT", "Etc/UCT")
_LLM_EPOCHS = 6  # at most, as _EVENTS_LEARNT allows
_FEWEST_STREAMED = 10  # users, for a split that leaves fewer is of no use

Ask = Callable[[str, Sequence[str]], int]
"""asks a question with options, the one that the evidence is for first, if any, and says which is taken"""


class Start(NamedTuple):
    """How a log is read, what it holds, and what was taken on evidence."""

    section: LogFile
    log: InteractionLog
    remarks: list[str]
    categories: list[Category]


def start(section: LogFile, ask: Ask, choose: Ask | None = None) -> Start:
    """A log read as the user says, and else as what it holds tells; of several readings that fit alike, the one that
    is chosen. InputError where it cannot be read at all, or several fit and nobody can be asked."""
    ask = _once(ask)
    try:
        begun = _told_by_evidence(section, ask)
    except OpenReading as error:
        if choose is None or not error.options:
            raise
        chosen = error.options[choose(error.question, [option.told for option in error.options])]
        return start(_with_keys(section, chosen.keys), ask, choose)
    here = _zone_here()
    zoneless = any(one.key == "times_utc" for one in begun.log.notes)
    if zoneless and here not in (*_UTC, None) and ask("Times name no zone: of which are they?", ("UTC", str(here))):
        return start(_with_keys(section, {"time": {"zone": here}}), ask, choose)
    return begun


def _once(ask: Ask) -> Ask:
    """Asks each question once: a log may be read several times before all that it leaves open is known."""
    answers: dict[str, int] = {}

    def asked(question: str, options: Sequence[str]) -> int:
        if question not in answers:
            answers[question] = ask(question, options)
        return answers[question]

    return asked


def _zone_here() -> str | None:
    """The zone of this machine's clock, where it says so."""
    named = os.environ.get("TZ", "").lstrip(":") or str(Path("/etc/localtime").resolve()).partition("zoneinfo/")[2]
    return named if named in available_timezones() else None


def _with_keys(section: LogFile, keys: Mapping[str, Any]) -> LogFile:
    """The section with further keys said."""
    said = section.model_dump(exclude_unset=True)
    if isinstance(said.get("items"), str):
        said["items"] = {"path": said["items"]}
    more = {key: {**said.get(key, {}), **value} if isinstance(value, dict) else value for key, value in keys.items()}
    return LogFile.model_validate(said | more)


def _told_by_evidence(section: LogFile, ask: Ask) -> Start:
    try:
        return _checked(section, load_log(section), [], Evidence(), ask)
    except OpenReading:
        raise
    except InputError as error:
        first = error
    skipping = section.model_copy(update={"on_error": "skip"})
    if section.on_error == "fail" and (log := _tried(skipping)) is not None:
        return _checked(skipping, log, [str(first)], Evidence(), ask)
    unsaid = section.columns.user is None or section.columns.item is None
    if not unsaid and section.items is None:
        raise first
    evidence = column_evidence(section)
    if evidence.header:
        section = section.model_copy(update={"header": "first"})
    columns = _with_columns(section, _settled(evidence.log, ask)) if unsaid else section
    tried = [_with_items(columns, evidence.items), columns] if evidence.items else [columns]
    for form in tried:
        for read in (form, form.model_copy(update={"on_error": "skip"})):
            try:
                log = load_log(read)
            except OpenReading:
                raise
            except InputError as error:
                first = error
                continue
            told = [_told(one) for one in evidence.log] if unsaid else []
            told += [_told(one, "items: ") for one in evidence.items] if form is not columns else []
            return _checked(read, log, told, evidence, ask)
    raise first


def _tried(section: LogFile) -> InteractionLog | None:
    try:
        return load_log(section)
    except OpenReading:
        raise
    except InputError:
        return None


def _checked(section: LogFile, log: InteractionLog, remarks: list[str], evidence: Evidence, ask: Ask) -> Start:
    """The same, with titles that the table of items has under a name of its own; not where much is left out."""
    evidence = evidence if evidence.log else _evidence(section)
    if section.items is not None and log.titles is None and any(told.role == "title" for told in evidence.items):
        with_titles = _with_items(section, evidence.items)
        titled = _tried(with_titles)
        if titled is not None:
            section, log = with_titles, titled
            remarks = [*remarks, *(_told(one, "items: ") for one in evidence.items)]
    skipped = log.problems.get("rows_skipped", 0)
    rows = log.reading.rows if log.reading is not None else log.n_events
    if skipped:
        remarks = [*remarks, f"{skipped:,} of {rows:,} rows cannot be read and are left out (on_error: skip)"]
    if skipped > _MOST_SKIPPED * rows and ask(f"{skipped:,} of {rows:,} rows cannot be read", ("go on", "stop")):
        raise InputError(f"{section.path}: {skipped:,} of {rows:,} rows cannot be read: {remarks[0]}")
    return Start(section, log, remarks, evidence.categories)


def _evidence(section: LogFile) -> Evidence:
    try:
        return column_evidence(section)
    except OpenReading:
        raise
    except InputError:  # what is known by its name needs none
        return Evidence()


def _settled(told: Sequence[Told], ask: Ask) -> dict[str, Any]:
    """The columns of a log, each asked for where another may be meant."""
    columns = {one.role: one.column for one in told}
    swapped = any("column of ids" in one.why and not one.why.startswith("the only") for one in told)
    user, item = columns["user"], columns["item"]
    if swapped and ask("Which column holds users?", (f"{user} (items: {item})", f"{item} (items: {user})")):
        columns["user"], columns["item"] = item, user
    for one in told:
        if one.role == "time" and one.others:
            options = (one.column, *one.others)
            columns["time"] = options[ask("Which column holds the times?", [str(option) for option in options])]
    return columns


def _told(one: Told, where: str = "") -> str:
    return f"{where}{one.role} is column {one.column!r}: {one.why}"


def _with_columns(section: LogFile, columns: dict[str, Any]) -> LogFile:
    said = section.columns.model_dump(exclude_none=True)
    return section.model_copy(update={"columns": type(section.columns).model_validate(columns | said)})


def _with_items(section: LogFile, told: Sequence[Told]) -> LogFile:
    assert section.items is not None
    form = ItemFile(path=section.items) if isinstance(section.items, str) else section.items
    columns = {one.role: one.column for one in told} | form.columns.model_dump(exclude_none=True)
    named = form.model_copy(update={"columns": type(form.columns).model_validate(columns)})
    return section.model_copy(update={"items": named})


# ------------------------------------------------------------------------------------------ the text


def scenario_text(begun: Start, name: str, command: str) -> str:
    """A scenario in YAML with a comment at each thing that the log tells; `command` runs commands."""
    log, figures = begun.log, describe(begun.log)
    split, streamed, why_split = _split(log, figures)
    arrivals, why_arrivals = _arrivals(figures)
    repeats = figures["repeat_share"]
    devices = min(streamed, _MOST_DEVICES)
    length = int(np.median(log.lengths))
    history = int(min(_LONGEST_HISTORY, max(1, np.percentile(log.lengths, 95))))
    tokens = _NUMBER_TOKENS + (
        np.mean([len(title) for title in log.titles if title]) / _CHARACTERS_PER_TOKEN if log.titles else 4
    )
    remarks = "".join(f"    # {' '.join(remark.split())}\n" for remark in begun.remarks)
    interactions = yaml.safe_dump(_interactions(begun), sort_keys=False, allow_unicode=True, width=100)
    indented = "".join(f"      {line}\n" for line in interactions.splitlines())
    exclude = "false" if repeats > _MOST_REPEATS else "true"
    list_length = min(50, max(1, log.n_items // 2))
    return f"""\
# {name}: a first scenario, written by `{command} init` from what the log holds. Each comment says why a value stands
# there. Next: `{command} simulate {{file}}`, then `{command} decide {{file}}`: should phones call the cloud?
name: {name}
description: {_flow(f"{log.source}, {log.n_users:,} users, {log.n_items:,} items, {log.n_events:,} events")}
seed: 1

workload:
  # How the file is read:{_span(figures)}
{remarks.replace("    #", "  #")}  interactions:
{indented.replace("      ", "    ")}{_filters(begun)}  split: {_flow(split)}  # {why_split}
  arrivals: {_flow(arrivals)}  # {why_arrivals}
  exclude_seen: {exclude}  # {repeats:.0%} of events repeat an item of the same user

fleet:
  devices: {devices}  # of {streamed:,} users who are streamed; with more devices than users, users are cloned
  represents: 100000  # yours to say: devices that these stand for; replicas and dollars are for so many
  churn: {{kind: always_on, join_over: 10m}}  # devices come one after the other and ask once as they do

# Half of the users have {length:,} events or more. Few passes, for a first result soon: a run says if more would help.
srm: {{kind: gru4rec, dim: 32, layers: 1, max_length: {_even(min(20, length))}, epochs: {_epochs(log, 10)}}}

llm:
  # A stand-in that is trained on the log, in few passes: that it helps nobody says nothing of yours. Bring your own
  # model's lists: {{kind: endpoint, url: ..., model: ...}}, or {{kind: table, path: ...}} of its answers to the prompts
  # that `{command} prompts export {{file}} --out prompts.parquet` writes.
  candidates: {{kind: item_lm, dim: 64, max_length: {_even(min(50, history))}, epochs: {stand_in_passes(log)}}}
  served_as: llama-3.1-8b  # whose time and price are charged
  list_length: {list_length}
  # {_about_tokens(log)}
  prompt: {{tokens_per_item: {tokens:.1f}, history: {history}}}

# The stand-in searches with wide beams, so the engine is one for generative recommenders; yours may be vllm.
cloud: {{gpu: h100, engine: generative_recommender, replicas: 1, slo: {{p95_latency: 3s}}}}

policy:
  request: {{kind: staleness, threshold: 2}}
  fusion: {{kind: linear, srm_weight: 1.0, score: rank}}
"""


def _interactions(begun: Start) -> dict[str, Any]:
    """The keys that leave nothing to be told from the file."""
    said = begun.section.model_dump(exclude_defaults=True)
    reading = begun.log.reading
    told = yaml.safe_load(f"{{{reading.said}}}") if reading is not None else {}
    time = {**told.pop("time", {}), **said.pop("time", {})}
    columns = {**told.pop("columns", {}), **said.pop("columns", {})}
    items = said.pop("items", None)
    keys = {"path": said.pop("path"), **told, **said, "columns": columns}
    return keys | ({"time": time} if time else {}) | ({"items": items} if items is not None else {})


def _flow(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10_000)
    return text.removesuffix("...\n").strip()


def _span(figures: dict[str, Any]) -> str:
    read = figures["read"] or {}
    ends = f" {read['first']} to {read['last']};" if "first" in read else ""
    gap = f" half of the pauses are longer than {read['median_gap']}" if "median_gap" in read else ""
    return f" {read.get('rows', 0):,} rows;{ends}{gap}" if read else ""


def _filters(begun: Start) -> str:
    """What rows may be chosen by, as a comment: all count unless the user says otherwise."""
    lines = []
    read = begun.log.reading.columns.values() if begun.log.reading is not None else ()
    for one in [one for one in begun.categories if one.column not in read][:3]:
        shares = ", ".join(f"{value} {share:.0%}" for value, share in one.shares)
        column = one.column if re.fullmatch(r"[A-Za-z_]\w*", one.column) else f'"{one.column}"'
        condition = _flow(f"{column} = '" + one.shares[0][0].replace("'", "''") + "'")
        lines.append(f"    # where: {condition}  # all rows count; {shares}\n")
    return "".join(lines)


def _split(log: InteractionLog, figures: dict[str, Any]) -> tuple[dict[str, Any], int, str]:
    """The split, the users that it streams, and why."""
    last = int(max(1, min(20, np.median(log.lengths) // 3)))
    calendar = figures["splits"]["global_time"]
    streamed = calendar.get("counts", {}).get("streamed", 0)
    if streamed >= _FEWEST_STREAMED:
        why = "the last fifth of the events is streamed: nothing is learnt from the future"
        return {"kind": "global_time", "at": 0.8, "min_history": 5}, streamed, why
    counts = figures["splits"]["per_user"].get("counts", {})
    why = f"each user's last {last} events are streamed; " + (
        f"of the last fifth in calendar order {streamed} users would be" if streamed else "there is no common calendar"
    )
    users = int((log.lengths >= last + min(5, last)).sum())
    section = {"kind": "per_user", "last": last, "min_history": int(min(5, last))}
    return section, max(users, counts.get("streamed", 0) if last == 20 else users, 1), why


def _arrivals(figures: dict[str, Any]) -> tuple[dict[str, Any], str]:
    keys = {one["key"] for one in figures["notes"]}
    if figures["clock"] == "none":
        return {"kind": "sessions"}, "the log has no times, so they are drawn"
    if "whole_days" in keys:
        return {"kind": "sessions"}, "the log's times are whole days, so those within a day are drawn"
    return {"kind": "replay"}, "in the log's own time"


def _even(length: int) -> int:
    """Of a window, which moves by half of it."""
    return max(4, length - length % 2)


def stand_in_passes(log: InteractionLog) -> int:
    """How many passes over the log train the LLM of its first scenario."""
    return _epochs(log, _LLM_EPOCHS)


def _epochs(log: InteractionLog, most: int) -> int:
    return max(2, min(most, _EVENTS_LEARNT // log.n_events))


def _about_tokens(log: InteractionLog) -> str:
    if log.titles is None:
        return "The log has no titles (--items), so tokens of an item are a guess; history: of 95% of the users."
    return "Tokens of a title of this log at four characters a token, and its number; history: of 95% of the users."


def default_name(path: str) -> str:
    """A scenario's name after its log's."""
    return re.sub(r"[^a-z0-9]+", "_", Path(path).name.split(".")[0].lower()).strip("_") or "my_log"
