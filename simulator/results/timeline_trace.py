"""`simulate --trace`: chosen devices and replicas as a timeline for ui.perfetto.dev or chrome://tracing.

Devices are rebuilt after the run from what it recorded; replicas are watched through a wrapper while it goes, which
changes nothing of what they do. Format: Trace Event Format (JSON array of X, i, C, s/t/f and M events), times in
microseconds to the nanosecond.
"""

import math
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from fleetrec.models.runtime.artifacts import atomic_path, check_file_place
from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.node.llm_node import LlmNode
from fleetrec.simulator.cloud.replica.jobs import Job
from fleetrec.simulator.cloud.replica.replica import Replica
from fleetrec.simulator.cloud.replica.timed_replica import Serving
from fleetrec.simulator.engine.world import World
from fleetrec.simulator.results.run_result import RunResult
from fleetrec.simulator.results.trace_format import Events

MOST_DEVICES = 100
MOST_REPLICAS = 16
MOST_STEPS = 500_000
"""runs of steps that one replica may add; a trace of more cannot be opened with comfort"""

_PRESENCE, _INTERACTIONS, _RANKING, _SLATE, _REQUESTS = 1, 2, 3, 4, 5
_STEPS, _SERVED = 1, 2
_REPLICAS_FROM = 1_000_000


@dataclass(frozen=True)
class TraceRequest:
    """What to trace, and the file that it goes to."""

    path: Path
    devices: tuple[int, ...] = tuple(range(10))
    replicas: tuple[int, ...] | None = None
    """none: all, as far as there may be so many"""


def read_trace_request(path: Path | None, devices: str | None, replicas: str | None) -> TraceRequest | None:
    """From the command line's words; None where no trace is wanted. InputError for what is no list of numbers, or names
    too many, or names some for no trace."""
    if path is None:
        if devices is not None or replicas is not None:
            option = "--trace-replicas" if devices is None else "--trace-devices"
            raise InputError(f"{option}: no trace is written without --trace; name its file with --trace FILE")
        return None
    check_file_place("--trace", path)
    chosen = TraceRequest(path).devices if devices is None else _numbers(devices, "--trace-devices", MOST_DEVICES)
    return TraceRequest(
        path, chosen, None if replicas is None else _numbers(replicas, "--trace-replicas", MOST_REPLICAS)
    )


def _numbers(text: str, option: str, most: int) -> tuple[int, ...]:
    """`0,3,7-9` as numbers, each once, in order."""
    found: set[int] = set()
    for part in text.split(","):
        low, dash, high = part.strip().partition("-")
        if not low.isdecimal() or (dash and not (high.isdecimal() and int(low) <= int(high))):
            raise InputError(f"{option} {text}: expected numbers and ranges, such as 0,3,7-9")
        if int(high or low) - int(low) >= most:
            found.update(range(most + 1))
        else:
            found.update(range(int(low), int(high or low) + 1))
    if len(found) > most:
        raise InputError(f"{option} {text}: names more than {most}, and a trace of so many is too large; name fewer")
    return tuple(sorted(found))


class WatchedReplica:
    """A replica that notes what it does, for a trace; all else is the replica's own. It tells of every run of steps."""

    def __init__(self, replica: Serving):
        self._replica = replica
        self.starts_s, self.ends_s = array("d"), array("d")  # of runs of steps
        self.prompts, self.steps = array("b"), array("q")
        self.at_s = array("d")  # when the counts changed
        self.waiting_count, self.running_count, self.kv_blocks = array("q"), array("q"), array("q")
        self.cut_off = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._replica, name)

    def next_s(self) -> float:
        """See Serving."""
        return self._replica.current_run[1] if isinstance(self._replica, Replica) else self._replica.next_s()

    def add(self, job: Job, now: float) -> None:
        """See Serving."""
        self._replica.add(job, now)
        self._count(now)

    def remove(self, job: Job, now: float) -> bool:
        """See Serving."""
        removed = self._replica.remove(job, now)
        self._count(now)
        return removed

    def advance(self, now: float) -> list[Job]:
        """See Serving."""
        if self.next_s() <= now:
            self._note_run(math.inf)
        left = self._replica.advance(now)
        self._count(now)
        return left

    def halt(self, now: float) -> list[Job]:
        """See Serving."""
        self._note_run(now)
        jobs = self._replica.halt(now)
        self._count(now)
        return jobs

    def _note_run(self, until_s: float) -> None:
        """The run of steps at hand ends, at `until_s` at the latest."""
        if not isinstance(self._replica, Replica):
            return
        start_s, end_s, steps, prompts = self._replica.current_run
        if not steps:
            return
        if len(self.starts_s) >= MOST_STEPS:
            self.cut_off = True
            return
        self.starts_s.append(start_s)
        self.ends_s.append(min(end_s, until_s))
        self.steps.append(steps)
        self.prompts.append(prompts)

    def _count(self, now: float) -> None:
        if self.cut_off:
            return
        replica = self._replica
        blocks = replica.kv_blocks_used if isinstance(replica, Replica) else 0
        counts = replica.waiting, replica.outstanding - replica.waiting, blocks
        if self.at_s and counts == (self.waiting_count[-1], self.running_count[-1], self.kv_blocks[-1]):
            return
        self.at_s.append(now)
        for column, value in zip((self.waiting_count, self.running_count, self.kv_blocks), counts, strict=True):
            column.append(value)


@dataclass
class Tracer:
    """Watches a world while it runs and writes its trace afterwards."""

    request: TraceRequest
    watched: dict[int, WatchedReplica] = field(default_factory=dict)

    def watch(self, world: World) -> None:
        """Before the run. InputError where a device or replica does not exist."""
        _check("--trace-devices", self.request.devices, len(world.devices), "devices")
        world.recorder.slates.keeps_all = True
        machines = world.service.node.machines if isinstance(world.service.node, LlmNode) else []
        chosen = self.request.replicas
        _check("--trace-replicas", chosen or (), len(machines), "replicas of an LLM")
        for number in range(min(len(machines), MOST_REPLICAS)) if chosen is None else chosen:
            self.watched[number] = WatchedReplica(machines[number].replica)
            machines[number].replica = cast(Serving, self.watched[number])

    def write(self, world: World, result: RunResult) -> None:
        """After the run."""
        horizon_s = float(result.summary["simulated_seconds"])
        events = Events()
        requests = result.requests[result.requests["device"].isin(self.request.devices)]
        _DeviceTraces(world, horizon_s, events).write(self.request.devices, requests, result, self.watched)
        for number, replica in self.watched.items():
            _write_replica(events, number, replica)
        others: dict[str, Any] = {name: result.summary[name] for name in ("scenario", "seed")}
        cut = [number for number, replica in self.watched.items() if replica.cut_off]
        if cut:
            others["cut off"] = f"replicas {cut} after {MOST_STEPS:,} runs of steps each"
        with atomic_path(self.request.path) as path:
            events.save(path, others)


def _check(option: str, numbers: Iterable[int], there_are: int, what: str) -> None:
    beyond = [number for number in numbers if number >= there_are]
    if beyond and option == "--trace-devices" and tuple(numbers) == TraceRequest(Path()).devices:
        return  # nobody named them: those that exist are traced
    if beyond:
        raise InputError(f"{option}: there is no {beyond[0]}; the run has {there_are} {what}, numbered from 0")


def _write_replica(events: Events, number: int, watched: WatchedReplica) -> None:
    pid = _REPLICAS_FROM + number
    events.process(pid, f"replica {number}", {_STEPS: "steps"})
    for start_s, end_s, steps, prompts in zip(
        watched.starts_s, watched.ends_s, watched.steps, watched.prompts, strict=True
    ):
        name = "prefill + decode" if prompts else "decode"
        events.span(pid, _STEPS, name, start_s, end_s, {"steps": steps, "prompts": prompts})
    counts_blocks = any(watched.kv_blocks)
    for at_s, waiting, running, blocks in zip(
        watched.at_s, watched.waiting_count, watched.running_count, watched.kv_blocks, strict=True
    ):
        events.counter(pid, "requests", at_s, {"running": running, "waiting": waiting})
        if counts_blocks:
            events.counter(pid, "KV blocks", at_s, {"held": blocks})


class _DeviceTraces:
    """The timelines of devices, from the records of a run."""

    def __init__(self, world: World, horizon_s: float, events: Events):
        self._world, self._horizon_s, self._events = world, horizon_s, events

    def write(
        self, devices: Sequence[int], requests: Any, result: RunResult, watched: dict[int, WatchedReplica]
    ) -> None:
        """All tracks of the devices; `requests` are theirs."""
        recorder = self._world.recorder
        made = recorder.slates.made()
        lanes = self._replica_lanes(requests, watched)
        for device in (d for d in devices if d < len(self._world.devices)):
            tracks = {
                _PRESENCE: "presence",
                _INTERACTIONS: "interactions",
                _RANKING: "ranking",
                _SLATE: "slate on screen",
                _REQUESTS: "requests",
            }
            self._events.process(device + 1, f"device {device}", tracks)
            self._presence(device)
            own = result.interactions[result.interactions["device"] == device]
            asked = requests[requests["device"] == device]
            self._interactions(device, own)
            self._slates(device, {name: of[made["device"] == device] for name, of in made.items()}, own, asked)
            ends: list[float] = []
            for row in asked.itertuples(index=False):
                self._request(device, row, ends, lanes.get(int(row.request)))

    def _replica_lanes(self, requests: Any, watched: dict[int, WatchedReplica]) -> dict[int, int]:
        """For each request that a traced replica served, the lane it has there."""
        served = requests[requests["replica"].isin(list(watched)) & requests["t_started_s"].notna()]
        ends: dict[int, list[float]] = {}
        return {
            int(row.request): _lane(ends.setdefault(int(row.replica), []), row.t_started_s, self._served_until(row))
            for row in served.sort_values(["t_started_s", "request"]).itertuples(index=False)
        }

    def _served_until(self, row: Any) -> float:
        end_s = self._end(row)
        return end_s if math.isnan(row.t_finished_s) else min(float(row.t_finished_s), end_s)

    def _presence(self, device: int) -> None:
        own, end_s = self._world.devices[device], self._horizon_s
        presence, profile = own.connection.presence, own.profile
        joined_s, left_s = profile.joins_s, min(profile.left_s, end_s)
        low, high = int(presence.offsets[device]), int(presence.offsets[device + 1])
        edges = [edge for edge in presence.edges_s[low:high].tolist() if edge < left_s]
        bounds = [*edges, left_s]
        for place in range(len(edges)):
            name = "offline" if place % 2 else "online"
            self._events.span(device + 1, _PRESENCE, name, bounds[place], bounds[place + 1], {})
        if edges and edges[0] > joined_s:
            self._events.span(device + 1, _PRESENCE, "offline", joined_s, edges[0], {})

    def _interactions(self, device: int, own: Any) -> None:
        for row in own.itertuples(index=False):
            rank = int(row.rank)
            details = {"step": int(row.step), "item": int(row.item), "rank": rank, "staleness": int(row.staleness)}
            name = f"rank {rank}" if rank >= 0 else "miss"
            self._events.instant(device + 1, _INTERACTIONS, name, float(row.t_s), details)

    def _slates(self, device: int, made: dict[str, Any], own: Any, asked: Any) -> None:
        """Ranking computations; where users go on while requests run, also the slate that each one puts on screen.

        A slate at a step that is new was begun by that interaction, one at the same step by the list that landed.
        """
        profile = self._world.devices[device].profile
        at_step = dict(zip(own["step"].tolist(), own["t_s"].tolist(), strict=True))
        landed = dict(zip(asked["t_issued_s"].tolist(), asked["t_delivered_s"].tolist(), strict=True))
        begun: list[tuple[float, int, int]] = []
        before: int | None = None
        for step, as_of, list_time_s in zip(
            *(made[name].tolist() for name in ("step", "as_of", "list_time_s")), strict=True
        ):
            if before is None:
                t_s = profile.joins_s
            elif step != before:
                t_s = at_step[step]
            else:
                t_s = landed[list_time_s]
            begun.append((t_s, as_of, step))
            before = step
        compute_s = profile.compute_s
        following = [*(t_s for t_s, _, _ in begun[1:]), self._horizon_s]
        ready: list[tuple[float, int, int]] = []
        for (t_s, as_of, step), next_s in zip(begun, following, strict=True):
            end_s = min(t_s + compute_s, next_s)
            done = t_s + compute_s <= next_s
            name = "rank list" if done else "rank list (superseded)"
            self._events.span(device + 1, _RANKING, name, t_s, end_s, {"as of": as_of, "step": step})
            if done:
                ready.append((end_s, as_of, step))
        if self._world.devices[device].rules.blocking:
            return
        until = [*(t_s for t_s, _, _ in ready[1:]), self._horizon_s]
        for (t_s, as_of, step), next_s in zip(ready, until, strict=True):
            name = f"list as of {as_of}, ordered at {step}" if as_of >= 0 else f"no list, ordered at {step}"
            self._events.span(device + 1, _SLATE, name, t_s, next_s, {"as of": as_of, "step": step})

    def _request(self, device: int, row: Any, ends: list[float], lane: int | None) -> None:
        """One request with its phases, and its place on a replica that is traced, joined by a flow.

        `ends`: until when each lane of the device's requests is taken; `lane`: that on the replica.
        """
        pid = device + 1
        end_s = self._end(row)
        tid = _REQUESTS + _lane(ends, row.t_issued_s, end_s)
        if tid > _REQUESTS:
            self._events.thread(pid, tid, f"requests ({tid - _REQUESTS + 1})")
        details = {
            "outcome": row.outcome,
            "step": int(row.step),
            "prompt tokens": int(row.prompt_tokens),
            "output tokens": int(row.output_tokens),
            "replica": int(row.replica),
            "GPU seconds": float(row.gpu_seconds),
        }
        self._events.span(pid, tid, f"request {row.request}: {row.outcome}", row.t_issued_s, end_s, details)
        sent_s = min(self._world.devices[device].connection.next_reachable(row.t_issued_s), end_s)
        phases = [("wait for the link", row.t_issued_s, sent_s), ("up link", sent_s, row.t_arrived_s)]
        phases += [("queue", row.t_arrived_s, row.t_started_s)]
        if math.isnan(row.t_first_token_s):
            phases += [("serve", row.t_started_s, row.t_finished_s)]
        else:
            phases += [
                ("prefill", row.t_started_s, row.t_first_token_s),
                ("decode", row.t_first_token_s, row.t_finished_s),
            ]
        if row.bytes_down:
            phases += [("down link", row.t_finished_s, row.t_delivered_s)]
        for name, start_s, until_s in phases:
            if not math.isnan(start_s) and start_s < end_s:
                until_s = end_s if math.isnan(until_s) else min(until_s, end_s)
                if until_s > start_s:
                    self._events.span(pid, tid, name, start_s, until_s, {})
        if lane is not None:
            there = _REPLICAS_FROM + int(row.replica)
            self._events.thread(there, _SERVED + lane, f"requests of traced devices ({lane + 1})")
            name = f"request {row.request} of device {device}"
            self._events.span(there, _SERVED + lane, name, row.t_started_s, self._served_until(row), details)
            stops = [(pid, tid, row.t_issued_s), (there, _SERVED + lane, row.t_started_s)]
            if row.outcome == "completed":
                stops.append((pid, tid, row.t_finished_s))
            self._events.flow(int(row.request), stops)

    def _end(self, row: Any) -> float:
        """When the device learnt what became of a request."""
        deadline_s = min(row.t_issued_s + self._world.requests.timeout_s, self._horizon_s)
        if not math.isnan(row.t_delivered_s):
            return float(row.t_delivered_s)
        at_once = row.outcome == "lost" and not row.bytes_up and self._world.devices[row.device].rules.fails_offline
        if at_once:
            return float(row.t_issued_s)
        if row.outcome in ("rejected", "lost") and not math.isnan(row.t_arrived_s) and not row.bytes_down:
            return float(row.t_arrived_s if math.isnan(row.t_finished_s) else row.t_finished_s)
        return self._horizon_s if row.outcome == "unfinished" else deadline_s


def _lane(ends: list[float], start_s: float, end_s: float) -> int:
    """The first lane that is free at `start_s`; it is taken until `end_s`."""
    for lane, until_s in enumerate(ends):
        if until_s <= start_s:
            ends[lane] = end_s
            return lane
    ends.append(end_s)
    return len(ends) - 1
