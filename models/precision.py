"""The arithmetic of models by where they run.

On a CPU everything is float32. On CUDA, small models rank in float32 too, as the phones that they stand for do;
training and the LLM are in mixed precision: products in bfloat16 where PyTorch's autocast deems that safe, else in
TF32, sums and weights in float32.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

# cuBLAS is deterministic only with a workspace of fixed size, and reads this when it is first used.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def arithmetic_of(device: str | torch.device) -> str:
    """What training on `device` computes with, as it stands in the keys of what is cached."""
    kind = torch.device(device).type
    return kind if kind == "cpu" else f"{kind}, bfloat16"


@contextmanager
def mixed_precision(device: str | torch.device) -> Iterator[None]:
    """On CUDA, autocast to bfloat16, and TF32 for what stays float32; on a CPU nothing changes."""
    if torch.device(device).type == "cpu":
        yield
        return
    with _float32_products("high"), torch.autocast(torch.device(device).type, torch.bfloat16):
        yield


def backward(losses: Sequence[Tensor], gradients: Sequence[Tensor] | None = None) -> None:
    """`torch.autograd.backward` outside autocast: an operation's gradient has the format that the operation had."""
    with torch.autocast(losses[0].device.type, enabled=False):
        torch.autograd.backward(losses, gradients)


@contextmanager
def full_precision(device: str | torch.device) -> Iterator[None]:
    """On CUDA, float32 products in float32, where PyTorch's own choice for recurrent layers is TF32."""
    if torch.device(device).type == "cpu":
        yield
        return
    with _float32_products("highest"):
        yield


@contextmanager
def _float32_products(precision: str) -> Iterator[None]:
    matmul, cudnn = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision(precision)
    torch.backends.cudnn.allow_tf32 = precision == "high"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(matmul)
        torch.backends.cudnn.allow_tf32 = cudnn
