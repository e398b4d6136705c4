"""A quantity is the same however it is written, and is written back shortly and exactly."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from fleetrec.simulator.scenario.units import (
    BANDWIDTH,
    COMPUTE,
    DURATION,
    ENERGY,
    POWER,
    SIZE,
    TRANSFER,
    Count,
    Quantity,
)

QUANTITIES = [BANDWIDTH, COMPUTE, DURATION, ENERGY, POWER, SIZE, TRANSFER]


@pytest.mark.parametrize(
    ("quantity", "text", "value"),
    [
        (DURATION, "1.5h", 5400),
        (DURATION, "5m", 300),
        (DURATION, " 7 us ", 7e-6),
        (SIZE, "2MB", 2_000_000),
        (SIZE, "2MiB", 2_097_152),
        (BANDWIDTH, "20Mbps", 20_000_000),
        (TRANSFER, "25GB/s", 25e9),
        (TRANSFER, "200Gbps", 25e9),
        (COMPUTE, "8GFLOPS", 8e9),
        (POWER, "2500mW", 2.5),
        (ENERGY, "12Wh", 43_200),
        (ENERGY, ".5e3", 500),
    ],
)
def test_units_have_their_size(quantity: Quantity, text: str, value: float) -> None:
    assert quantity.read(text) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize(
    "text", ["", "h", "1h30min", "1,5h", "5 H", "0x10", "ten", "1e", "--3s", "5 m s", "nan", "1e999"]
)
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a"):
        DURATION.read(text)


@pytest.mark.parametrize(("text", "count"), [("2M", 2_000_000), ("1.5k", 1500), (7, 7), ("1_000", 1000), ("1B", 10**9)])
def test_counts_may_be_written_in_thousands_millions_and_billions(text: str | int, count: int) -> None:
    got = TypeAdapter(Count).validate_python(text)
    assert got == count
    assert isinstance(got, int)


@pytest.mark.parametrize("text", ["1.5", 2.5, "2X", "0", -3, True, "1e-7M"])
def test_what_is_no_whole_count_of_at_least_one_is_refused(text: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Count).validate_python(text)


@given(st.sampled_from(QUANTITIES), st.floats(0, 1))
@example(DURATION, 9999979201 / 1e10)
def test_a_quantity_shown_is_read_back_exactly(quantity: Quantity, share: float) -> None:
    value = share * min(quantity.most, 1e15)
    assert quantity.read(quantity.show(value)) == value


def test_a_quantity_is_shown_as_a_person_would_write_it() -> None:
    assert [DURATION.show(seconds) for seconds in (0, 0.25, 90, 1800, 5400, 86400)] == [
        "0s",
        "250ms",
        "90s",
        "30min",
        "1.5h",
        "1d",
    ]
    assert [SIZE.show(200e6), COMPUTE.show(17e9), POWER.show(1.6)] == ["200MB", "17GFLOPS", "1.6W"]
