"""The fit of serving engines' constants: one vector for all, and files that keep what is not fitted."""

import numpy as np
import pytest
import yaml

from benchmarks.engine_constants import (
    DEVIATIONS,
    ENGINES,
    FIGURES,
    SIZE,
    START,
    columns_of,
    figures_of,
    profile_of,
    shipped,
    write,
    written,
)
from fleetrec.simulator.cloud.hardware.engine_errors import ERRORS_FILE
from fleetrec.simulator.cloud.hardware.engine_profile import engine_profile


@pytest.mark.parametrize("engine", ENGINES)
def test_the_shipped_profiles_are_one_vector(engine):
    made, profile = profile_of(engine, figures_of(columns_of(engine) @ shipped())), engine_profile(engine)
    for part in ("shares", "seconds"):
        there = getattr(profile, part).model_dump()
        assert getattr(made, part).model_dump() == pytest.approx(there, rel=0.01)
    assert made.expert_tile == pytest.approx(profile.expert_tile, rel=0.01)


def test_the_shipped_constants_are_near_what_was_expected():
    away = np.abs(shipped() - START) / DEVIATIONS
    assert away.shape == (SIZE,)
    assert np.mean(away < 2) > 0.9


def test_an_engines_factor_moves_that_engine_alone():
    vector = START.copy()
    vector[np.flatnonzero(columns_of("sglang")[FIGURES.index("layer")])[-1]] += 0.1
    moved = [not np.allclose(columns_of(engine) @ vector, columns_of(engine) @ START) for engine in ENGINES]
    assert moved == [engine == "sglang" for engine in ENGINES]


def test_a_profile_is_written_over_and_all_else_stays():
    text = (ERRORS_FILE.parent / "vllm.yaml").read_text(encoding="utf-8")
    figures = dict.fromkeys(FIGURES, 0.5)
    before, after = yaml.safe_load(text), yaml.safe_load(written(text + "other:\n  host: 7\n", figures))
    assert after.pop("other") == {"host": 7}
    assert set(after["shares"].values()) | set(after["seconds"].values()) == {0.5}
    assert {key: after[key] for key in ("title", "fitted_to", "sources")} == {
        key: before[key] for key in ("title", "fitted_to", "sources")
    }


def test_only_constants_that_have_moved_are_written(tmp_path):
    profile, errors = tmp_path / "vllm.yaml", tmp_path / "held_out_errors.yaml"
    profile.write_text("host: 0.00200\n")
    errors.write_text("tpot: 0.087\n")
    write({profile: "host: 0.00205\n", errors: "tpot: 0.084\n"})
    assert profile.read_text() == "host: 0.00200\n"
    assert errors.read_text() == "tpot: 0.084\n"
    write({profile: "host: 0.003\n"})
    assert profile.read_text() == "host: 0.003\n"
