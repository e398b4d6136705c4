"""Quantities with units in a scenario file: `250ms`, `6h`, `2MB`, `20Mbps`, `8GFLOPS`, `15kJ`, `2M` devices.

A bare number is taken in the base unit (seconds, bytes, bits per second, FLOP/s, watts, joules).
Decimal prefixes are powers of 1000; `KiB`, `MiB`, `GiB` are powers of 1024.
"""

import math
import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, Field


@dataclass(frozen=True)
class Quantity:
    """What a number with a unit is: `units` maps a unit's name to its size in `base`."""

    what: str
    units: dict[str, float]
    base: str
    example: str
    most: float = 1e21
    """in the base unit: what is more is a slip of the pen, and sums of it would not be numbers"""

    def __hash__(self) -> int:
        return hash(self.what)

    def show(self, value: float) -> str:
        """The shortest way to write `value` exactly with a unit: 1800 s is `30min`."""
        if value == 0:
            return f"0{self.base}"
        sizes = {size: unit for unit, size in reversed(self.units.items())}
        texts = [f"{value / size:g}{unit}" for size, unit in sorted(sizes.items(), reverse=True)]
        exact = [
            text for text in texts if self._number(text) == value and not text.startswith("0.") and "e" not in text
        ]
        return min(exact, key=len, default=f"{value!r}{self.base}")

    def read(self, value: Any) -> float:
        """The value in the base unit. Raises ValueError for anything but a finite number with or without a unit."""
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise ValueError(f"expected a {self.what} such as {self.example}, got {value!r}")
        number = self._number(value) if isinstance(value, str) else float(value)
        if not math.isfinite(number):
            raise ValueError(f"expected a finite {self.what}, got {value!r}")
        if abs(number) > self.most:
            raise ValueError(f"expected a {self.what} of at most {self.most:g}{self.base}, got {value!r}")
        return number

    def _number(self, text: str) -> float:
        """What a text says in the base unit, however much."""
        match = _QUANTITY.fullmatch(text)
        if not match or match[2] not in ("", *self.units):
            units = ", ".join(filter(None, self.units))
            raise ValueError(f"expected a {self.what} such as {self.example} (units: {units}), got {text!r}")
        return float(match[1].replace("_", "")) * self.units[match[2] or self.base]


DURATION = Quantity(
    "duration",
    {"us": 1e-6, "ms": 1e-3, "s": 1, "min": 60, "m": 60, "h": 3600, "d": 86400},
    "s",
    "250ms, 30min or 6h",
    1e10,
)
SIZE = Quantity(
    "size",
    {"B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30},
    "B",
    "500kB or 2MB",
)
BANDWIDTH = Quantity("bandwidth", {"bps": 1, "kbps": 1e3, "Kbps": 1e3, "Mbps": 1e6, "Gbps": 1e9}, "bps", "20Mbps")
TRANSFER = Quantity(
    "transfer rate", {"B/s": 1, "kB/s": 1e3, "MB/s": 1e6, "GB/s": 1e9, "TB/s": 1e12, "Gbps": 1.25e8}, "B/s", "25GB/s"
)
COMPUTE = Quantity("compute speed", {"FLOPS": 1, "MFLOPS": 1e6, "GFLOPS": 1e9, "TFLOPS": 1e12}, "FLOPS", "8GFLOPS")
POWER = Quantity("power", {"mW": 1e-3, "W": 1, "kW": 1e3}, "W", "2.5W")
ENERGY = Quantity("energy", {"mJ": 1e-3, "J": 1, "kJ": 1e3, "MJ": 1e6, "Wh": 3600, "kWh": 3.6e6}, "J", "15kJ or 12Wh")
COUNT = Quantity("whole number", {"": 1, "k": 1e3, "K": 1e3, "M": 1e6, "B": 1e9}, "", "2000, 500k or 2M")

_QUANTITY = re.compile(r"\s*([+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-z]*(?:/s)?)\s*")


def _reader(quantity: Quantity) -> BeforeValidator:
    return BeforeValidator(quantity.read, json_schema_input_type=float | str)


Seconds = Annotated[float, DURATION, _reader(DURATION), Field(ge=0)]
"""A time of at least 0 s, such as `250ms`, `30min` or `6h`; a bare number is seconds."""
Bytes = Annotated[float, SIZE, _reader(SIZE), Field(ge=0)]
"""A size of at least 0 bytes, such as `500kB` or `2MB`; a bare number is bytes."""
BitsPerSecond = Annotated[float, BANDWIDTH, _reader(BANDWIDTH), Field(gt=0)]
BytesPerSecond = Annotated[float, TRANSFER, _reader(TRANSFER), Field(gt=0)]
FlopsPerSecond = Annotated[float, COMPUTE, _reader(COMPUTE), Field(gt=0)]
Watts = Annotated[float, POWER, _reader(POWER), Field(ge=0)]
Joules = Annotated[float, ENERGY, _reader(ENERGY), Field(ge=0)]
"""An energy of at least 0 J, such as `15kJ` or `12Wh`; a bare number is joules."""


def _whole(value: Any) -> int:
    number = COUNT.read(value)
    if number != int(number):
        raise ValueError(f"expected a {COUNT.what} such as {COUNT.example}, got {value!r}")
    return int(number)


Count = Annotated[int, COUNT, BeforeValidator(_whole, json_schema_input_type=int | str), Field(ge=1)]

Share = Annotated[float, Field(ge=0, le=1)]
"""A number between 0 and 1."""
