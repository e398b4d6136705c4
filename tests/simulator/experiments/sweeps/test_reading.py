"""Sweep files: what is wrong in one is told in one line that names the file, the line and the way out."""

import json
import re
from pathlib import Path

import pytest

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.experiments.folders import ExperimentFolder
from fleetrec.simulator.experiments.sweeps import make_plan, read_sweep, scenario_with
from tests.simulator.experiments.sweeps.files import SWEEP, write_files

HEAD = "name: s\nbase: tiny.yaml\n"


def plan_of(folder: Path, text: str, confirmed: bool = False):  # type: ignore[no-untyped-def]
    return make_plan(read_sweep(write_files(folder, text)), (), confirmed)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (HEAD + "axes:\n  policy.reqest.ratio: [1]\n", "sweep.yaml:4: unknown key 'reqest' in policy (did you mean"),
        (HEAD + "axes:\n  fleet.devices: []\n", "sweep.yaml:4: axes: fleet.devices: the axis is empty"),
        (HEAD + "axes:\n  fleet.devices: 5\n", "sweep.yaml:4: axes: fleet.devices: expected a list"),
        (HEAD + "axes:\n  fleet.devices: [5, none]\n", "sweep.yaml:4: fleet.devices: expected a whole number"),
        (HEAD + "axes:\n  fleet.devices: [5, 5]\n", "sweep.yaml:4: two variants are named 'devices=5'"),
        (HEAD + "axis: {}\n", "sweep.yaml:3: unknown key 'axis' (did you mean 'axes'?)"),
        (HEAD + "seeds: [1, 1]\n", "sweep.yaml:3: seeds: one of them stands there twice"),
        (HEAD + "seeds: []\n", "sweep.yaml:3: seeds: expected a list"),
        (HEAD + "variants:\n- {name: a}\n- {name: a}\n", "sweep.yaml:5: variants: the name 'a' stands there twice"),
        (HEAD + "variants:\n- {nme: a}\n", "sweep.yaml:4: variants: unknown key 'nme' (did you mean 'name'?)"),
        (HEAD + "zip: {fleet.devices: [1, 2], seed: [1]}\n", "zip: all lists must be equally long"),
        (HEAD + "sample: {n: 3}\n", "sweep.yaml:3: sample: 'over' is missing"),
        (HEAD + "sample: {n: 3, over: {duration: {low: 2h, high: 3min}}}\n", "must have the same unit"),
        (HEAD + "sample: {n: 3, over: {duration: {low: 2h, high: 1h}}}\n", "expected low < high"),
        (HEAD + "sample: {n: 3, over: {duration: {low: 0, high: 1, scale: log}}}\n", "expected 0 < low < high"),
        (HEAD + "variants: [{name: never}]\nbaseline: nevr\n", "baseline: no variant is named 'nevr' (did you mean"),
        (HEAD + "seeds: [1, 2, 3]\nbudget: 2\n", "sweep.yaml:4: budget: 2 runs do not reach"),
        (HEAD + "set: {llm.served_as: llama-3.1-9000b}\n", "the catalogue has no model"),
        ("name: s\nbase: tini.yaml\n", "sweep.yaml:2: base: tini.yaml: no such file"),
        ("base: tiny.yaml\n", "'name' is missing"),
    ],
)
def test_a_mistake_is_one_line_that_names_its_place(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        plan_of(tmp_path, text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_variant_whose_values_contradict_is_named(tmp_path: Path) -> None:
    text = HEAD + "variants:\n- {name: odd, set: {srm.max_length: 7}}\n"
    with pytest.raises(InputError, match=r"sweep.yaml:4: srm.max_length: must be even.*variant 'odd'"):
        plan_of(tmp_path, text)


def test_more_than_a_thousand_runs_are_asked_for_twice(tmp_path: Path) -> None:
    text = HEAD + f"axes: {{policy.request.ratio: [0.1, 0.2]}}\nseeds: [{', '.join(map(str, range(501)))}]\n"
    with pytest.raises(InputError, match=r"1,002 runs; add --yes"):
        plan_of(tmp_path, text)
    assert plan_of(tmp_path, text, confirmed=True).n_runs == 1002


def test_a_command_line_setting_changes_the_base_and_never_a_swept_key(tmp_path: Path) -> None:
    sweep = read_sweep(write_files(tmp_path, HEAD + "set: {fleet.devices: 9}\naxes: {policy.request.ratio: [0.1]}\n"))
    assert make_plan(sweep, ["fleet.devices=7"]).scenario("ratio=0.1", 4).fleet.devices == 7
    with pytest.raises(InputError, match=r"--set policy.request: the sweep varies policy.request.ratio"):
        make_plan(sweep, ["policy.request=never"])


def test_training_seeds_are_replications_of_every_variant_and_no_variants(tmp_path: Path) -> None:
    text = HEAD + "axes: {policy.request.ratio: [0.1, 0.2], training.seed: [3, 5]}\nseeds: [1, 2]\n"
    plan = plan_of(tmp_path, text)
    assert [variant.name for variant in plan.manifest.variants] == ["ratio=0.1", "ratio=0.2"]
    assert (plan.manifest.trainings, plan.n_runs) == ([3, 5], 8)
    trained = plan.scenario("ratio=0.1", 2, 5)
    assert (trained.seed, trained.srm.training.seed) == (2, 5)
    assert trained.llm.candidates.training.seed == 5  # type: ignore[union-attr]
    folders = [str(run.folder.relative_to(tmp_path)) for run in ExperimentFolder(tmp_path).runs(plan.manifest)]
    assert folders[:2] == ["runs/ratio=0.1/1-training-3", "runs/ratio=0.1/1-training-5"]
    with pytest.raises(InputError, match=r"sweep.yaml:\d+: axes: training.seed: expected different whole numbers"):
        plan_of(tmp_path, text.replace("[3, 5]", "[3, 3]"))


def test_settings_in_json_make_the_scenario_that_the_file_s_settings_make(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, SWEEP)
    for variant in plan.manifest.variants:
        made = scenario_with(tmp_path / "tiny.yaml", json.loads(json.dumps(variant.settings)), seed=2)
        assert made == plan.scenario(variant.name, 2)


def test_every_sweep_file_of_the_gallery_and_of_the_docs_is_valid(tmp_path: Path) -> None:
    root = Path(__file__).parents[4]
    blocks = re.findall(r"```yaml\n(.*?)```", (root / "docs" / "how-to" / "experiments.md").read_text(), re.DOTALL)
    assert len(blocks) == 2
    texts = [*blocks, *(path.read_text() for path in sorted((root / "experiments").glob("*.yaml")))]
    for text in texts:
        base = re.search(r"base: (\S+)", text)
        assert base is not None
        (tmp_path / "sweep.yaml").write_text(text.replace(base[1], str(root / base[1])))
        assert make_plan(read_sweep(tmp_path / "sweep.yaml")).n_runs > 1
