"""Results of load tests: what each tool writes of its requests.

vLLM's `bench serve` and SGLang's `bench_serving` write a list for each thing (with --save-detailed, --output-details),
guidellm benchmarks with their requests, genai-perf experiments with time stamps of every response, AIPerf a line a
request. What a tool leaves out (genai-perf the tokens, SGLang when requests of a finite rate were sent) cannot be had
from its file.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from heapq import heapreplace
from itertools import pairwise
from typing import Any

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.request_files.forms import Request
from fleetrec.simulator.scenario.text_files import number

_NAN = float("nan")
_LISTS = ("input_lens", "output_lens", "ttfts", "itls")
_STARTS = ("start_times", "arrival_times")  # vLLM's, SGLang's
_SCALES = {"s": 1.0, "sec": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}

Rows = Iterator[Request | None]
"""None for a request that failed"""


def result_rows(result: Mapping[str, Any], where: str) -> Rows | None:
    """The requests in an object that a tool wrote, or None where it is no such object. InputError where it does not
    say of each request what is needed."""
    if is_line(result):
        return _aiperf(result, where)
    for key, rows in _TOOLS.items():
        if key in result:
            return rows(result, where)
    if any(key in result for key in ("mean_ttft_ms", "request_throughput", "mean_e2e_latency_ms")):
        raise InputError(
            f"{where}: holds means of a run, and not its requests; run the load test again with --save-detailed (vllm "
            "bench serve) or --output-details (SGLang), or give AIPerf's profile_export.jsonl"
        )
    return None


def is_line(result: Mapping[str, Any]) -> bool:
    """Whether it is one request of many, of AIPerf."""
    return "metrics" in result and "request_start_ns" in (result.get("metadata") or ())


def _numbered(value: Any, where: str) -> float:
    if value is None or isinstance(value, bool):
        raise InputError(f"{where}: expected a number, got {value}; mend or remove the row")
    return number(str(value), where)


def _lists(result: Mapping[str, Any], where: str) -> Rows:
    """vLLM's and SGLang's: a list for each thing. Requests that are not said to have been sent at a moment were sent at
    once where the rate has no end, or one as soon as another ends, where so many may run."""
    told = next((name for name in _STARTS if isinstance(result.get(name), list)), None)
    lists = {name: result[name] for name in (*_LISTS, *([told] if told else [])) if isinstance(result.get(name), list)}
    lacking = [name for name in _LISTS if name not in lists]
    if lacking or len({len(values) for values in lists.values()}) != 1:
        held = ", ".join(f"{len(values)} {name}" for name, values in lists.items())
        held = f"no list {lacking[0]}" if lacking else held
        raise InputError(f"{where}: holds {held}; give the file as the load test wrote it, with all details")
    errors = result.get("errors") or []
    failed = [bool(i < len(errors) and errors[i]) or not output for i, output in enumerate(lists["output_lens"])]
    running = [] if told else _running(result, len(failed), any(failed), where)
    for i, (prompt, output, ttft, itl) in enumerate(zip(*(lists[name] for name in _LISTS), strict=True)):
        here = f"{where}: request {i + 1}"
        if failed[i]:
            yield None
            continue
        sent = _numbered(lists[told][i], f"{here}: {told}") if told else running[0]
        first = sent + _numbered(ttft, f"{here}: ttfts")
        gaps = [_numbered(gap, f"{here}: itls") for gap in (itl if isinstance(itl, list) else [itl])]
        read, written = _numbered(prompt, f"{here}: input_lens"), _numbered(output, f"{here}: output_lens")
        if running:
            heapreplace(running, first + sum(gaps))
        yield Request(i + 1, sent, read, written, first=first, last=first + sum(gaps), gaps=tuple(gaps))


def _running(result: Mapping[str, Any], requests: int, failed: bool, where: str) -> list[float]:
    """When each of the requests that may run at once is over: at first now. InputError where they came at a rate, or
    one that failed held its place for a time that nobody knows."""
    most = result.get("max_concurrency")
    if result.get("request_rate") not in ("inf", math.inf) or not (
        most is None or (isinstance(most, int) and most > 0)
    ):
        raise InputError(
            f"{where}: does not say when requests were sent (no start_times): vllm bench serve writes them with "
            "--save-detailed in its newer versions; SGLang's bench_serving does not, so run it with --request-rate "
            "inf, whose times follow from the answers', or give the server's own request metrics, as JSON lines"
        )
    if most is not None and failed:
        raise InputError(
            f"{where}: some requests failed, and for how long each of them held a place of max_concurrency {most} is "
            "not told, so when others were sent is not either; run the load test again"
        )
    return [0.0] * (requests if most is None else min(most, requests))


def _guidellm(result: Mapping[str, Any], where: str) -> Rows:
    """guidellm's: benchmarks one after the other at the same server, read as one log."""
    row = 0
    for n, benchmark in enumerate(_list(result["benchmarks"], where), start=1):
        requests = benchmark.get("requests") if isinstance(benchmark, Mapping) else None
        if not isinstance(requests, Mapping) or not isinstance(requests.get("successful"), list):
            raise InputError(f"{where}: benchmark {n} holds no requests; give guidellm's benchmarks.json")
        kept, metrics = len(requests["successful"]), benchmark.get("metrics") or {}
        made = ((metrics.get("request_totals") or {}) if isinstance(metrics, Mapping) else {}).get("successful", kept)
        if isinstance(made, int) and made > kept:
            raise InputError(
                f"{where}: benchmark {n} holds {kept} of its {made} requests; run guidellm without a limit on samples"
            )
        yield from [None] * sum(len(requests.get(name) or []) for name in ("incomplete", "errored"))
        for request in requests["successful"]:
            row += 1
            yield _of_guidellm(request, row, f"{where}: request {row}")


def _of_guidellm(request: Any, row: int, where: str) -> Request:
    if not isinstance(request, Mapping):
        raise InputError(f"{where}: not an object; mend or remove it")
    info = request.get("info") or {}
    timings = (info.get("timings") if isinstance(info, Mapping) else None) or {}

    def one(*values: Any) -> Any:
        return next((value for value in values if value is not None), None)

    sent = _numbered(one(request.get("request_start_time"), request.get("start_time")), f"{where}: request_start_time")
    end = one(request.get("request_end_time"), request.get("end_time"))
    ttft = request.get("time_to_first_token_ms")
    first = one(
        timings.get("first_token_iteration"),
        request.get("first_token_time"),
        None if ttft is None else sent + _numbered(ttft, f"{where}: time_to_first_token_ms") / 1e3,
    )
    last = one(timings.get("last_token_iteration"), request.get("last_token_time"), end)
    read, written = (_numbered(request.get(key), f"{where}: {key}") for key in ("prompt_tokens", "output_tokens"))
    times = [_NAN if time is None else _numbered(time, f"{where}: a token's time") for time in (first, last)]
    return Request(row, sent, read, written, first=times[0], last=times[1])


def _genai_perf(result: Mapping[str, Any], where: str) -> Rows:
    """genai-perf's (of perf_analyzer): times in nanoseconds; tokens only where the server's usage is in a response."""
    row = 0
    for experiment in _list(result["experiments"], where):
        requests = experiment.get("requests") if isinstance(experiment, Mapping) else None
        for request in _list(requests, where):
            row += 1
            here = f"{where}: request {row}"
            if not isinstance(request, Mapping):
                raise InputError(f"{here}: not an object; mend or remove it")
            times = _list(request.get("response_timestamps"), here)
            if not times:
                yield None
                continue
            usage = _usage(request.get("response_outputs") or [])
            if usage is None:
                raise InputError(
                    f"{here}: no count of tokens, which genai-perf writes only where the server tells it: ask for "
                    '--extra-inputs \'{"stream_options": {"include_usage": true}}\', or give AIPerf\'s '
                    "profile_export.jsonl"
                )
            read, written = (
                _numbered(usage.get(key), f"{here}: {key}") for key in ("prompt_tokens", "completion_tokens")
            )
            sent, *came = (_nanoseconds(time, here) for time in (request.get("timestamp"), *times))
            gaps = tuple(then - before for before, then in pairwise(came))
            yield Request(row, sent, read, written, first=came[0], last=came[-1], gaps=gaps)


def _usage(responses: Any) -> Mapping[str, Any] | None:
    """The server's count of tokens in one of the events of an answer."""
    for response in reversed(responses if isinstance(responses, list) else []):
        text = str(response.get("response", "")) if isinstance(response, Mapping) else ""
        for line in reversed(text.splitlines()):
            try:
                event = json.loads(line.removeprefix("data:").strip())
            except ValueError:
                continue
            if isinstance(event, Mapping) and isinstance(event.get("usage"), Mapping):
                return dict(event["usage"])
    return None


def _nanoseconds(value: Any, where: str) -> float:
    time = _numbered(value, where)
    return int(value) // 10**9 + int(value) % 10**9 / 1e9 if isinstance(value, int) else time / 1e9


def _aiperf(result: Mapping[str, Any], where: str) -> Rows:
    """A line of AIPerf's profile_export.jsonl."""
    told, metrics = result["metadata"], result["metrics"] or {}
    if result.get("error") or told.get("was_cancelled"):
        yield None
        return
    sent = _nanoseconds(told.get("request_start_ns"), f"{where}: request_start_ns")

    def metric(name: str) -> tuple[float, str]:
        held = metrics.get(name)
        value, unit = (held.get("value"), held.get("unit")) if isinstance(held, Mapping) else (held, None)
        return _numbered(value, f"{where}: {name}"), str(unit)

    ttft, unit = metric("time_to_first_token")
    if unit not in _SCALES:
        raise InputError(f"{where}: time_to_first_token has the unit {unit!r}; one of {', '.join(_SCALES)} is read")
    end = _nanoseconds(told.get("request_end_ns"), f"{where}: request_end_ns")
    read, written = (metric(f"{what}_sequence_length")[0] for what in ("input", "output"))
    yield Request(1, sent, read, written, first=sent + ttft * _SCALES[unit], last=end)


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise InputError(f"{where}: a list is expected where a load test lists its requests; give the file it wrote")
    return value


def _statistics(result: Mapping[str, Any], where: str) -> Rows:
    raise InputError(
        f"{where}: holds statistics of a run, and not its requests; give genai-perf's profile_export.json, or AIPerf's "
        "profile_export.jsonl"
    )


_TOOLS: dict[str, Callable[[Mapping[str, Any], str], Rows]] = {
    "input_lens": _lists,
    "benchmarks": _guidellm,
    "experiments": _genai_perf,
    "input_config": _statistics,
}
