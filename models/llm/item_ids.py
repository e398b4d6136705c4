"""Item ids as short sequences of tokens, for language models that write an item instead of scoring all of them.

Every id has the same number of tokens, each position with tokens of its own, so ids need no separator. Two ways of
Hua et al. 2023, "How to Index Item IDs for Recommendation Foundation Models": `sequential` numbers items in the order
in which users come to have them, `collaborative` clusters the graph of items that the same users have.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags_array

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.sequences import TrainingSet

Ints = NDArray[np.int64]

_PAIRS = 256**2  # sequential ids of up to this many items have two tokens
_SMALL = 1000  # collaborative ids of up to this many items have two tokens, else three
_SLACK = 2.0  # places in clusters per item: clusters need not be equally large
_VECTORS, _SPARE = 32, 8  # eigenvectors of a clustering, and more for their convergence
_ROUNDS = 20


@dataclass(frozen=True)
class ItemIds:
    """All items' ids, no two of them equal."""

    codes: Ints  # [I, D]: which of position p's `width` tokens stands at position p of an item's id
    width: int

    @property
    def n_items(self) -> int:
        return len(self.codes)

    @property
    def depth(self) -> int:
        """D, tokens of an id."""
        return int(self.codes.shape[1])

    @property
    def n_tokens(self) -> int:
        """Size of the vocabulary of ids."""
        return self.depth * self.width

    @property
    def tokens(self) -> Ints:
        """[I, D]: places in the vocabulary of ids."""
        return self.codes + np.arange(self.depth) * self.width


@dataclass(frozen=True)
class Trie:
    """All ids as a tree. Nodes 0..I-1 are items, the others prefixes of ids; node `root` is the empty prefix."""

    children: Ints  # [nodes, width]: the child by its token; -1: none
    prefix: Ints  # [nodes, D]: codes so far, 0 beyond them
    root: int

    @property
    def n_nodes(self) -> int:
        return len(self.children)


def trie_of(ids: ItemIds) -> Trie:
    """The tree of `ids`."""
    levels = [np.unique(ids.codes[:, :p], axis=0) for p in range(ids.depth)]
    begin = ids.n_items + np.cumsum([0, *(len(level) for level in levels)])
    children = np.full((begin[-1], ids.width), -1)
    prefix = np.zeros((begin[-1], ids.depth), dtype=np.int64)
    prefix[: ids.n_items] = ids.codes
    for p, level in enumerate(levels):
        prefix[begin[p] : begin[p + 1], :p] = level
        below = ids.codes if p + 1 == ids.depth else levels[p + 1]
        first = 0 if p + 1 == ids.depth else begin[p + 1]
        _, parent = np.unique(below[:, :p], axis=0, return_inverse=True)
        children[begin[p] + parent.reshape(-1), below[:, p]] = first + np.arange(len(below))
    return Trie(children, prefix, int(begin[0]))


def item_ids(kind: str, data: TrainingSet, seed: int) -> ItemIds:
    """Ids of all items, from the learning part of `data` alone. `kind`: sequential or collaborative."""
    if kind == "sequential":
        return sequential_ids(data)
    if kind == "collaborative":
        return collaborative_ids(data, seed)
    raise InputError(f"llm.candidates.item_ids: {kind!r} is no kind of ids; choose sequential or collaborative")


def sequential_ids(data: TrainingSet) -> ItemIds:
    """Items numbered user by user in the order they were had; items nobody had come last. The digits are the tokens."""
    trained = data.items[data.events_before(data.fit_end)].astype(np.int64)
    had, first = np.unique(trained, return_index=True)
    order = np.concatenate([had[np.argsort(first)], np.setdiff1d(np.arange(data.n_items), had)])
    depth = 2 if data.n_items <= _PAIRS else 3
    width = _root(data.n_items, depth)
    number = np.empty(data.n_items, dtype=np.int64)
    number[order] = np.arange(data.n_items)
    return ItemIds(number[:, None] // width ** np.arange(depth - 1, -1, -1) % width, width)


def collaborative_ids(data: TrainingSet, seed: int) -> ItemIds:
    """Spectral clustering of the co-occurrence graph, again within each cluster; the last token tells items apart.

    A cluster takes no more items than ids can be told apart below it; those farthest from its centre go elsewhere.
    """
    depth = 2 if data.n_items <= _SMALL else 3
    width = _root(int(_SLACK * data.n_items), depth)
    graph = _co_occurrence(data)
    codes = np.zeros((data.n_items, depth), dtype=np.int64)
    generator = np.random.default_rng(seed)

    def divide(members: Ints, level: int) -> None:
        room = width ** (depth - 1 - level)
        if room == 1 or len(members) <= 1:
            codes[members, level] = np.arange(len(members))
            return
        groups = min(width, max(2, -(-int(_SLACK * len(members)) // room)))
        cluster = _clusters(graph[members][:, members], groups, room, generator)
        codes[members, level] = cluster
        for one in np.unique(cluster):
            divide(members[cluster == one], level + 1)

    divide(np.arange(data.n_items), 0)
    return ItemIds(codes, width)


def _root(n: int, depth: int) -> int:
    """The least width whose power of `depth` is at least n."""
    width = max(1, int(n ** (1 / depth)) - 1)
    while width**depth < n:
        width += 1
    return width


def _co_occurrence(data: TrainingSet) -> csr_matrix:
    """[I, I]: in how many users' learning parts two items meet; nothing on the diagonal."""
    trained = data.events_before(data.fit_end)
    user, item = data.user_of_event[trained], data.items[trained]
    had = csr_matrix((np.ones(len(user)), (user, item)), shape=(data.n_users, data.n_items))
    had.data[:] = 1.0  # an item had twice by one user counts once
    graph = csr_matrix(had.T @ had)
    graph.setdiag(0.0)
    graph.eliminate_zeros()
    return graph


def _clusters(graph: csr_matrix, groups: int, room: int, generator: np.random.Generator) -> Ints:
    """Cluster [n] of each node: k-means on the leading eigenvectors of the normalised graph, at most `room` each."""
    n = graph.shape[0]
    degree = np.asarray(graph.sum(axis=1), dtype=np.float64).reshape(-1)
    scale = diags_array(1.0 / np.sqrt(np.maximum(degree, 1.0)))
    normalised = csr_matrix(scale @ graph @ scale)
    vectors = _leading_vectors(normalised, min(groups, _VECTORS, n), generator)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    centres = vectors[generator.permutation(n)[:groups]]
    for _ in range(_ROUNDS):
        nearest = _distances(vectors, centres).argmin(axis=1)
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, vectors)
        counts = np.bincount(nearest, minlength=len(centres))
        centres = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centres)
    return _with_room(_distances(vectors, centres), room)


def _leading_vectors(matrix: csr_matrix, wanted: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """[n, wanted]: about the eigenvectors of the largest eigenvalues, all within -1..1, by block power iteration.

    Clusters need no more; unlike a Krylov method it does not fail on graphs without edges or of many equal parts.
    """
    n = matrix.shape[0]
    block = np.linalg.qr(generator.standard_normal((n, min(n, wanted + _SPARE))))[0]
    for _ in range(_ROUNDS):
        block = np.linalg.qr(matrix @ block + block)[0]  # one added to every eigenvalue: the negative ones come last
    small = block.T @ (matrix @ block)
    return np.asarray(block @ np.linalg.eigh((small + small.T) / 2)[1][:, -wanted:])


def _distances(points: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """[n, groups]: squared distances, rounded so that the last bits decide nothing."""
    squares = (points**2).sum(axis=1)[:, None] - 2.0 * points @ centres.T + (centres**2).sum(axis=1)[None, :]
    return np.asarray(np.round(squares, 9))


def _with_room(distance: NDArray[np.float64], room: int) -> Ints:
    """Each point's nearest cluster that has room, the closest points choosing first."""
    chosen = np.full(len(distance), -1)
    left = np.full(distance.shape[1], room)
    preferred = np.argsort(distance, axis=1, kind="stable")
    for point in np.argsort(distance.min(axis=1), kind="stable").tolist():
        for cluster in preferred[point].tolist():
            if left[cluster]:
                chosen[point] = cluster
                left[cluster] -= 1
                break
    return chosen
