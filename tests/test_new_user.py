"""A newcomer's way from a log of their own to a sentence in dollars a month: string ids, zones and junk rows, titles,
own answers by a table and by an endpoint, and the log of an own server. Every command is typed as the pages say.
"""

import json
import re
import shlex
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from fleetrec.cli import app
from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue
from fleetrec.simulator.cloud.hardware.memory import kv_blocks
from tests.independent.stepwise_node import Limits, Node, Request

ROOT = Path(__file__).parent.parent
KINDS = ("novel", "cookbook", "atlas", "diary", "lexicon", "fable")
COLOURS = ("red", "blue", "green", "white", "black", "golden", "silver", "violet", "amber", "ivory", "coral", "olive")
TITLES = {f"sku-{kind[:3]}-{colour}": f"The {colour} {kind}" for kind in KINDS for colour in COLOURS}
STRIDES = (1, 5, 7, 11, 13)  # along the shelf: what two items in a row tell, and one item does not, for a while
ZONES = (UTC, timezone(timedelta(hours=2)), timezone(timedelta(hours=-5)))


def write_log(folder: Path) -> None:
    """clicks.csv and titles.csv, as a shop would have them."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(60):
        place, pace, t = int(rng.integers(len(TITLES))), 1, datetime(2026, 3, 1, tzinfo=UTC)
        t += timedelta(hours=float(rng.uniform(0, 48)))
        for _ in range(20):
            pace = int(rng.choice(STRIDES)) if rng.random() < 0.25 else pace
            place = (place + pace) % len(TITLES)
            t += timedelta(minutes=float(rng.exponential(20 if rng.random() < 0.7 else 3000)))
            rows.append((t, f"anna.{user:02d}@shop", list(TITLES)[place], ZONES[user % 3]))
    lines = [f"{t.astimezone(zone).isoformat(timespec='seconds')},{u},{sku},9.99" for t, u, sku, zone in sorted(rows)]
    lines.insert(40, "yesterday,anna.03@shop,sku-nov-red,9.99")
    lines.insert(300, "2026-03-09T10:00:00+02:00,,sku-nov-red,9.99")
    (folder / "clicks.csv").write_text("\n".join(["when,customer,sku,price", *lines]) + "\n")
    table = [f"{sku},{title},{title.split()[-1]}" for sku, title in TITLES.items()]
    (folder / "titles.csv").write_text("\n".join(["sku,title,genre", *table]) + "\n")


def answer(prompt: str) -> list[str]:
    """What the newcomer's own LLM says: the shelf goes on at the user's pace, past what the user has had already."""
    shelf = list(TITLES.values())
    shown = [shelf.index(title) for title in re.findall(r"^\d+\. (.+)$", prompt, re.MULTILINE)]
    pace = (shown[-1] - shown[-2]) % len(shelf)
    ahead = dict.fromkeys((shown[-1] + pace * k) % len(shelf) for k in range(1, len(shelf)))
    return [shelf[place] for place in ahead][:20]


@pytest.fixture
def endpoint() -> Iterator[str]:
    """The address of a server that answers as OpenAI's does."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            prompt = asked["messages"][-1]["content"]
            message = {"role": "assistant", "content": "\n".join(answer(prompt))}
            choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
            usage = {
                "prompt_tokens": len(prompt) // 4,
                "completion_tokens": 100,
                "total_tokens": len(prompt) // 4 + 100,
            }
            body = json.dumps({"object": "chat.completion", "choices": choices, "usage": usage}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def write_server_log() -> None:
    """server.csv and meta.json: what a server of the newcomer's measured of itself."""
    model, gpu = default_catalogue().model("llama-3.1-8b"), default_catalogue().gpu("l4")
    rng = np.random.default_rng(1)
    arrivals = np.cumsum(rng.exponential(1.0, 100))
    requests = [Request(float(t), int(rng.integers(80, 200)), int(rng.integers(60, 140))) for t in arrivals]
    Node(model, gpu, Limits(kv_blocks(model, gpu), 2048)).serve(requests)
    rows = [(r.arrival_s, r.prompt, r.output, r.first_token_s, r.told_s) for r in requests]
    names = ["arrival_s", "prompt_tokens", "output_tokens", "first_token_s", "last_token_s"]
    pd.DataFrame(rows, columns=names).to_csv("server.csv", index=False)
    said = {"engine_kwargs": {"model": "meta-llama/Llama-3.1-8B", "async_scheduling": False}}
    Path("meta.json").write_text(json.dumps(said | {"hardware": {"device_name": "NVIDIA L4"}}))


def typed(command: str) -> str:
    """What `python cli.py COMMAND` prints; it must end well."""
    result = CliRunner().invoke(app, shlex.split(command))
    assert result.exit_code == 0, result.output
    return " ".join(result.stdout.split())


@pytest.mark.usefixtures("undrawn")
def test_a_newcomer_gets_from_a_log_to_a_sentence_in_dollars_a_month(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    write_log(tmp_path)

    described = typed("data describe clicks.csv --items titles.csv --on-error skip")
    for line in ("users 60", "items 72", "events 1,200", "clock absolute", "items with title 72", "rows skipped 2"):
        assert line in described

    mine = "--set workload.interactions='{path: clicks.csv, items: titles.csv, on_error: skip}'"
    scenario = f"{ROOT / 'scenarios' / 'own_log.yaml'} {mine} --set fleet.devices=20 --set srm.epochs=1"
    typed(f"prompts export {scenario} --out prompts.parquet")
    prompts = pd.read_parquet("prompts.parquet")
    sku = {title: label for label, title in TITLES.items()}
    rows = [
        (prompt.user_id, prompt.as_of, sku[title], rank, len(prompt.prompt) // 4, 100)
        for prompt in prompts.itertuples()
        for rank, title in enumerate(answer(prompt.prompt))
    ]
    names = ["user_id", "as_of", "item_id", "rank", "prompt_tokens", "output_tokens"]
    pd.DataFrame(rows, columns=names).to_parquet("my_llm.parquet")
    assert "no sign that as_of is off by one" in typed("data check-table my_llm.parquet clicks.csv --on-error skip")

    table = "--set llm.candidates='{kind: table, path: my_llm.parquet}'"
    typed(f"simulate {scenario} {table} --quiet --out by_table")
    asked = f"--set llm.candidates='{{kind: endpoint, url: \"{endpoint}\", model: mine, fill: none}}'"
    typed(f"simulate {scenario} {asked} --quiet --out by_endpoint")
    ranks, tokens = [], []
    for folder in ("by_table", "by_endpoint"):  # the same answers by two doors
        ranks.append(pd.read_parquet(f"{folder}/interactions.parquet")["rank"].tolist())
        requests = pd.read_parquet(f"{folder}/requests.parquet")
        tokens.append(requests[["prompt_tokens", "output_tokens"]].to_numpy().tolist())
        assert (requests.loc[requests["t_arrived_s"].notna(), "output_tokens"] == 100).all()
    assert ranks[0] == ranks[1]
    assert np.allclose(tokens[0], tokens[1], atol=1)  # an endpoint's prompts are counted by a measured rate
    assert set(pd.read_parquet("by_table/items.parquet")["item_id"]) == set(TITLES)

    write_server_log()
    fitted = json.loads(typed("calibrate server.csv --engine meta.json --out gpu_profile.yaml --json"))
    assert abs(fitted["in_sample"]["latency_mean"]) < 0.02
    cloud = "--set cloud.gpu=l4 --set cloud.engine=none --set cloud.profile=gpu_profile.yaml "
    cloud += "--set cloud.slo.p95_latency=10s"
    printed = typed(f"compare-policies {scenario} {table} {cloud} --out compared")
    sentence = printed.split("Shown for")[0]
    assert sentence.startswith(("Call", "Do not call", "No gain from calling is shown"))
    assert re.search(r"\$[\d,]+ a month \(95% .*\) and 100,000 phones", sentence)
    assert "SRM alone" in printed
    for said in (printed, Path("compared/report.html").read_text()):
        assert "not engagement" in said  # logged choices do not react to slates
