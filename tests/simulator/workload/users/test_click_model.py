"""The position-based click model finds the law that clicks were drawn by."""

import numpy as np
import pytest

from fleetrec.simulator.workload.users.click_model import fit_click_model


def test_examination_and_attraction_are_found_where_rows_are_many() -> None:
    examination, attraction = np.array([1.0, 0.5, 0.2]), np.array([0.6, 0.1, 0.3, 0.02])
    shown = np.full((4, 3), 1e6)
    found = fit_click_model(shown, shown * attraction[:, None] * examination)
    assert found.examination == pytest.approx(examination, abs=1e-3)
    assert found.attraction == pytest.approx(attraction, abs=1e-3)


def test_an_item_at_bad_positions_is_not_taken_for_a_bad_item() -> None:
    shown = np.array([[9e5, 1e5], [1e5, 9e5]])
    found = fit_click_model(shown, shown * 0.4 * np.array([1.0, 0.25]))
    assert found.attraction == pytest.approx([0.4, 0.4], abs=1e-3)


def test_examination_by_the_inverse_of_the_position_falls_by_1() -> None:
    shown = np.full((3, 6), 1e6)
    clicked = shown * np.array([[0.5], [0.2], [0.1]]) / np.arange(1, 7)
    assert fit_click_model(shown, clicked).falls_by == pytest.approx(1.0, abs=1e-3)
    assert fit_click_model(shown[:, :1], clicked[:, :1]).falls_by == 0


def test_one_click_of_one_showing_is_no_certainty() -> None:
    shown, clicked = np.array([[1.0], [9999.0]]), np.array([[1.0], [999.0]])
    assert fit_click_model(shown, clicked).rates()[0, 0] == pytest.approx(2 / 11, abs=1e-3)  # with 10 of the mean, 0.1


def test_positions_without_rows_and_logs_without_clicks_have_rates() -> None:
    found = fit_click_model(np.array([[1e6, 0.0, 1e6]]), np.array([[4e5, 0.0, 2e5]]))
    assert found.rates()[0] == pytest.approx([0.4, 0.3, 0.2], abs=1e-3)
    assert not fit_click_model(np.ones((2, 2)), np.zeros((2, 2))).rates().any()
