"""Forms of times: digits that are dates, against Python's own calendar."""

from datetime import UTC, datetime

import numpy as np
import pytest

from fleetrec.simulator.workload.time_forms import DIGITS, digits_form, of_digits


@pytest.mark.parametrize(("width", "form"), DIGITS.items())
def test_digits_are_the_moments_that_pythons_calendar_has_and_no_others(width: int, form: str) -> None:
    rng = np.random.default_rng(width)
    units = np.array([10**13, 10**11, 10**9, 10**7, 10**5, 10**3, 1])
    parts = np.column_stack([rng.integers(0, most, 4000) for most in (200, 14, 33, 25, 61, 60, 1000)])
    parts += np.array([1950, 0, 0, 0, 0, 0, 0])
    parts[:, units < 10 ** (17 - width)] = 0
    values = (parts @ units) // 10 ** (17 - width)
    expected = []
    for *row, millis in parts.tolist():
        try:
            expected.append(datetime(*row, microsecond=millis * 1000, tzinfo=UTC).timestamp())
        except ValueError:
            expected.append(np.nan)
    assert 0 < np.isnan(expected).sum() < len(values)
    found = of_digits(values.astype(np.float64), form)
    tolerance = 0 if width < 17 else 0.004  # a double holds 17 digits to some milliseconds
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


def test_numbers_of_another_length_with_fractions_or_none_are_no_dates() -> None:
    values = np.array([2020013.0, 202001311.0, 20200131.5, np.nan, -20200131.0, 0.0])
    assert np.isnan(of_digits(values, "%Y%m%d")).all()
    assert digits_form(np.array([20200131.0, 20200230.0])) is None
    assert digits_form(np.array([20200131.0, 99991231.0])) == "%Y%m%d"
