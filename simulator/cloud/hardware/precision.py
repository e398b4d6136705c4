"""Number formats of weights and of the KV cache: what a number takes in memory, and which arithmetic a GPU does on it.

Only the weights of the layers are narrower than 16 bits: engines keep embedding tables and the output projection wide.
Weights of 4 bits (AWQ, GPTQ) are widened before they are multiplied; 8-bit and FP4 ones are multiplied as they are
where the GPU can, and widened to 16 bits where it cannot, as vLLM does.
"""

from typing import Literal, NamedTuple

from fleetrec.simulator.scenario.sections import WeightFormat

KvFormat = Literal["fp32", "fp16", "fp8"]
Rate = Literal["32bit", "16bit", "fp8", "int8", "fp4"]


class NumberFormat(NamedTuple):
    """A format of weights."""

    bytes: float
    """of a number, with its share of the scales"""
    rate: Rate
    """the arithmetic that its products are made in"""


WEIGHTS: dict[WeightFormat, NumberFormat] = {
    "fp32": NumberFormat(4.0, "32bit"),
    "fp16": NumberFormat(2.0, "16bit"),
    "bf16": NumberFormat(2.0, "16bit"),
    "fp8": NumberFormat(1.0, "fp8"),  # a scale a tensor, or a channel
    "fp8_block": NumberFormat(1.0, "fp8"),  # a scale a block of 128 x 128
    "int8": NumberFormat(1.0, "int8"),
    "int4": NumberFormat(0.5 + 2.5 / 128, "16bit"),  # groups of 128: a 16-bit scale and a 4-bit zero
    "nvfp4": NumberFormat(0.5 + 1 / 16, "fp4"),  # groups of 16: an 8-bit scale
    "mxfp4": NumberFormat(0.5 + 1 / 32, "fp4"),  # groups of 32: an 8-bit exponent
}
KV_BYTES: dict[KvFormat, int] = {"fp32": 4, "fp16": 2, "fp8": 1}
"""of a number in the KV cache; fp16 stands for bf16 too"""
