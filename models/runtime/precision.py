"""The arithmetic of models by where they run.

On a CPU everything is float32. On CUDA, small models rank in float32 too, as the phones that they stand for do;
training and the LLM are in mixed precision: products in bfloat16 where PyTorch's autocast deems that safe, else in
TF32, sums and weights in float32.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

# cuBLAS is deterministic only with a workspace of fixed size, and reads this when it is first used.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
torch.backends.cudnn.allow_tf32 = False  # outside `mixed_precision`: PyTorch's own choice for recurrent layers is TF32


def arithmetic_of(device: str | torch.device) -> str:
    """What training on `device` computes with."""
    kind = torch.device(device).type
    return kind if kind == "cpu" else f"{kind}, bfloat16"


def computed_with(threads: int, device: str | torch.device) -> dict[str, Any]:
    """What decides the last bits of trained weights beside data and configuration, as it stands in their keys."""
    return {"threads": threads, "torch": torch.__version__, "device": arithmetic_of(device)}


@contextmanager
def mixed_precision(device: str | torch.device) -> Iterator[None]:
    """On CUDA, autocast to bfloat16, and TF32 for what stays float32; on a CPU nothing changes."""
    if torch.device(device).type == "cpu":
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
