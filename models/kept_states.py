"""The user states and item vectors of a small model, from the cache where they have been computed before.

What is kept is no more than takes less time to read than PyTorch takes to load.
"""

from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from fleetrec.models.runtime.artifacts import ArtifactStore, content_hash
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.processor import vector_instructions
from fleetrec.models.runtime.pytorch import torch_version
from fleetrec.models.srm.deployment import Deployed

if TYPE_CHECKING:
    from torch import Tensor

    from fleetrec.models.prefixes import Quick

Ints = NDArray[np.int64]
Singles = NDArray[np.float32]

FORMAT = 1  # of the artifact and of how states are computed: raise it when either changes
_ARTIFACT, _FILE = "srm_states", "states.safetensors"
_KEPT_BYTES = 16 * 2**20
"""of states: 130,000 of 32 numbers, which take 0.3 s to compute"""


def states_and_vectors(
    srm: Deployed,
    offsets: Ints,
    items: NDArray[np.int32],
    first: Ints,
    users: Ints,
    store: ArtifactStore,
    quick: "Quick | None" = None,
) -> "tuple[Singles | Tensor, Ints, Singles | Tensor]":
    """States float32 [R, d] of `users` after their positions from `first` [U] on, row offsets [U+1], and item vectors
    float32 [n_items, d]: see models/prefixes.py, as is `quick`. Arrays, or tensors where a model computes them now."""
    shape, wanted = srm.kept.shape, np.maximum(np.diff(offsets) - first, 0)[users]
    small = 4 * shape.dim * (int(wanted.sum()) + shape.n_items) <= _KEPT_BYTES
    key = {
        "format": FORMAT,
        "srm": srm.content_hash,
        "shape": asdict(shape),
        "asked": content_hash(offsets, items, first, users),
        "torch": torch_version(),
        "processor": vector_instructions(),
    }
    folder = store.open(_ARTIFACT, key) if small else None
    if folder is not None:
        kept = load_file(folder / _FILE)
        return kept["states"], kept["row_offsets"], kept["vectors"]
    from fleetrec.models.prefixes import prefix_states, rounded_item_vectors

    vectors = rounded_item_vectors(srm.model)
    states, row_offsets = prefix_states(srm.model, offsets, items, first, users, quick=quick)
    if small and states.device.type == "cpu":
        with suppress(InputError), store.creating(_ARTIFACT, key) as temporary:  # a cache that may only be read
            tables = {"states": states.numpy(), "row_offsets": row_offsets, "vectors": vectors.numpy()}
            save_file(tables, temporary / _FILE)
    return states, row_offsets, vectors
