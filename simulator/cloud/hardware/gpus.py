"""A GPU: peaks of its data sheet, power, and the range of its prices."""

from typing import Self

from pydantic import Field, model_validator

from fleetrec.simulator.cloud.hardware.precision import WEIGHTS
from fleetrec.simulator.scenario.sections import PriceRange, Section, Tariffs, WeightFormat


class GpuSources(Section):
    hardware: str
    memory: str
    idle_power: str
    power_curve: str
    price: str


class GpuSpec(Section):
    """A GPU: peaks of the data sheet, power and price."""

    name: str
    title: str
    devices: tuple[str, ...] = Field((), description="what drivers and makers call it")
    memory_bytes: float = Field(gt=0, description="that a program can allocate")
    bandwidth_bytes_per_s: float = Field(gt=0)
    flops_32bit: float = Field(gt=0)
    flops_16bit: float = Field(gt=0)
    flops_int8: float = Field(gt=0)
    flops_fp8: float | None = Field(None, gt=0, description="none: it has no arithmetic of this kind")
    flops_fp4: float | None = Field(None, gt=0)
    link_bytes_per_s: float = Field(gt=0, description="to another GPU of the same server, one direction")
    power_w: float = Field(gt=0, description="the board's power limit")
    idle_power_w: float = Field(gt=0, description="board power while nothing runs")
    busy_power_w: float = Field(gt=0, description="board power while it serves at a vanishing share of its FLOP/s")
    half_load: float = Field(gt=0, lt=1, description="share of its FLOP/s half way from busy_power_w to power_w")
    price: PriceRange
    sources: GpuSources

    @model_validator(mode="after")
    def _figures_rise(self) -> Self:
        if not self.idle_power_w <= self.busy_power_w <= self.power_w:
            raise ValueError("idle_power_w, busy_power_w and power_w must not fall in this order")
        if problem := self.price.problem():
            raise ValueError(f"price: {problem}")
        return self

    def peak_flops(self, weights: WeightFormat) -> float:
        """Dense peak, FLOP/s, of products with weights of this format: in 16 bits where the GPU has none of its own."""
        peaks = {
            "32bit": self.flops_32bit,
            "16bit": self.flops_16bit,
            "int8": self.flops_int8,
            "fp8": self.flops_fp8,
            "fp4": self.flops_fp4,
        }
        return peaks[WEIGHTS[weights].rate] or self.flops_16bit

    def usd_per_hour(self, tariffs: Tariffs) -> float:
        """What an hour costs: the tariff's own price, or that of the range which it names."""
        own = tariffs.gpu_hour
        if isinstance(own, float):
            return own
        prices = own if isinstance(own, PriceRange) else self.price
        return {"low": prices.low, "high": prices.high}.get(own if isinstance(own, str) else "", prices.typical)
