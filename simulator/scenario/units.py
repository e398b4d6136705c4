"""Quantities with units in a scenario file: `250ms`, `6h`, `2MB`, `20Mbps`, `8GFLOPS`, `15kJ`.

A bare number is taken in the base unit (seconds, bytes, bits per second, FLOP/s, watts, joules).
Decimal prefixes are powers of 1000; `KiB`, `MiB`, `GiB` are powers of 1024.
"""

import math
import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

_DURATION = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_RATE = {"bps": 1.0, "kbps": 1e3, "Kbps": 1e3, "Mbps": 1e6, "Gbps": 1e9}
_FLOPS = {"FLOPS": 1.0, "MFLOPS": 1e6, "GFLOPS": 1e9, "TFLOPS": 1e12}
_POWER = {"mW": 1e-3, "W": 1.0, "kW": 1e3}
_ENERGY = {"mJ": 1e-3, "J": 1.0, "kJ": 1e3, "MJ": 1e6, "Wh": 3600.0, "kWh": 3.6e6}

_QUANTITY = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-z]*)\s*")


def _reader(what: str, units: dict[str, float], base: str, example: str) -> BeforeValidator:
    def read(value: Any) -> Any:
        if isinstance(value, bool):
            raise ValueError(f"expected a {what} such as {example}, got {value!r}")
        if isinstance(value, (int, float)):
            number = float(value)
        elif isinstance(value, str):
            match = _QUANTITY.fullmatch(value)
            if not match or match[2] not in ("", *units):
                raise ValueError(f"expected a {what} such as {example} (units: {', '.join(units)}), got {value!r}")
            number = float(match[1]) * units[match[2] or base]
        else:
            raise ValueError(f"expected a {what} such as {example}, got {value!r}")
        if not math.isfinite(number):
            raise ValueError(f"expected a finite {what}, got {value!r}")
        return number

    return BeforeValidator(read, json_schema_input_type=float | str)


Seconds = Annotated[float, _reader("duration", _DURATION, "s", "250ms, 30min or 6h"), Field(ge=0)]
Bytes = Annotated[float, _reader("size", _BYTES, "B", "500kB or 2MB"), Field(ge=0)]
BitsPerSecond = Annotated[float, _reader("bandwidth", _RATE, "bps", "20Mbps"), Field(gt=0)]
FlopsPerSecond = Annotated[float, _reader("compute speed", _FLOPS, "FLOPS", "8GFLOPS"), Field(gt=0)]
Watts = Annotated[float, _reader("power", _POWER, "W", "2.5W"), Field(ge=0)]
Joules = Annotated[float, _reader("energy", _ENERGY, "J", "15kJ or 12Wh"), Field(ge=0)]

Share = Annotated[float, Field(ge=0, le=1)]
