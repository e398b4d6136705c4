"""What variants a sweep file describes."""

import itertools
from pathlib import Path

import numpy as np

from fleetrec.simulator.experiments.folders import Variant
from fleetrec.simulator.experiments.sweeps import read_sweep
from fleetrec.simulator.experiments.sweeps.variants import Point, draw, expand
from tests.simulator.experiments.sweeps.files import write_files

HEAD = "name: s\nbase: tiny.yaml\n"


def variants(folder: Path, text: str) -> list[Variant]:
    return [point.variant for point in expand(read_sweep(write_files(folder, HEAD + text)))]


def test_named_variants_meet_every_combination_of_axes_and_zipped_pairs(tmp_path: Path) -> None:
    found = variants(
        tmp_path,
        """\
variants:
- {name: never, set: {policy.request: never}}
- {name: random, set: {policy.request: random}, axes: {policy.request.ratio: [0.2, 0.4, 0.6]}}
axes: {policy.fusion.srm_weight: [0.5, 2]}
zip: {cloud.gpu: [l4, h100], cloud.replicas: [4, 1]}
""",
    )
    assert len(found) == (1 + 3) * 2 * 2
    pairs = {(v.settings["cloud.gpu"], v.settings["cloud.replicas"]) for v in found}
    assert pairs == {("l4", 4), ("h100", 1)}
    assert found[0].name == "never srm_weight=0.5 gpu=l4 replicas=4"
    assert found[-1].name == "random ratio=0.6 srm_weight=2 gpu=h100 replicas=1"
    assert len({v.folder.lower() for v in found}) == len(found)


def test_keys_with_one_ending_are_told_apart_by_more_of_their_path(tmp_path: Path) -> None:
    found = variants(tmp_path, "axes: {policy.request.ratio: [0.2], policy.budget.ratio: [0.5], seed: [1]}\n")
    assert [v.name for v in found] == ["request.ratio=0.2 budget.ratio=0.5 seed=1"]


def test_a_value_that_is_a_section_is_named_by_its_kind(tmp_path: Path) -> None:
    found = variants(tmp_path, "axes: {policy.request: [never, {kind: random, ratio: 0.2}]}\n")
    assert [v.name for v in found] == ["request=never", "request=random(ratio=0.2)"]
    assert found[1].settings == {"policy.request": "random", "policy.request.ratio": 0.2}


def test_a_latin_hypercube_has_one_point_in_each_part_of_every_range(tmp_path: Path) -> None:
    n = 8
    found = variants(
        tmp_path,
        f"""\
sample:
  n: {n}
  over:
    policy.request.ratio: {{low: 0.1, high: 0.9}}
    cloud.request_timeout: {{low: 1s, high: 256s, scale: log}}
    cloud.gpu: [l4, h100]
""",
    )
    ratio = np.array([v.settings["policy.request.ratio"] for v in found])
    timeout = np.array([float(v.settings["cloud.request_timeout"].removesuffix("s")) for v in found])
    assert sorted(np.floor((ratio - 0.1) / 0.8 * n).astype(int)) == list(range(n))
    assert sorted(np.floor(np.log2(timeout)).astype(int)) == list(range(n))
    assert sorted(v.settings["cloud.gpu"] for v in found) == ["h100"] * 4 + ["l4"] * 4


def test_random_integers_reach_both_ends_alike_and_follow_the_seed(tmp_path: Path) -> None:
    spread = "over: {seed: {low: 1, high: 3, integer: true}, duration: {low: 1s, high: 1e6s}}"
    one = variants(tmp_path, f"sample: {{n: 3000, method: random, {spread}}}\n")
    drawn = np.bincount([v.settings["seed"] for v in one], minlength=4)
    assert drawn[0] == 0
    assert (np.abs(drawn[1:] - 1000) < 4 * np.sqrt(3000 * (1 / 3) * (2 / 3))).all()  # four standard deviations
    assert one == variants(tmp_path, f"sample: {{n: 3000, method: random, seed: 1, {spread}}}\n")
    assert one != variants(tmp_path, f"sample: {{n: 3000, method: random, seed: 2, {spread}}}\n")


def test_a_budget_keeps_the_baseline_and_draws_the_same_others_every_time() -> None:
    points = [Point(Variant(f"v{i}", f"v{i}", {}), {}) for i in range(40)]
    for most, kept in itertools.product((1, 5, 39), ("v0", "v17", "v39")):
        names = [point.variant.name for point in draw(points, most, kept)]
        assert len(names) == most
        assert kept in names
        assert names == sorted(names, key=lambda name: int(name[1:]))
        assert names == [point.variant.name for point in draw(points, most, kept)]


def test_a_file_that_varies_nothing_has_one_variant(tmp_path: Path) -> None:
    assert [v.name for v in variants(tmp_path, "")] == ["base"]
