"""Events of a timeline in Google's Trace Event Format, as chrome://tracing and ui.perfetto.dev read it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def nanoseconds(t_s: float) -> int:
    """A time to the nanosecond, so that what touches still touches after rounding."""
    return round(t_s * 1e9)


class Events:
    """Collects events; `save` writes them in time order, outer spans before those inside them."""

    def __init__(self) -> None:
        self._events: list[tuple[int, int, dict[str, Any]]] = []  # time, minus its length, the event
        self._named: dict[tuple[int, int], str] = {}
        self._processes: dict[int, str] = {}

    def process(self, pid: int, name: str, threads: Mapping[int, str]) -> None:
        """Names a process and its threads."""
        self._processes[pid] = name
        for tid, thread in threads.items():
            self.thread(pid, tid, thread)

    def thread(self, pid: int, tid: int, name: str) -> None:
        """Names a thread."""
        self._named[pid, tid] = name

    def span(self, pid: int, tid: int, name: str, start_s: float, end_s: float, args: Mapping[str, Any]) -> None:
        """Something that lasts. Spans of a thread lie beside or inside each other."""
        start, end = nanoseconds(start_s), nanoseconds(end_s)
        self._add(start, end - start, {"ph": "X", "pid": pid, "tid": tid, "name": name}, args)

    def instant(self, pid: int, tid: int, name: str, at_s: float, args: Mapping[str, Any]) -> None:
        """Something that happens."""
        self._add(nanoseconds(at_s), None, {"ph": "i", "s": "t", "pid": pid, "tid": tid, "name": name}, args)

    def counter(self, pid: int, name: str, at_s: float, values: Mapping[str, int]) -> None:
        """Numbers that hold from now on."""
        self._add(nanoseconds(at_s), None, {"ph": "C", "pid": pid, "name": name}, values)

    def flow(self, number: int, stops: Sequence[tuple[int, int, float]]) -> None:
        """An arrow through spans: (pid, tid, a time in the span) of each, in time order."""
        last = len(stops) - 1
        for place, (pid, tid, at_s) in enumerate(stops):
            phase = "s" if place == 0 else "f" if place == last else "t"
            event = {"ph": phase, "id": number, "cat": "request", "pid": pid, "tid": tid, "name": "request"}
            self._add(nanoseconds(at_s), None, event | ({"bp": "e"} if phase != "s" else {}), {})

    def _add(self, at: int, length: int | None, event: dict[str, Any], args: Mapping[str, Any]) -> None:
        event |= {"ts": at / 1000, "args": dict(args)}
        if length is not None:
            event["dur"] = length / 1000
        self._events.append((at, -(length or 0), event))

    def save(self, path: Path, others: Mapping[str, Any]) -> None:
        """Write the file; `others` are told to a reader beside the events."""
        names = [_name(pid, 0, "process_name", name) for pid, name in self._processes.items()]
        names += [_name(pid, tid, "thread_name", name) for (pid, tid), name in self._named.items()]
        self._events.sort(key=lambda event: event[:2])
        with path.open("w", encoding="utf-8") as file:
            file.write('{"displayTimeUnit": "ms", "otherData": ' + json.dumps(others) + ', "traceEvents": [\n')
            file.write(",\n".join(json.dumps(event) for event in [*names, *(event for _, _, event in self._events)]))
            file.write("\n]}\n")


def _name(pid: int, tid: int, what: str, name: str) -> dict[str, Any]:
    return {"ph": "M", "pid": pid, "tid": tid, "name": what, "args": {"name": name}}
