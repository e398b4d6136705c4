"""Which key matters, in worlds where the shares are known."""

import itertools

import numpy as np
import pytest

from fleetrec.simulator.experiments.comparison.sensitivity import shares_of_variance
from fleetrec.simulator.experiments.folders import Variant


def test_main_effects_of_a_balanced_grid() -> None:
    """y = 2a + b over two levels each: variances 4 and 1 of 5."""
    variants = [Variant(f"{a}{b}", "", {"x.a": a, "x.b": b}) for a, b in itertools.product((0, 1), (0, 1))]
    shares, method = shares_of_variance(
        variants, np.array([2.0 * v.settings["x.a"] + v.settings["x.b"] for v in variants])
    )
    assert shares == pytest.approx({"x.a": 0.8, "x.b": 0.2})
    assert "grid" in method


def test_an_interaction_is_nobodys_main_effect() -> None:
    variants = [Variant(f"{a}{b}", "", {"a": a, "b": b}) for a, b in itertools.product((-1, 1), (-1, 1))]
    shares, _ = shares_of_variance(variants, np.array([1.0 * v.settings["a"] * v.settings["b"] for v in variants]))
    assert shares == pytest.approx({"a": 0.0, "b": 0.0})


def test_a_sample_finds_the_key_that_matters() -> None:
    """Independent uniforms; y = 3a + b: shares of variance 9 and 1 of 10, and none for c."""
    rng = np.random.default_rng(1)
    x = rng.random((400, 3))
    variants = [Variant(str(i), "", dict(zip("abc", row, strict=True))) for i, row in enumerate(x.tolist())]
    shares, method = shares_of_variance(variants, 3 * x[:, 0] + x[:, 1])
    assert shares["a"] == pytest.approx(0.9, abs=0.07)
    assert shares["b"] == pytest.approx(0.1, abs=0.07)
    assert shares["c"] < 0.05
    assert "ranks" in method


def test_a_section_named_by_its_kind_alone_is_the_same_key() -> None:
    """`policy: never` and `policy: {kind: push}` are two levels of one key, which explains everything."""
    policies = ["never", {"kind": "push"}] * 6
    variants = [Variant(str(i), "", {"policy": policy, "x": i}) for i, policy in enumerate(policies)]
    shares, _ = shares_of_variance(variants, np.array([0.0, 1.0] * 6))
    assert shares["policy.kind"] == pytest.approx(1.0)
    assert set(shares) == {"policy.kind", "x"}
