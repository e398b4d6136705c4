"""Lists of every kind for histories that arise: made of what has happened alone, and the same however computed."""

import hashlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fleetrec.models.llm.text_lm import TextLm
from fleetrec.models.llm.titles import prompt_of
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.simulator.engine import world
from fleetrec.simulator.preparation.prepare import prepare
from fleetrec.simulator.preparation.training import load_workload
from fleetrec.simulator.scenario import Scenario, sections
from fleetrec.simulator.simulation import simulate
from fleetrec.simulator.workload.splitting import split_log
from tests.models.test_endpoint import Reply, Server, ok, serve
from tests.models.test_text_lm import checkpoint
from tests.simulator.asked_user import Asked
from tests.simulator.engine.test_replay_by_choice import LogTaker
from tests.simulator.reacting import lives, reacting, replayed
from tests.simulator.tiny import merged

__all__ = ["serve"]  # a fixture

LOG = load_workload(reacting().workload)
TITLES = LOG.titles or ()
POLICIES: dict[str, dict[str, Any]] = {
    "always, blocking": {"request": {"kind": "always"}, "mode": "blocking", "patience": 0.3},
    "inconsistency": {"request": {"kind": "inconsistency", "threshold": 17.5}},
}
TAKES_THE_LOG = {"workload": {"users": {"kind": "choice"}}}


class Model:
    """Titles that every letter of a prompt has a part in, after a pause that hangs on them too."""

    def __init__(self) -> None:
        self.under_way = self.most_at_once = 0
        self._lock = threading.Lock()

    def __call__(self, body: dict[str, Any]) -> Reply:
        prompt = body["messages"][0]["content"]
        drawn = int(hashlib.sha256(prompt.encode()).hexdigest(), 16)
        with self._lock:
            self.under_way += 1
            self.most_at_once = max(self.most_at_once, self.under_way)
        time.sleep(0.001 * (drawn % 5))
        with self._lock:
            self.under_way -= 1
        named = [TITLES[(drawn >> (8 * nth)) % len(TITLES)] for nth in range(12)]
        return ok("\n".join(named), prompt_tokens=50, completion_tokens=60)


def asking(server: Server, policy: dict[str, Any], **changes: Any) -> Scenario:
    candidates = {"kind": "endpoint", "url": server.url, "model": "m", **changes}
    return reacting(policy=policy, llm={"candidates": candidates}, fleet={"devices": 8})


def prompts(server: Server) -> list[str]:
    return [body["messages"][0]["content"] for _, body in server.asked]


def same(one: dict[str, pd.DataFrame], other: dict[str, pd.DataFrame]) -> bool:
    return all(table.equals(other[name]) for name, table in one.items())


@pytest.mark.parametrize("policy", POLICIES.values(), ids=list(POLICIES))
def test_an_endpoint_is_asked_once_for_histories_that_have_happened_however_the_run_is_computed(
    policy: dict[str, Any], serve: Callable[..., Server], tmp_path: Path
) -> None:
    server, model, store = serve(model := Model()), model, ArtifactStore(tmp_path)
    scenario = asking(server, policy)
    ahead = lives(scenario, store=store)
    asked = prompts(server)
    assert len(set(asked)) == len(asked)
    assert same(lives(scenario, ahead=False, store=store), ahead)
    assert prompts(server) == asked  # a second run asks for nothing, be it computed step by step
    assert model.most_at_once > 1

    lived = ahead["interactions"]
    begun = split_log(LOG, scenario.workload.split).history
    happened = set()
    whose = prepare(scenario, "cpu", NullProgress(), store).population.users
    for device, user in enumerate(whose.tolist()):
        had = LOG.items[LOG.offsets[user] : LOG.offsets[user] + begun[user]].tolist()
        for item in [None, *lived.loc[lived["device"] == device, "item"].tolist()]:
            had += [] if item is None else [item]
            happened.add(prompt_of(scenario.llm.candidates.title_prompt(), TITLES, had, False))  # type: ignore[arg-type]
    assert set(asked) <= happened
    assert len(asked) <= len(ahead["requests"]) + len(whose)  # and those whose tokens are measured


def test_a_run_that_the_endpoint_ends_is_one_line_and_the_next_one_asks_for_the_rest(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    whole = serve(Model())
    expected = lives(asking(whole, {}), store=ArtifactStore(tmp_path / "whole"))
    server, store = serve(*[Model()] * 9, (401, {}, b"no more money"), Model()), ArtifactStore(tmp_path / "kept")
    scenario = asking(server, {}, parallel=1)
    with pytest.raises(InputError, match="refuses with HTTP 401 no more money") as told:
        lives(scenario, store=store)
    assert "\n" not in str(told.value)
    assert len(server.asked) == 10
    assert same(lives(scenario, store=store), expected)
    assert len(server.asked) == len(whole.asked) + 1  # the one that failed


def test_what_an_endpoint_is_asked_together_for_users_of_ones_own_is_what_has_landed(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    def takes(slate: Any, now: float) -> Any:
        return int(slate.items[slate.opportunity % 3]) if len(slate.items) > 2 else None

    Asked.does = takes  # type: ignore[attr-defined]
    server = serve(model := Model())
    scenario = sections.with_kind(asking(server, {"request": {"kind": "always"}}), "workload.users", Asked)
    store = ArtifactStore(tmp_path)
    ahead = lives(scenario, store=store)
    assert model.most_at_once > 1
    asked = len(server.asked)
    assert same(lives(scenario, ahead=False, store=store), ahead)
    assert len(server.asked) == asked <= len(ahead["requests"]) + 16


def test_a_whole_run_tells_of_the_titles_and_of_the_tokens_that_the_endpoint_wrote(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    result = simulate(asking(serve(Model()), {}), store=ArtifactStore(tmp_path))
    assert result.summary["models"]["llm"]["answers"]["lists"] > 5
    assert result.summary["models"]["llm"]["answers"]["ungrounded"] == 0
    served = result.requests[result.requests["outcome"] == "completed"]
    assert set(served["output_tokens"]) == {60}


def test_a_text_lm_writes_for_histories_that_arise_and_once_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    generate = TextLm._generate

    def counted(self: TextLm, tokens: Any, queries: list[int], *rest: Any) -> Any:
        written.append(len(queries))
        return generate(self, tokens, queries, *rest)

    monkeypatch.setattr(TextLm, "_generate", counted)
    folder = str(checkpoint(tmp_path / "gpt"))
    candidates = {
        "kind": "text_lm",
        "checkpoint": folder,
        "max_new_tokens": 4,
        "instruction": "{history} w1",
        "history": 3,
    }
    scenario, store = reacting(llm={"candidates": candidates}, fleet={"devices": 8}), ArtifactStore(tmp_path / "cache")
    ahead = lives(scenario, store=store)
    assert max(written) > 1
    assert sum(written) <= len(ahead["requests"]) + 16
    written.clear()
    assert same(lives(scenario, ahead=False, store=store), ahead)
    assert written == []


def answers_by(kind: str, folder: Path) -> dict[str, Any]:
    """A table of answers to the log as of each third interaction of every user, by position or by time."""
    users = np.repeat(np.arange(LOG.n_users), 14)
    as_of = np.tile(np.arange(14) * 3, LOG.n_users)
    kept = as_of < LOG.lengths[users]
    users, as_of = users[kept], as_of[kept]
    lists = [(user * 5 + at * 7 + 11 * np.arange(12)) % LOG.n_items for user, at in zip(users, as_of, strict=True)]
    when = {"as_of": as_of} if kind == "position" else {"as_of_time": LOG.times[LOG.offsets[users] + as_of] + 0.5}
    columns = {"user_id": LOG.user_ids[users], **when}
    table = {name: np.repeat(np.asarray(values), 12) for name, values in columns.items()}
    table |= {"item_id": LOG.item_ids[np.concatenate(lists)], "rank": np.tile(np.arange(12), len(users))}
    pd.DataFrame(table).to_parquet(folder / "answers.parquet")
    return {"kind": "table", "path": str(folder / "answers.parquet"), "missing": "previous"}


@pytest.mark.parametrize("kind", ["position", "time"])
def test_a_table_gives_the_newest_list_so_far_and_its_age_however_the_run_is_computed(
    kind: str, tmp_path: Path
) -> None:
    arrivals = {"workload": {"arrivals": {"kind": "replay"}}} if kind == "time" else {}
    changes = {"llm": {"candidates": answers_by(kind, tmp_path)}, "fleet": {"devices": 18}}
    scenario = reacting(**merged(arrivals, changes))
    ahead = lives(scenario, store=ArtifactStore(tmp_path))
    assert same(lives(scenario, ahead=False, store=ArtifactStore(tmp_path)), ahead)
    shown = ahead["interactions"][ahead["interactions"]["as_of"] >= 0]
    assert len(shown) > 20
    assert (shown["staleness"] == shown["step"] - 1 - shown["as_of"]).all()
    if kind == "position":
        assert (shown["as_of"] % 3 == 0).all()
    else:  # an opportunity that is not taken is a moment of the log all the same: its list is there at the next
        assert set(shown["as_of"] % 3) == {0, 1, 2}


TABLES: dict[str, dict[str, Any]] = {
    "position": {},
    "time": {"workload": {"arrivals": {"kind": "replay"}}},
}


@pytest.mark.parametrize("kind", TABLES)
def test_users_who_take_the_logs_item_leave_the_bytes_of_replay_by_a_table(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = merged(TAKES_THE_LOG, TABLES[kind]) | {"llm": {"candidates": answers_by(kind, tmp_path)}}
    by_both(reacting(**changes, fleet={"devices": 18}), ArtifactStore(tmp_path), monkeypatch)


@pytest.mark.parametrize("blend", [0.0, 0.6])
def test_users_who_take_the_logs_item_leave_the_bytes_of_replay_by_blended_lists(
    blend: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = merged(TAKES_THE_LOG, {"llm": {"quality": {"blend": blend}, "illegal_beams": 0.2}})
    by_both(reacting(**changes, fleet={"devices": 18}), None, monkeypatch)


def test_users_who_take_the_logs_item_leave_the_bytes_of_replay_by_an_endpoint(
    serve: Callable[..., Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidates = {"kind": "endpoint", "url": serve(Model()).url, "model": "m"}
    changes = TAKES_THE_LOG | {"llm": {"candidates": candidates}, "fleet": {"devices": 18}}
    by_both(reacting(**changes), ArtifactStore(tmp_path), monkeypatch)


def by_both(scenario: Scenario, store: ArtifactStore | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Users who choose what the log says leave what replay leaves."""
    monkeypatch.setattr(world, "user_model", lambda workload, before, times, past: LogTaker(before, times))
    chosen, log = lives(scenario, store=store), replayed(scenario, store)
    assert len(log["interactions"]) > 100
    assert same(log, chosen)
    assert (log["interactions"]["as_of"] >= 0).any()


def test_a_blend_is_the_same_however_the_run_is_computed_and_blended_wholly_lists_are_popular_items() -> None:
    def lived(blend: float, ahead: bool = True) -> dict[str, pd.DataFrame]:
        return lives(reacting(llm={"quality": {"blend": blend}}, policy={"fusion": "llm_only"}), ahead)

    assert same(lived(0.5), lived(0.5, ahead=False))
    shown = lived(0.0)
    taken = shown["opportunities"][shown["opportunities"]["outcome"] == "slate"]
    listed = taken.merge(shown["interactions"], on=["device", "item"])
    learnt = split_log(LOG, reacting().workload.split).history
    past = [LOG.items[begin : begin + known] for begin, known in zip(LOG.offsets, learnt, strict=False)]
    popular = np.argsort(-np.bincount(np.concatenate(past), minlength=LOG.n_items), kind="stable")[: 4 * 12]
    assert len(listed) > 5
    assert set(listed.loc[listed["as_of"] >= 0, "item"]) <= set(popular.tolist())


@pytest.mark.parametrize(("missing", "ends"), [("error", True), ("previous", False), ("fail_request", False)])
def test_a_user_without_any_list_in_the_table_ends_the_run_or_its_requests_fail(
    missing: str, ends: bool, tmp_path: Path
) -> None:
    candidates = answers_by("position", tmp_path) | {"missing": missing}
    table = pd.read_parquet(candidates["path"])
    table[table["user_id"] != "u3"].to_parquet(candidates["path"])
    scenario = reacting(llm={"candidates": candidates}, policy={"request": {"kind": "always"}})
    if ends:
        with pytest.raises(InputError, match=r"answers\.parquet: user 'u3' has no list by interaction \d+") as told:
            lives(scenario, store=ArtifactStore(tmp_path))
        assert "\n" not in str(told.value)
        return
    requests = lives(scenario, store=ArtifactStore(tmp_path))["requests"]
    whose = requests["device"] == 3
    reached = requests["t_arrived_s"].notna()
    assert (requests.loc[whose & reached, "outcome"] == "rejected").all()
    assert not (requests.loc[~whose, "outcome"] == "rejected").any()
