"""`evaluate` and `prompts export` on logs small enough to work out by hand."""

import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from fleetrec import Scenario, cli, simulate
from fleetrec.models.llm.titles import Answer
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.reports.terminal.logs import print_evaluation
from fleetrec.reports.terminal.parts import console_for
from fleetrec.simulator.evaluation import evaluate, recognise
from fleetrec.simulator.preparation.candidates.endpoint import Endpoint
from fleetrec.simulator.preparation.candidates.item_lm import ItemLm
from fleetrec.simulator.preparation.prompt_export import export_prompts
from fleetrec.simulator.scenario.inputs import PreparationInputs
from fleetrec.simulator.workload.splitting import leave_one_out
from tests.simulator.workload.logs import make_log
from tests.small import noted

USERS, LENGTH, ITEMS = 40, 6, 20
BASE = """
name: circle
workload:
  interactions: {{path: {folder}/log.csv, items: {folder}/items.csv}}
  split: {{kind: per_user, last: 2, min_history: 3}}
  arrivals: {{kind: poisson, per_day: 20}}
srm: {{kind: gru4rec, dim: 8, layers: 1, max_length: 10, epochs: 0}}
llm: {{list_length: 6, served_as: llama-3.1-8b}}
metrics: {{k: [2, 5]}}
engine: {{threads: 1}}
"""


@pytest.fixture
def circle(tmp_path: Path) -> Path:
    """Every user walks the circle of items from a start of its own; one user has two events only."""
    events = [(f"u{user}", f"i{(user + step) % ITEMS}", 60 * step) for user in range(USERS) for step in range(LENGTH)]
    events += [("short", "i0", 0), ("short", "i1", 60)]
    pd.DataFrame(events, columns=["user_id", "item_id", "timestamp"]).to_csv(tmp_path / "log.csv", index=False)
    names = pd.DataFrame({"item_id": [f"i{n}" for n in range(ITEMS)], "title": [f"Film {n}" for n in range(ITEMS)]})
    names.assign(attributes="").to_csv(tmp_path / "items.csv", index=False)
    (tmp_path / "circle.yaml").write_text(BASE.format(folder=tmp_path), encoding="utf-8")
    return tmp_path / "circle.yaml"


def table_at(circle: Path, place: int) -> str:
    """A table whose lists hold every user's last item at `place` (0-based), after items that nobody is to have next."""
    rows = []
    for user in range(USERS):
        wrong = [(user + LENGTH + 1 + n) % ITEMS for n in range(6)]
        wrong.insert(place, (user + LENGTH - 1) % ITEMS)
        rows += [(f"u{user}", LENGTH - 2, f"i{item}", rank) for rank, item in enumerate(wrong[:6])]
    path = circle.parent / f"table{place}.parquet"
    pd.DataFrame(rows, columns=["user_id", "as_of", "item_id", "rank"]).to_parquet(path)
    return f"llm.candidates={{kind: table, path: {path}}}"


def test_each_users_last_event_tests_the_one_before_validates_and_short_users_are_only_learnt_from() -> None:
    log = make_log([[1.0, 2.0, 3.0, 4.0], [1.0, 2.0], [5.0, 6.0, 7.0]])
    split, data = leave_one_out(log)
    assert split.streamed.tolist() == [True, False, True]
    assert split.history.tolist() == [3, 2, 2]
    assert data.fit_end.tolist() == [2, 2, 1]
    assert data.valid_end.tolist() == [3, 2, 2]


def test_the_llms_figures_follow_from_the_place_of_the_last_item_in_its_lists(circle: Path) -> None:
    store = ArtifactStore(circle.parent / "store")
    for place in (0, 3, 7):
        found = evaluate(Scenario.load(circle, [table_at(circle, place)]), store=store)
        assert found["users"] == USERS
        for k in (2, 5, 10):
            hit = float(place < min(k, 6))
            assert found["llm"][f"hr@{k}"] == hit
            assert found["llm"][f"ndcg@{k}"] == pytest.approx(hit / math.log2(place + 2), abs=1e-6)
            assert found["llm"][f"mrr@{k}"] == pytest.approx(hit / (place + 1), abs=1e-6)
    assert noted(found["notes"])["lists_short"] == {"items": 6}
    assert found["baselines"]["markov"]["hr@2"] == 1.0  # after an item comes the next on the circle
    assert found["baselines"]["recent"]["hr@10"] == 0.0  # seen items leave the ranking
    assert found["published"] == []


def test_seen_items_stay_where_the_scenario_says_so_and_the_protocol_says_it(circle: Path) -> None:
    store = ArtifactStore(circle.parent / "store")
    keep = Scenario.load(circle, [table_at(circle, 0), "workload.exclude_seen=false"])
    assert "earlier items stay" in evaluate(keep, store=store)["protocol"]
    drop = Scenario.load(circle, [table_at(circle, 0)])
    assert "earlier items leave" in evaluate(drop, store=store)["protocol"]


def test_a_public_log_is_known_by_its_counts_and_comes_with_its_published_figures() -> None:
    known = recognise(SimpleNamespace(n_users=22363, n_items=12101, n_events=198502))  # type: ignore[arg-type]
    assert known is not None
    assert "Beauty" in known.name
    assert {"model", "hr@10", "ndcg@10", "note", "source"} == set(known.figures[0])
    assert recognise(SimpleNamespace(n_users=22363, n_items=12101, n_events=198501)) is None  # type: ignore[arg-type]


def test_the_command_prints_one_json_object(
    circle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["cli.py", "evaluate", str(circle), "--set", table_at(circle, 1), "--json"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) >= {"srm", "llm", "users", "protocol"}
    assert set(found["srm"]) >= {"hr@10", "ndcg@10", "mrr@10"}
    known = found | {"published": [{"model": "X", "hr@10": 0.5, "ndcg@10": 0.25, "note": "n", "source": "s"}]}
    print_evaluation(known, console_for(False))
    text = capsys.readouterr().out
    assert "published: X [1]" in text
    assert "[1] s; n" in text
    assert max(map(len, text.splitlines())) <= 100


class Oracle:
    """Reads the newest film off the prompt and names the next one, then a film that does not exist."""

    name, content_hash = "endpoint", "oracle"

    def __init__(self, *_: Any):
        """Takes what an endpoint takes."""

    def answers(self, prompts: Sequence[str]) -> Iterator[tuple[int, Answer]]:
        newest = [int(prompt.split("\n\n")[0].split("Film ")[-1]) for prompt in prompts]
        texts = [f"1. film {(n + 1) % ITEMS}\n2. The Unknown Masterpiece" for n in newest]
        return enumerate([Answer(text, 50.0, 9.0) for text in texts])


def test_a_run_with_a_model_on_titles_reports_how_many_answers_were_ungrounded(
    circle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleetrec.models.llm.endpoint.Endpoint", Oracle)
    changes = ["llm.candidates={kind: endpoint, url: 'http://localhost/v1', model: m}", "policy.request=always"]
    scenario = Scenario.load(circle, [*changes, "fleet.devices=10", "policy.fusion=llm_only"])
    result = simulate(scenario, store=ArtifactStore(circle.parent / "store"))
    answers = result.summary["models"]["llm"]["answers"]
    assert answers["titles"] == 2 * answers["lists"] > 0
    assert answers["ungrounded_share"] == 0.5
    notes = noted(result.summary["notes"])
    assert notes["ungrounded_titles"] == answers
    assert notes["quality_and_cost"] == {"quality_of": "endpoint", "cost_of": "llama-3.1-8b"}
    found = evaluate(scenario, store=ArtifactStore(circle.parent / "store"))
    assert found["llm"]["hr@2"] == 1.0
    assert noted(found["notes"])["ungrounded_titles"]["ungrounded_share"] == 0.5


def test_p5_serves_a_run_and_its_own_size_is_charged(circle: Path) -> None:
    changes = ["llm.candidates={kind: p5, dim: 16, layers: 1, heads: 2, epochs: 1}", "llm.served_as=none"]
    changes += ["llm.beams=10"]  # of a catalogue of twelve items, each a token
    scenario = Scenario.load(circle, [*changes, "fleet.devices=5", "policy.request=always"])
    result = simulate(scenario, store=ArtifactStore(circle.parent / "store"))
    assert result.summary["requests"]["completed"] > 0
    assert result.summary["models"]["llm"]["quality_of"] == "p5"


def test_prompts_are_those_of_the_lists_that_devices_may_ask_for(circle: Path) -> None:
    path = circle.parent / "prompts.parquet"
    scenario = Scenario.load(circle, ["fleet.preloaded={lag: 1}"])
    rows = export_prompts(PreparationInputs.of(scenario), path)
    table = pq.read_table(path).to_pandas()
    assert rows == table["part"].value_counts().to_dict()
    # Lists as of 2 (preloaded) to 5, the last of six events, after which a device may ask too. A quarter of the users
    # hold out the last of their four training events: its prediction needs lists as of 2, the stream's, and of 1.
    assert sorted(table["as_of"][table["part"] == "stream"]) == sorted([2, 3, 4, 5] * USERS)
    assert table["as_of"][table["part"] == "calibration"].tolist() == [1] * (USERS // 4)
    assert not table.duplicated(["user_id", "as_of"]).any()
    one = table[(table["user_id"] == "u7") & (table["as_of"] == 3)]["prompt"].item()
    shown = one.split("\n\n")[0].splitlines()[1:]
    assert shown == ["1. Film 7", "2. Film 8", "3. Film 9", "4. Film 10"]


def test_items_without_a_title_are_shown_by_their_label(circle: Path) -> None:
    changes = [f"workload.interactions={{path: {circle.parent}/log.csv}}"]
    path = circle.parent / "prompts.parquet"
    export_prompts(PreparationInputs.of(Scenario.load(circle, changes)), path)
    table = pq.read_table(path).to_pandas()
    assert "1. item i7\n2. item i8" in table[table["user_id"] == "u7"]["prompt"].iloc[0]


def test_the_page_on_candidates_turns_exported_prompts_into_a_table_that_serves(
    circle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(circle.parent)
    export_prompts(PreparationInputs.of(Scenario.load(circle)), Path("prompts.parquet"))
    prompts = pd.read_parquet("prompts.parquet")
    newest = prompts["prompt"].str.split("\n\n").str[0].str.split("Film ").str[-1].astype(int)
    prompts["answer"] = [f"1. FILM {(n + 1) % ITEMS}\n2. Nothing known" for n in newest]
    prompts.drop(columns="prompt").to_parquet("answers.parquet")
    page = Path(cli.__file__).resolve().parent / "docs" / "how-to" / "llm_candidates.md"
    exec(page.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0], {})
    found = evaluate(Scenario.load(circle, ["llm.candidates={kind: table, path: my_llm.parquet}"]))
    assert found["llm"]["mrr@10"] == 1.0


def test_answers_that_cost_time_or_money_are_saved_as_they_come() -> None:
    assert Endpoint(url="http://localhost/v1", model="m").save_every == 64
    assert ItemLm().save_every is None
