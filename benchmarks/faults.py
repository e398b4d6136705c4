"""What the product survives: kill -9 at random moments, damaged caches, odd links and certificates, random input.

python benchmarks/faults.py [--kills 12] [--bad 10000] [--valid 1000] [--seed 1] [--parts kill,worker]

Each command is run undisturbed, then killed and run again in its folder: it has to end with the undisturbed bytes, and
no finished run may be gone before. The table that is printed stands in docs/background/reliability.md.
"""

import argparse
import hashlib
import os
import random
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
from random_scenarios import nonsense, random_settings, spoilt_text, write_small

from fleetrec.models.llm.endpoint import Endpoint
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.simulator.records.run_manifest import is_finished, read_manifest
from fleetrec.simulator.scenario import Scenario, sections
from fleetrec.simulator.simulation import simulate

ROOT = Path(__file__).resolve().parents[1]
VARYING = ("timing.json", "timing.parquet", "study.db")
LONGEST_S = 600.0
SWEEP = "name: s\nbase: random.yaml\naxes: {policy.request.ratio: [0.1, 0.5]}\nseeds: [1, 2]\n"
REGIONS = "regions=[{name: a, share: 0.5}, {name: b, share: 0.5}]"
COMMANDS = {
    "simulate": ["simulate", "random.yaml"],
    "compare-policies": ["compare-policies", "random.yaml"],
    "sweep": ["sweep", "sweep.yaml", "--jobs", "2"],
    "optimize": ["optimize", "random.yaml", "--trials", "4", "--batch", "2", "--jobs", "2", "--sampler", "tpe"],
    "shards": ["simulate", "random.yaml", "--set", REGIONS, "--shards", "2"],
    "Ray worker": ["simulate", "random.yaml", "--set", REGIONS, "--shards", "2", "--engine", "ray"],
}
RESUMED = ("sweep", "optimize")


@dataclass
class Row:
    """One line of the table: how often something was tried, and what was wrong where it was not survived."""

    what: str
    tried: int = 0
    problems: list[str] = field(default_factory=list)

    def add(self, problem: str | None) -> None:
        """Count a trial."""
        self.tried += 1
        if problem is not None:
            self.problems.append(problem)
            print(f"{self.what}: {problem}", file=sys.stderr, flush=True)


class Place:
    """A folder with the scenario, the sweep, a cache, and the undisturbed results of each command."""

    def __init__(self, root: Path):
        self.root = root
        write_small(root)
        (root / "sweep.yaml").write_text(SWEEP, encoding="utf-8")
        self._known: dict[str, tuple[dict[str, str], float]] = {}

    def start(self, command: list[str], out: Path, cache: Path) -> subprocess.Popen[str]:
        """Begin a command in a session of its own."""
        environment = {**os.environ, "FLEETREC_CACHE": str(cache), "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(
            [sys.executable, str(ROOT / "cli.py"), *command, "--out", str(out), "--quiet"],
            cwd=self.root,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )

    def run(self, command: list[str], out: Path, cache: Path) -> str | None:
        """What is wrong with how a command ends; None where it ends well."""
        process = self.start(command, out, cache)
        try:
            _, said = process.communicate(timeout=LONGEST_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return f"did not end within {LONGEST_S:g} s"
        if "Traceback" in said:
            return f"traceback: {said.strip().splitlines()[-1][:200]}"
        return None if process.returncode == 0 else f"exit code {process.returncode}: {said.strip()[-200:]}"

    def undisturbed(self, name: str) -> tuple[dict[str, str], float]:
        """The files of a command that nothing disturbs, and the seconds that it takes with a warm cache."""
        if name not in self._known:
            out, cache = self.root / f"whole-{name}", self.root / f"cache-{name}"
            problem = self.run(COMMANDS[name], out, cache)
            if problem is not None:
                raise RuntimeError(f"{name} fails undisturbed: {problem}")
            started = time.monotonic()
            self.run(COMMANDS[name], self.root / "again", cache)
            self._known[name] = digests(out), time.monotonic() - started
            shutil.rmtree(self.root / "again")
        return self._known[name]


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a result by its path, but for wall-clock figures and what Optuna keeps."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in VARYING]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def _named(folder: Path) -> dict[str, str]:
    """The files of a finished run that its manifest names, as it has them."""
    manifest = read_manifest(folder)
    files = {} if manifest is None else manifest.files
    return {name: digest for name, digest in files.items() if digest is not None}


def kills(place: Place, name: str, warm: bool, times: int, draw: random.Random) -> Row:
    """Kill all processes of a command at random moments, then run it again in its folder."""
    whole, took_s = place.undisturbed(name)
    row = Row(f"kill -9: {name}, {'warm' if warm else 'cold'} cache")
    for _ in range(times):
        with tempfile.TemporaryDirectory(dir=place.root) as held:
            out, cache = Path(held) / "out", Path(held) / "cache"
            if warm:
                shutil.copytree(place.root / f"cache-{name}", cache)
            process = place.start(COMMANDS[name], out, cache)
            try:
                process.wait(draw.uniform(0.2, 1.0) * took_s * (1.0 if warm else 1.5))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            finished = {path.parent for path in out.rglob("summary.json") if is_finished(path.parent)}
            before = {folder: _named(folder) for folder in finished}
            resume = ["--resume"] if name in RESUMED and out.exists() else []
            problem = place.run([*COMMANDS[name], *resume], out, cache)
            if problem is None and any(
                not files.items() <= digests(folder).items() for folder, files in before.items()
            ):
                problem = "a finished run has changed"
            if problem is None and digests(out) != whole:
                problem = f"other bytes: {sorted(set(digests(out).items()) ^ set(whole.items()))[:2]}"
            row.add(problem)
    return row


def ray_worker(place: Place, times: int, draw: random.Random) -> Row:
    """Kill a Ray worker at work: the run is told of, and runs whole afterwards."""
    name = "Ray worker"
    whole, took_s = place.undisturbed(name)
    row = Row("kill -9: a Ray worker of a run in regions")
    for _ in range(times):
        with tempfile.TemporaryDirectory(dir=place.root) as held:
            out, cache = Path(held) / "out", place.root / f"cache-{name}"
            process = place.start(COMMANDS[name], out, cache)
            until = time.monotonic() + took_s * draw.uniform(0.5, 0.9)
            while time.monotonic() < until and process.poll() is None:
                time.sleep(0.05)
            victims = [pid for pid in _session(process.pid) if "RegionActor" in _command_of(pid)]
            for pid in victims[:1]:
                os.kill(pid, signal.SIGKILL)
            try:
                _, said = process.communicate(timeout=LONGEST_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                row.add("did not end")
                continue
            problem = "traceback" if "Traceback" in said else None
            problem = problem or place.run(COMMANDS[name], out, cache)
            row.add(problem or (None if digests(out) == whole else "other bytes"))
    return row


def _session(leader: int) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if os.getsid(int(entry.name)) == leader:
                    yield int(entry.name)
            except OSError:
                continue


def _command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""


def damaged_caches(place: Place) -> list[Row]:
    """Damage each file of what p5, a learned policy and a run on a table keep; the run has to have the same bytes."""
    table = place.root / "answers.parquet"
    rows = [(u, a, r, r) for u in range(40) for a in range(-1, 60) for r in range(20)]
    pd.DataFrame(rows, columns=["user_id", "as_of", "item_id", "rank"]).to_parquet(table)
    kinds = {
        "p5": "llm.candidates={kind: p5, dim: 16, layers: 1, heads: 2, max_length: 20, epochs: 1}",
        "learned policy": "policy.request={kind: learned}",
        "table": f"llm.candidates={{kind: table, path: {table}, missing: previous, max_invalid: 1}}",
    }
    return [_damaged(place, name, setting) for name, setting in kinds.items()]


def _damaged(place: Place, name: str, setting: str) -> Row:
    row, whole, cache = Row(f"damaged cache: {name}"), place.root / f"d-{name[:2]}", place.root / f"dc-{name[:2]}"
    command = ["simulate", "random.yaml", "--set", setting]
    problem = place.run(command, whole, cache)
    if problem is not None:
        row.add(f"fails undisturbed: {problem}")
        return row
    for file in sorted(path for path in cache.rglob("*") if path.is_file() and not path.name.startswith(".")):
        for damage in (_flip, _empty, _remove):
            with tempfile.TemporaryDirectory(dir=place.root) as held:
                copy = Path(held) / "cache"
                shutil.copytree(cache, copy)
                damage(copy / file.relative_to(cache))
                problem = place.run(command, Path(held) / "out", copy)
                row.add(problem or (None if digests(Path(held) / "out") == digests(whole) else f"other bytes: {file}"))
    return row


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes() or b"\0")
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _remove(path: Path) -> None:
    path.unlink()


def links(place: Place) -> Row:
    """Symbolic links in the cache and in the folders of runs: what they lead to, and no run wrote, stays as it is."""
    row, cache = Row("symbolic links in cache and runs folders"), place.root / "links-cache"
    mine = place.root / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("mine")
    (place.root / "real-cache").mkdir()
    cache.symlink_to(place.root / "real-cache")
    (place.root / "real-out").mkdir()
    out = place.root / "links-out"
    out.symlink_to(place.root / "real-out")
    command = COMMANDS["simulate"]
    row.add(place.run(command, out, cache))
    whole = digests(out)
    (out / "summary.json").unlink()
    (out / "summary.json").symlink_to(mine / "notes.txt")
    row.add(place.run(command, out, cache))
    row.add(None if digests(out) == whole else "other bytes through a link")
    for name in ("figures", "parts"):
        held = place.root / f"links-{name}"
        held.mkdir()
        (held / "run.json").write_text("{}") if name == "figures" else None
        (held / name).symlink_to(mine)
        place.run(command, held, cache)
    kept = [path.read_text() for path in mine.glob("notes.txt")] == ["mine"]
    row.add(None if kept else "a file that no run wrote has changed")
    broken = place.root / "broken"
    broken.symlink_to(place.root / "nowhere" / "at-all")
    problem = place.run(command, broken, cache)
    row.add(problem if problem is not None and problem.startswith("traceback") else None)
    return row


def certificates(place: Place) -> Row:
    """Servers whose TLS certificate is no good get no key: one that nobody trusts, a trusted one of another host."""
    row, key = Row("invalid TLS certificates"), "sk-" + "0123456789abcdef" * 3
    os.environ["FAULTS_KEY"] = key
    own = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    for name, options, trusted, good in (
        ("of nobody's trust", own, False, False),
        ("of another host", ["-subj", "/CN=elsewhere.example"], True, False),
        ("that is good", own, True, True),
    ):
        pem = place.root / "server.pem"
        made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(pem), "-out", f"{pem}.crt"]
        subprocess.run([*made, *options], check=True, capture_output=True)
        os.environ["SSL_CERT_FILE"] = f"{pem}.crt" if trusted else os.devnull
        sent = _key_is_sent(pem, key)
        row.add(None if sent == good else f"a certificate {name}: the key was {'' if sent else 'not '}sent")
    return row


def _key_is_sent(pem: Path, key: str) -> bool:
    """Whether an endpoint with this certificate is given the key."""
    heard: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(str(self.headers["Authorization"]))
            self.send_response(400)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Silence."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{pem}.crt", pem)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    given = {"url": f"https://127.0.0.1:{server.server_port}/v1", "model": "m", "key_variable": "FAULTS_KEY"}
    section = sections.Endpoint.model_validate({**given, "retries": 0, "timeout": 5})
    nobody = np.zeros(1, dtype=np.int64)
    with suppress(InputError):
        Endpoint(section, NullProgress()).answers(["p"], nobody, nobody)
    server.shutdown()
    return any(key in words for words in heard)


def bad_input(place: Place, times: int, seed: int) -> Row:
    """Spoilt scenarios: a scenario, or one line."""
    row, path = Row("spoilt scenarios read"), place.root / "spoilt.yaml"
    for number in range(times):
        path.write_text(spoilt_text(seed * 1_000_000 + number), encoding="utf-8")
        row.add(_tried(lambda: Scenario.load(path), f"spoilt_text({seed * 1_000_000 + number})"))
    return row


def valid_input(place: Place, times: int, seed: int) -> Row:
    """Random valid scenarios, simulated in this process."""
    row, store, number = Row("random valid scenarios simulated"), ArtifactStore(place.root / "cache-valid"), 0
    file = write_small(place.root)
    while row.tried < times:
        number += 1
        settings = random_settings(seed * 1_000_000 + number)
        try:
            scenario = Scenario.load(file, settings)
            found = nonsense(simulate(scenario, store=store))
            row.add(f"{settings}: {found[:3]}" if found else None)
        except InputError:
            continue  # no valid one
        except Exception as error:
            row.add(f"{settings}: {type(error).__name__}: {str(error)[:200]}")
    return row


def _tried(read: Callable[[], object], what: str) -> str | None:
    try:
        read()
    except InputError as error:
        return None if "\n" not in str(error) and "\x1b" not in str(error) else f"{what}: more than a line"
    except Exception:
        return f"{what}: {traceback.format_exc().splitlines()[-1]}"
    return None


def rows_of(part: str, place: Place, given: argparse.Namespace) -> Iterator[Row]:
    """The rows of one part."""
    draw = random.Random(given.seed)
    if part == "kill":
        for name in given.commands.split(","):
            for warm in (False, True) if name == "simulate" else (False,):
                yield kills(place, name, warm, given.kills, draw)
    elif part == "worker":
        yield ray_worker(place, given.kills, draw)
    elif part == "cache":
        yield from damaged_caches(place)
    elif part == "links":
        yield links(place)
    elif part == "tls":
        yield certificates(place)
    elif part == "bad":
        yield bad_input(place, given.bad, given.seed)
    else:
        yield valid_input(place, given.valid, given.seed)


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--kills", type=int, default=12, help="of each command")
    arguments.add_argument("--bad", type=int, default=10_000, help="spoilt scenarios")
    arguments.add_argument("--valid", type=int, default=1000, help="valid scenarios to simulate")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--commands", default="simulate,compare-policies,sweep,optimize,shards", help="to kill")
    arguments.add_argument("--parts", default="kill,worker,cache,links,tls,bad,valid")
    given = arguments.parse_args()
    print("| what | tried | survived |\n|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as held:
        place = Place(Path(held))
        for part in given.parts.split(","):
            for row in rows_of(part, place, given):
                print(f"| {row.what} | {row.tried:,} | {row.tried - len(row.problems):,} |", flush=True)


if __name__ == "__main__":
    main()
