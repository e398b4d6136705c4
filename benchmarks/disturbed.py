"""Commands that are killed at random moments and run again in their folder; what is not survived is a problem.

Every process is a copy (fork) of this one, which has loaded all libraries before, so a run costs what it computes and
no imports. A moment is a share of the processor time of the undisturbed run: a busy machine does not move it.
"""

import hashlib
import multiprocessing
import os
import pkgutil
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import torch

from fleetrec import cli
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.reports.figures import background_drawing
from fleetrec.simulator.parallel import processes
from fleetrec.simulator.records.run_manifest import is_finished, read_manifest
from fleetrec.simulator.scenario import Scenario
from fleetrec.simulator.simulation import simulate

ROOT = Path(__file__).resolve().parents[1]
VARYING = ("timing.json", "timing.parquet", "study.db")
LONGEST_S = 900.0
TINY = """\
name: tiny
workload:
  synthetic: {users: 80, items: 30, events_per_user: 12, days: 1}
  split: {kind: per_user, last: 4, min_history: 3}
fleet: {devices: 6}
srm: {kind: gru4rec, dim: 8, layers: 1, max_length: 8, epochs: 1}
llm:
  candidates: {kind: item_lm, dim: 8, layers: 1, heads: 1, max_length: 8, epochs: 1}
  list_length: 10
  served_as: llama-3.1-8b
policy: {request: {kind: random, ratio: 0.3}}
engine: {threads: 1}
"""
SWEEP = "name: s\nbase: tiny.yaml\naxes: {policy.request.ratio: [0.1, 0.5]}\nseeds: [1, 2]\n"
REGIONS = "regions=[{name: a, share: 0.5}, {name: b, share: 0.5}]"
SHARDS = ["simulate", "tiny.yaml", "--set", REGIONS, "--shards", "2"]
COMMANDS = {
    "simulate": ["simulate", "tiny.yaml"],
    "compare-policies": ["compare-policies", "tiny.yaml"],
    "sweep": ["sweep", "sweep.yaml", "--jobs", "2"],
    "optimize": ["optimize", "tiny.yaml", "--trials", "4", "--batch", "2", "--jobs", "2", "--sampler", "tpe"],
    "shards": SHARDS,
    "Ray": [*SHARDS, "--engine", "ray"],
}
RESUMED = ("sweep", "optimize")
_TICKS = os.sysconf("SC_CLK_TCK")


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


class Running:
    """A command at work, the leader of a session of its own."""

    def __init__(self, command: Sequence[str], folder: Path, cache: Path, said: Path):
        """In `folder`; `said`: the file that its standard error goes to."""
        self.said, self.cpu_s = said, 0.0
        self.code: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            _become(command, folder, cache, said)

    def poll(self) -> int | None:
        """The exit code, once it has ended; then `cpu_s` are the processor seconds of it and its workers."""
        if self.code is None:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self.code, self.cpu_s = os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime
        return self.code

    def problem(self) -> str | None:
        """Wait; what is wrong with how it ends, None where it ends well."""
        until = time.monotonic() + LONGEST_S
        while self.poll() is None:
            if time.monotonic() > until:
                self.kill(all_of_it=True)
                return f"did not end within {LONGEST_S:g} s"
            time.sleep(0.02)
        said = self.said.read_text(encoding="utf-8", errors="replace").strip()
        if "Traceback" in said:
            return f"traceback: {said.splitlines()[-1][:200]}"
        return None if self.code == 0 else f"exit code {self.code}: {said[-200:]}"

    def kill(self, all_of_it: bool) -> None:
        """Kill the command and its workers, or the command alone, whose workers have to end by themselves."""
        with suppress(ProcessLookupError):
            (os.killpg if all_of_it else os.kill)(self.pid, signal.SIGKILL)
        while self.poll() is None:
            time.sleep(0.01)

    def killed_at(self, cpu_s: float, all_of_it: bool) -> bool:
        """Kill it once it has used so many processor seconds; False where it ends before."""
        while sum(time_of(stat) for stat in _stats().values() if _session(stat) == self.pid) < cpu_s:
            if self.poll() is not None:
                return False
            time.sleep(0.02)
        self.kill(all_of_it)
        return self.code == -signal.SIGKILL

    def leaves_nobody(self) -> bool:
        """Whether all processes of its session end soon."""
        until = time.monotonic() + 60
        while any(_session(stat) == self.pid for stat in _stats().values()):
            if time.monotonic() > until:
                return False
            time.sleep(0.05)
        return True


def _become(command: Sequence[str], folder: Path, cache: Path, said: Path) -> NoReturn:
    """Be the command line, in a copy of this process."""
    code: object = 1
    try:
        os.setsid()
        os.chdir(folder)
        os.environ["FLEETREC_CACHE"] = str(cache)
        for number, path in ((0, os.devnull), (1, os.devnull), (2, said)):
            os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)
        sys.argv = ["cli.py", *command]
        cli.main()
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 0)


def _stats() -> dict[int, list[str]]:
    """What Linux tells of every process that has not ended, by its id: from its state on."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                stat = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
                if stat[0] != "Z":
                    found[int(entry.name)] = stat
    return found


def time_of(stat: Sequence[str]) -> float:
    """Processor seconds of a process, and of those that it has waited for."""
    return sum(int(ticks) for ticks in stat[11:15]) / _TICKS


def _session(stat: Sequence[str]) -> int:
    return int(stat[3])


@dataclass(frozen=True)
class Whole:
    """What a command leaves that nothing disturbs."""

    files: dict[str, str]
    cold_s: float
    """processor seconds with an empty cache"""
    warm_s: float
    """with a full one"""


class Place:
    """A folder with the scenario, the sweep, caches, and the undisturbed results of each command."""

    def __init__(self, root: Path):
        self.root = root
        (root / "tiny.yaml").write_text(TINY, encoding="utf-8")
        (root / "sweep.yaml").write_text(SWEEP, encoding="utf-8")
        self._known: dict[str, Whole] = {}
        self._load()

    def _load(self) -> None:
        """All that commands and their workers would load themselves: they become copies of this process."""
        torch.set_num_threads(1)  # a copy of a process with more could not compute
        os.environ |= {"FLEETREC_CACHE": str(self.root / "loaded"), "PYTHONPATH": str(ROOT)}
        for part in ("models", "simulator", "reports", "commands"):
            for module in pkgutil.walk_packages([str(ROOT / part)], f"fleetrec.{part}."):
                import_module(module.name)
        processes.get_context = lambda _: multiprocessing.get_context("fork")  # type: ignore[attr-defined, assignment]
        background_drawing.load_beside = lambda module: None  # type: ignore[attr-defined]
        simulate(Scenario.load(self.root / "tiny.yaml"), store=ArtifactStore(self.root / "loaded"))

    def start(self, command: Sequence[str], out: Path, cache: Path) -> Running:
        """Begin a command."""
        return Running([*command, "--out", str(out), "--quiet"], self.root, cache, self.root / "said")

    def run(self, command: Sequence[str], out: Path, cache: Path) -> str | None:
        """What is wrong with how a command ends; None where it ends well."""
        return self.start(command, out, cache).problem()

    def undisturbed(self, name: str, *options: str) -> Whole:
        """The command with nothing that disturbs it; RuntimeError where it fails."""
        if name not in self._known:
            spent = []
            for folder in ("whole", "again"):
                command = [*COMMANDS[name], *options]
                running = self.start(command, self.root / f"{folder}-{name}", self.cache(name))
                problem = running.problem()
                if problem is not None:
                    raise RuntimeError(f"{name} fails undisturbed: {problem}")
                spent.append(running.cpu_s)
            files = digests(self.root / f"whole-{name}")
            if files != digests(self.root / f"again-{name}"):
                raise RuntimeError(f"{name} has other bytes when it is run again")
            self._known[name] = Whole(files, *spent)
        return self._known[name]

    def cache(self, name: str) -> Path:
        """The full cache of an undisturbed command."""
        return self.root / f"cache-{name}"


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a result by its path, but for wall-clock figures and what Optuna keeps."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in VARYING]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def _named(folder: Path) -> dict[str, str]:
    """The files of a finished run that its manifest names, as it has them."""
    manifest = read_manifest(folder)
    files = {} if manifest is None else manifest.files
    return {name: digest for name, digest in files.items() if digest is not None}


def other_bytes(found: dict[str, str], whole: dict[str, str]) -> str | None:
    """Which files differ, in words."""
    names = sorted({name for name, _ in set(found.items()) ^ set(whole.items())})
    return f"other bytes: {names[:3]}" if names else None


def kills(place: Place, name: str, warm: bool, times: int, draw: random.Random) -> Row:
    """Kill a command at moments drawn from its whole run, with its workers or alone, then run it again."""
    whole = place.undisturbed(name)
    row = Row(f"kill -9 at a random moment: {name}, {'warm' if warm else 'cold'} cache")
    while row.tried < times:
        with tempfile.TemporaryDirectory(dir=place.root) as held:
            out, cache = Path(held) / "out", Path(held) / "cache"
            if warm:
                shutil.copytree(place.cache(name), cache)
            running = place.start(COMMANDS[name], out, cache)
            moment_s = draw.random() * (whole.warm_s if warm else whole.cold_s)
            if running.killed_at(moment_s, all_of_it=draw.random() < 0.5):
                row.add(_after(place, name, running, out, cache, whole))
    return row


def _after(place: Place, name: str, killed: Running, out: Path, cache: Path, whole: Whole) -> str | None:
    """What is wrong after a command has been killed; None where running it again mends all."""
    if not killed.leaves_nobody():
        return "its workers go on without it"
    finished = {path.parent for path in out.rglob("summary.json") if is_finished(path.parent)}
    before = {folder: _named(folder) for folder in finished}
    resume = ["--resume"] if name in RESUMED and out.exists() else []
    problem = place.run([*COMMANDS[name], *resume], out, cache)
    if problem is None and any(not files.items() <= digests(folder).items() for folder, files in before.items()):
        problem = "a finished run has changed"
    return problem or other_bytes(digests(out), whole.files)


def ray_worker(place: Place, times: int, draw: random.Random) -> Row:
    """Kill a Ray worker at a moment of its work: the run goes on with another one, to the same bytes."""
    row = Row("kill -9 at a random moment: a Ray worker of a run in regions")
    with _cluster(place) as (head, address):
        options = ("--ray-address", address)
        whole, command = place.undisturbed("Ray", *options), [*COMMANDS["Ray"], *options]
        alone = place.start(command, place.root / "again-Ray", place.cache("Ray"))
        longest_s = 0.0
        while alone.poll() is None:
            longest_s = max(longest_s, sum(_actors(head).values()))
            time.sleep(0.05)
        while row.tried < times:
            with tempfile.TemporaryDirectory(dir=place.root) as held:
                out, moment_s = Path(held) / "out", draw.random() * longest_s
                victims: dict[int, float] = {}
                running = place.start(command, out, place.cache("Ray"))
                while running.poll() is None and (not victims or sum(victims.values()) < moment_s):
                    victims = _actors(head)
                    time.sleep(0.05)
                killed = running.poll() is None and _is_killed(draw.choice(sorted(victims)))
                problem = running.problem()
                if killed:
                    row.add(problem or other_bytes(digests(out), whole.files))
    return row


@contextmanager
def _cluster(place: Place) -> Iterator[tuple[int, str]]:
    """A Ray of this machine, as the process that heads it and its address: started once, since it takes long."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus=2"]
    command += [f"--port={port}", "--include-dashboard=false", "--disable-usage-stats"]
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_worker_niceness": "0"}
    environment, quiet = os.environ | {"FLEETREC_CACHE": str(place.cache("Ray"))}, subprocess.DEVNULL
    head = subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        while socket.socket().connect_ex(("127.0.0.1", port)):
            time.sleep(0.1)
        yield head.pid, f"127.0.0.1:{port}"
    finally:
        os.killpg(head.pid, signal.SIGTERM)
        head.wait()


def _is_killed(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _actors(leader: int) -> dict[int, float]:
    """Processor seconds of the Ray workers of regions below a process, by their id."""
    stats = _stats()

    def ancestors(pid: int) -> Iterator[int]:
        while pid in stats:
            yield pid
            pid = int(stats[pid][1])

    return {
        pid: time_of(stat)
        for pid, stat in stats.items()
        if leader in ancestors(pid) and "RegionActor" in _command_of(pid)
    }


def _command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""
