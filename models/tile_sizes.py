"""How many windows models encode at once: as many as a processor's cache holds, or as fill a GPU."""

TILE, SMALL_TILE = 128, 64
"""on a processor; small: where what attention compares is to stay in its cache too"""
_CUDA_TILE = 4096


def tile_on(tile: int, device: str) -> int:
    """Windows at once on `device` (cpu, cuda or cuda:N) of a model that encodes `tile` on a processor."""
    return _CUDA_TILE if device.startswith("cuda") else tile
