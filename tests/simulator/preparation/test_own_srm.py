"""Small models of the user's own: how they are named, learn and rank, and what is said of what cannot be."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from fleetrec import InputError, Scenario, simulate
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.models.srm.trained import train_or_load_srm
from fleetrec.simulator.preparation import srm as srm_kinds
from fleetrec.simulator.preparation.training import train_models
from fleetrec.simulator.scenario import json_schema, shapes
from fleetrec.simulator.scenario.inputs import TrainingInputs, hash_of
from fleetrec.simulator.scenario.sections import kinds
from fleetrec.simulator.simulation import check_repeatable
from tests.commands.typed import typed
from tests.models.srm_cases import cycle_log
from tests.simulator.experiments.sweeps.files import SCENARIO
from tests.simulator.handed_over import Handed
from tests.simulator.preparation.own_srms import (
    BUILT,
    DIN,
    FITTED,
    GRU,
    KEYS,
    MARKOV,
    PLAIN,
    SCORES,
    STATES,
    interactions,
    load,
)

pytestmark = pytest.mark.usefixtures("in_a_folder")


@pytest.fixture
def store() -> ArtifactStore:
    """The session's: what one test has trained serves all."""
    return ArtifactStore()


@pytest.mark.parametrize("source", [GRU, BUILT, PLAIN], ids=["module", "subclass", "plain class"])
def test_an_own_network_learns_and_ranks_as_the_built_in_one_of_its_kind(source: str, store: ArtifactStore) -> None:
    own = interactions(load(source, f"{KEYS}, layers: 1", "fleet.devices=12"), store)
    built_in = interactions(Scenario.load("tiny.yaml", ["fleet.devices=12"]), store)
    pd.testing.assert_frame_equal(own, built_in)


def test_an_own_network_that_scores_pairs_ranks_as_the_built_in_one_of_its_kind(store: ArtifactStore) -> None:
    changes = ("fleet.devices=12", "policy.slate=srm")
    own = interactions(load(DIN, "dim: 8, max_length: 10, epochs: 0", *changes), store)
    din = "srm={kind: din, dim: 8, max_length: 10, epochs: 0, loss: bce}"
    pd.testing.assert_frame_equal(own, interactions(Scenario.load("tiny.yaml", [din, *changes]), store))


def test_training_by_mini_batches_makes_pairs_score_better(store: ArtifactStore) -> None:
    srm = load(MARKOV, "dim: 16, epochs: 15, training: {learning_rate: 0.02, batch_size: 16}").srm
    trained = train_or_load_srm(srm, cycle_log(users=60, n_items=30, length=12), store, threads=1)
    assert trained.validation["ndcg@10"] > 0.9


def test_a_network_that_fits_itself_keeps_what_it_has_learnt(store: ArtifactStore) -> None:
    scenario = load(FITTED, KEYS, "policy.slate=srm", "fleet.devices=12", "workload.exclude_seen=false")
    own = interactions(scenario, store)
    assert own.equals(interactions(scenario, store))  # from the cache
    popular = interactions(Scenario.load("tiny.yaml", [*CHANGES, "policy.slate=popular"]), store)
    same = (own["rank"] == popular["rank"]).mean()
    assert same > 0.5, "the baseline counts what is held out for validation too, so ties may fall otherwise"


CHANGES = ("fleet.devices=12", "workload.exclude_seen=false")


def test_of_a_table_of_users_a_phone_holds_one_row(store: ArtifactStore) -> None:
    srm = train_models(TrainingInputs.of(load(SCORES, "dim: 8, epochs: 0")), store, "cpu", NullProgress()).srm
    assert srm.encoder_bytes == 4 * 8
    assert srm.item_bytes == 4 * 8
    assert srm.flops_per_candidate == 2 * 8


def test_tied_weights_are_kept_as_one(store: ArtifactStore) -> None:
    tied = STATES.replace("padding_idx=0)\n", "padding_idx=0)\n        self.same = self.embedding\n", 1)
    scenario = load(tied, "dim: 8, epochs: 1")
    first, again = (train_models(TrainingInputs.of(scenario), store, "cpu", NullProgress()).srm for _ in range(2))
    assert first.content_hash == again.content_hash
    assert first.encoder_bytes == 4 * 8


def test_a_model_is_trained_anew_where_its_source_or_its_keys_have_changed(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "cache")
    keys = {
        hash_of(TrainingInputs.of(load(source, keys)))
        for source in (GRU, f"{GRU}# more\n")
        for keys in (KEYS, f"{KEYS}, layers: 2")
    }
    assert len(keys) == 4
    train_models(TrainingInputs.of(load(GRU)), store, "cpu", NullProgress())
    Path("elsewhere").mkdir()
    Path("mine.py").rename("elsewhere/mine.py")
    moved = Scenario.load("tiny.yaml", [f"srm={{kind: 'elsewhere/mine.py:Mine', {KEYS}}}"])
    before = set(store.root.glob("srm/*"))
    train_models(TrainingInputs.of(moved), store, "cpu", NullProgress())
    assert set(store.root.glob("srm/*")) == before


def test_a_class_or_a_partial_of_it_is_handed_over_in_python(store: ArtifactStore) -> None:
    Path("tiny.yaml").write_text(SCENARIO, encoding="utf-8")
    scenario = Scenario.load("tiny.yaml", ["fleet.devices=8"])
    plain = simulate(scenario, store=store, srm=partial(Handed, dim=8, epochs=0, max_length=10))
    assert plain.scenario.srm.kind == f"{Handed.__module__}:Handed"
    with pytest.raises(
        InputError, match=r"Handed: hand over the class, Handed or functools\.partial\(Handed, key=value\)"
    ):
        simulate(scenario, store=store, srm=Handed(100, 8))
    with pytest.raises(InputError, match=r"Handed\.dim: Input should be less than or equal to 128"):
        simulate(scenario, store=store, srm=partial(Handed, dim=999))


def test_keys_of_a_module_are_checked_and_stand_in_the_schema() -> None:
    scenario = load(GRU, f"{KEYS}, layers: 3")
    assert scenario.srm.layers == 3  # type: ignore[attr-defined]
    for keys, expected in {
        "layer: 3": r"tiny\.yaml|unknown key 'layer' in srm of kind 'mine\.py:Mine' \(did you mean 'layers'\?\)",
        "layers: many": r"srm\.layers: expected a whole number, got 'many'",
        "dim: 200": r"srm\.dim: expected a whole number between 4 and 128, got '200'",
    }.items():
        with pytest.raises(InputError, match=expected):
            load(GRU, keys)
    described = json_schema({"srm": "mine.py:Mine"})["$defs"]["Mine"]["properties"]
    assert {"dim", "layers", "max_length", "training"} <= set(described)


def test_a_second_run_tells_training_that_hangs_on_more_than_its_data(store: ArtifactStore) -> None:
    clock = FITTED.replace("import torch\n", "import time\n\nimport torch\n", 1).replace(
        "counts[:, None]", "torch.rand(len(counts), generator=torch.Generator().manual_seed(time.time_ns()))[:, None]"
    )
    first = simulate(load(clock, KEYS, "fleet.devices=8", "policy.slate=srm"), store=store)
    with pytest.raises(InputError, match=r"--check: a second run differs in .*; mine\.py:7: Mine hangs on more than"):
        check_repeatable(first, "cpu", NullProgress(), store)
    steady = simulate(load(FITTED, KEYS, "fleet.devices=8", "policy.slate=srm"), store=store)
    check_repeatable(steady, "cpu", NullProgress(), store)


def test_updates_and_adapters_work_for_a_network_of_ones_own(store: ArtifactStore) -> None:
    fleet = "policy.update={kind: fleet, every: 1h, min_new: 1}"
    device = "policy.update={kind: on_device, learning_rate: 0.01, when: {kind: every, n: 3}}"
    for update in (fleet, device):
        own = simulate(load(GRU, f"{KEYS}, layers: 1", "fleet.devices=8", update), store=store).tables
        built_in = simulate(Scenario.load("tiny.yaml", ["fleet.devices=8", update]), store=store).tables
        for name, table in own.items():
            pd.testing.assert_frame_equal(table, built_in[name])


NEW_KIND = """\
from typing import ClassVar, Literal

from fleetrec.simulator.scenario.sections.srm import Srm


class LastItemSrm(Srm):
    \"\"\"The state is the newest item's vector, some of it turned.\"\"\"

    kind: Literal["last_item"] = "last_item"
    turned: int = 2

    def build(self, n_items):
        from fleetrec.models.srm.base import BoundedNorm, StateModel

        class Network(StateModel):
            kind = "last_item"

            def states(model, windows, since=0):
                return model.norm(model.embedding(windows).roll(self.turned, dims=-1))[:, since:]

        network = Network(n_items, self.dim, self.max_length)
        network.norm = BoundedNorm(self.dim)
        network.initialise(0.2)
        return network
"""


def test_a_built_in_kind_with_user_states_is_one_new_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: ArtifactStore
) -> None:
    folder = tmp_path / "kinds"
    folder.mkdir()
    (folder / "last_item.py").write_text(NEW_KIND)
    monkeypatch.setattr(srm_kinds, "__path__", [*srm_kinds.__path__, str(folder)])
    kinds._kinds_in.cache_clear()
    shapes.fields_of.cache_clear()
    try:
        Path("tiny.yaml").write_text(SCENARIO, encoding="utf-8")
        scenario = Scenario.load(
            "tiny.yaml", ["srm={kind: last_item, dim: 8, epochs: 1, turned: 3}", "fleet.devices=8"]
        )
        assert simulate(scenario, store=store).summary["models"]["srm"]["kind"] == "last_item"
        assert "last_item" in json_schema()["properties"]["srm"]["anyOf"][0]["enum"]
        with pytest.raises(InputError, match=r"unknown kind 'last' \(.*kinds: din, gru4rec, sasrec, last_item\)"):
            Scenario.load("tiny.yaml", ["srm.kind=last"])
    finally:
        monkeypatch.undo()
        kinds._kinds_in.cache_clear()
        shapes.fields_of.cache_clear()


def test_a_model_of_ones_own_is_evaluated_by_command() -> None:
    load(GRU)
    changes = ("--set", f"srm={{kind: 'mine.py:Mine', {KEYS}}}", "--set", "fleet.devices=12")
    evaluated = typed("evaluate", "tiny.yaml", *changes, "--quiet")
    assert evaluated.exit_code == 0, evaluated.output


def test_part_of_an_own_network_is_adapted_on_a_device(store: ArtifactStore) -> None:
    source = STATES.replace(
        "self.user_embedding = nn.Embedding(n_users, dim)", "self.turn = nn.Linear(dim, dim)"
    ).replace("return self.embedding(windows)", "return torch.tanh(self.turn(self.embedding(windows)))")
    update = (
        "policy.update={kind: on_device, learning_rate: 0.1, when: {kind: every, n: 3}, adapter: {kind: module, name: "
    )
    run = simulate(load(source, KEYS, "fleet.devices=8", f"{update}module.turn}}}}"), store=store)
    assert (run.tables["interactions"]["adaptation"] > 0).any()
    with pytest.raises(InputError, match=r"has no sub-module 'turns' to adapt; it has module, module\.turn"):
        simulate(load(source, KEYS, "fleet.devices=8", f"{update}turns}}}}"), store=store)


def test_a_network_that_fits_itself_is_kept_up_to_date(store: ArtifactStore) -> None:
    update = "policy.update={kind: fleet, every: 1h, min_new: 1}"
    run = simulate(load(FITTED, KEYS, "fleet.devices=8", update, "policy.slate=both"), store=store)
    assert (run.tables["interactions"]["version"] > 0).any()


@pytest.mark.parametrize("module", ["preparation.srm.din", "preparation.candidates.p5", "policies.request.every"])
def test_a_file_of_a_kind_may_be_imported_before_all_others_and_brings_no_pytorch(module: str) -> None:
    text = (
        f"import sys, fleetrec.simulator.{module}\nfrom fleetrec import Scenario\nscenario = Scenario(name='a')\n"
        "from fleetrec.simulator.scenario import sections\n"
        "assert {'p5', 'table'} <= set(sections.Candidates.family.built_in())\n"
        "assert {'din', 'sasrec'} <= set(sections.Srm.family.built_in())\n"
        "assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", text], check=False).returncode == 0


@pytest.mark.parametrize("source", [GRU, SCORES], ids=["states", "scores"])
def test_an_own_model_ranks_alike_one_by_one_and_in_bulk(source: str, store: ArtifactStore) -> None:
    bulk = interactions(load(source, KEYS, "fleet.devices=8", "policy.slate=both"), store)
    steps = "engine={batching: false, sleep: false}"
    alone = interactions(load(source, KEYS, "fleet.devices=8", "policy.slate=both", steps), store)
    pd.testing.assert_frame_equal(bulk, alone)
