"""How well `rehearse` keeps its time: requests at random moments to an instant server in a process of its own.

    python benchmarks/rehearsal_rate.py [--rate 200] [--seconds 30] [--json]

The bar: of 200 requests a second from one process at most 1% are sent more than 20 ms late.
"""

import argparse
import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from fleetrec.models.llm.api_key import ApiKey
from fleetrec.models.llm.chat_parameters import ChatParameters
from fleetrec.simulator.experiments.rehearsal.sender import LATE_S, Due, Server, send

_PROMPT = "The Silver River (1994)\n" * 60


def measure(rate: float, seconds: float, seed: int = 1) -> dict[str, Any]:
    """What became of a Poisson stream of so many requests a second."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = Path(__file__).with_name("chat_server.py")
    server = subprocess.Popen([sys.executable, str(program), "--port", str(port)])
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        moments = np.cumsum(np.random.default_rng(seed).exponential(1 / rate, int(rate * seconds))).tolist()
        to = Server(f"http://127.0.0.1:{port}/v1", "m", ApiKey(""), ChatParameters(64, stream=True), 60.0)
        began_s = time.process_time()
        sent = send(to, [Due(at_s, _PROMPT, 64) for at_s in moments], 10_000, lambda number, one: None).sent
        used_s = time.process_time() - began_s
    finally:
        server.terminate()
        server.wait()
    lateness = np.array([one.sent_s - one.due_s for one in sent])
    return {
        "rate": rate,
        "requests": len(sent),
        "answered": sum(one.answer is not None for one in sent),
        "late_share": float((lateness > LATE_S).mean()),
        "late_ms": {f"p{p}": 1e3 * float(np.percentile(lateness, p)) for p in (50, 99, 100)},
        "cpu_share": used_s / moments[-1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = measure(arguments.rate, arguments.seconds)
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    late = found["late_ms"]
    print(f"{found['answered']:,} of {found['requests']:,} answered at {found['rate']:g}/s")
    print(f"sent more than {1e3 * LATE_S:g} ms late: {found['late_share']:.2%} (bar 1%)")
    print(f"late by {late['p50']:.2f} ms (p50), {late['p99']:.2f} (p99), {late['p100']:.2f} (most)")
    print(f"{found['cpu_share']:.0%} of a core")


if __name__ == "__main__":
    main()
