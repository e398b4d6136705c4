"""What the product survives: kill -9 at random moments, damaged caches, odd links and certificates, random input.

python benchmarks/faults.py [--kills 12] [--bad 10000] [--valid 1000] [--seed 1] [--parts kill,worker]

A command is run undisturbed, then killed and run again in its folder: it has to end with the undisturbed bytes, and no
finished run may be gone before. Caches are damaged file by file. The table that is printed stands in
docs/background/reliability.md.
"""

import argparse
import contextlib
import io
import os
import random
import shutil
import ssl
import subprocess
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pandas as pd
from disturbed import COMMANDS, Place, Row, digests, kills, other_bytes, ray_worker
from random_scenarios import nonsense, random_settings, spoilt_text, write_small

from fleetrec.models.llm.endpoint import Endpoint
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.simulator.preparation.candidates.endpoint import Endpoint as Section
from fleetrec.simulator.scenario import Scenario
from fleetrec.simulator.simulation import simulate


def damaged_caches(place: Place) -> Iterator[Row]:
    """Damage each file of what p5, a learned policy and a run on a table keep; the run has to have the same bytes."""
    table = place.root / "answers.parquet"
    rows = [(u, a, r, r) for u in range(80) for a in range(-1, 12) for r in range(10)]
    pd.DataFrame(rows, columns=["user_id", "as_of", "item_id", "rank"]).to_parquet(table)
    kinds = {
        "p5": "llm.candidates={kind: p5, dim: 8, layers: 1, heads: 1, max_length: 16, epochs: 1}",
        "learned policy": "policy.request={kind: learned}",
        "table": f"llm.candidates={{kind: table, path: {table}, missing: previous, max_invalid: 1}}",
    }
    for name, setting in kinds.items():
        yield _damaged(place, name, setting)


def _damaged(place: Place, name: str, setting: str) -> Row:
    """Flip a bit of each file of a cache, empty it, remove it, and simulate in this process."""
    row, cache = Row(f"file of a cache flipped by a bit, emptied, removed: {name}"), place.root / f"damaged-{name}"
    scenario = Scenario.load(place.root / "tiny.yaml", [setting])
    simulate(scenario, place.root / f"undamaged-{name}", store=ArtifactStore(cache))
    whole = digests(place.root / f"undamaged-{name}")
    for file in sorted(path for path in cache.rglob("*") if path.is_file() and not path.name.startswith(".")):
        for damage in (_flip, _empty, _remove):
            with tempfile.TemporaryDirectory(dir=place.root) as held:
                out, copy = Path(held) / "out", Path(held) / "cache"
                shutil.copytree(cache, copy)
                damage(copy / file.relative_to(cache))
                with contextlib.redirect_stderr(io.StringIO()):  # what is built again is said
                    problem = _tried(partial(simulate, scenario, out, store=ArtifactStore(copy)), f"{damage} {file}")
                row.add(problem or other_bytes(digests(out), whole))
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
        ("that has expired", own, True, False),
        ("that is good", own, True, True),
    ):
        pem = place.root / "server.pem"
        made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(pem), "-out", f"{pem}.crt"]
        subprocess.run([*made, *options], check=True, capture_output=True)
        if name == "that has expired":
            _let_expire(pem)
        os.environ["SSL_CERT_FILE"] = f"{pem}.crt" if trusted else os.devnull
        sent = _key_is_sent(pem, key)
        row.add(None if sent == good else f"a certificate {name}: the key was {'' if sent else 'not '}sent")
    return row


def _let_expire(pem: Path) -> None:
    """Sign a certificate anew, for no days from now."""
    again = ["openssl", "x509", "-in", f"{pem}.crt", "-signkey", str(pem), "-days", "0", "-out", f"{pem}.old"]
    subprocess.run(again, check=True, capture_output=True)
    os.replace(f"{pem}.old", f"{pem}.crt")
    time.sleep(1.1)


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
    section = Section.model_validate({**given, "retries": 0, "timeout": 5})
    with contextlib.suppress(InputError):
        list(Endpoint(section, NullProgress()).answers(["p"]))
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
        except Exception as error:  # whatever is no line for the user is a finding, and the rest is tried too
            row.add(f"{settings}: {type(error).__name__}: {str(error)[:200]}")
    return row


def _tried(read: Callable[[], object], what: str) -> str | None:
    try:
        read()
    except InputError as error:
        return None if "\n" not in str(error) and "\x1b" not in str(error) else f"{what}: more than a line"
    except Exception:  # whatever is no line for the user is a finding
        return f"{what}: {traceback.format_exc().splitlines()[-1]}"
    return None


def rows_of(part: str, place: Place, given: argparse.Namespace) -> Iterator[Row]:
    """The rows of one part."""
    draw = random.Random(given.seed)
    if part == "kill":
        for name in given.commands.split(","):
            for warm in (False, True) if name in ("simulate", "compare-policies") else (False,):
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
