"""The arithmetic of models by where they run.

On a CPU everything is float32, but for products in training where a scenario asks for bfloat16: those of a softmax over
the catalogue, and those of an encoder.
On CUDA, small models rank in float32 too, as the phones that they stand for do; training and the LLM are in mixed
precision: products in bfloat16 where PyTorch's autocast deems that safe, else in TF32, sums and weights in float32.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from fleetrec.models.runtime.pytorch import torch, torch_version

if TYPE_CHECKING:
    from torch import Tensor

Precision = Literal["float32", "bfloat16"]


def arithmetic_of(device: str | torch.device) -> str:
    """What training on `device` computes with."""
    return "cpu" if _is_cpu(device) else f"{torch.device(device).type}, bfloat16"


def _is_cpu(device: str | torch.device) -> bool:
    """Without PyTorch, where a name says it."""
    return device == "cpu" or torch.device(device).type == "cpu"


def computed_with(
    threads: int, device: str | torch.device, softmax: Precision = "float32", encoder: Precision = "float32"
) -> dict[str, Any]:
    """What decides the last bits of trained weights beside data and configuration, as it stands in their keys.
    `softmax`, `encoder`: what is asked for of the products of a softmax over the catalogue, and of an encoder."""
    narrow = {
        name: "bfloat16"
        for name, asked in (("softmax", softmax), ("encoder", encoder))
        if narrow_products(asked, device)
    }
    return {"threads": threads, "torch": torch_version(), "device": arithmetic_of(device), **narrow}


def narrow_products(asked: Precision, device: str | torch.device) -> bool:
    """Whether products in training are in bfloat16 on a CPU: where that is asked for and the processor has instructions
    for it; where it has none, float32 takes its place, said once on standard error."""
    return asked == "bfloat16" and _is_cpu(device) and _multiplies_bfloat16()


@cache
def _multiplies_bfloat16() -> bool:
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # PyTorch before 2.10 does not tell
    able = any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))
    if not able:
        print(
            "warning: training.softmax_precision, training.encoder_precision: this processor has no bfloat16 products "
            "that PyTorch tells of, so they are in float32, which takes longer",
            file=sys.stderr,
        )
    return able


@contextmanager
def mixed_precision(device: str | torch.device) -> Iterator[None]:
    """On CUDA, autocast to bfloat16, and TF32 for what stays float32; on a CPU nothing changes."""
    if _is_cpu(device):
        yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    try:
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
        torch.backends.cudnn.allow_tf32 = False


def backward(losses: Sequence[Tensor], gradients: Sequence[Tensor] | None = None) -> None:
    """`torch.autograd.backward` outside autocast: an operation's gradient has the format that the operation had."""
    with torch.autocast(losses[0].device.type, enabled=False):
        torch.autograd.backward(losses, gradients)
