"""The catalogue of the built-in world: items with a genre, a style, a place in a series and a maker, and a popularity.

An item stands in two ordered lists, its series (one genre, one style) and its maker's works (one genre, any style), so
what follows an item depends on which of the two the user is going through. See docs/background/synthetic_world.md.
"""

from dataclasses import dataclass
from itertools import islice, product

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.core.randomness import Draws

_GENRES = (
    "adventure animation biography comedy cooking crime documentary drama family fantasy history horror music mystery "
    "nature romance science sport thriller travel war western politics poetry"
).split()
_STYLES = "wry dark cosy epic quiet playful noir lavish raw dreamy brisk tender surreal stark nostalgic urban".split()
_ADJECTIVES = (
    "Silver Broken Hidden Golden Last Silent Crimson Distant Frozen Hollow Bright Salt Iron Paper Second Wild Pale "
    "Burning Gentle Lost Northern Velvet Stolen Glass Early Copper Restless Secret Winter Narrow Open Blue Amber Quiet "
    "Green Stone Falling Borrowed Long Clear"
).split()
_NOUNS = (
    "Harbor Garden River Letter Crown Road Window Orchard Island Tower Mirror Forest Bridge Lantern Station Valley "
    "Kitchen Summer Archive Market Compass Shore Theatre Circus Engine Meadow Village Desert Song Mountain Ocean "
    "Planet Court Empire Voyage Machine Shadow Promise Neighbour Signal"
).split()
_FIRST = (
    "Mara Ivo Lena Otis Nadia Bruno Selma Viktor Ada Jonas Priya Tomas Inez Hugo Yuki Dario Freya Omar Celia Anton "
    "Rosa Emil Thea Kofi Greta Luis Hana Piotr Zoe Malik"
).split()
_LAST = (
    "Quill Brandt Okafor Lindqvist Moreau Tanaka Vega Castell Hartley Novak Singh Ferro Dahl Abara Keane Rossi Maro "
    "Petrov Sousa Wilde Ito Larsen Duarte Falk Greer Haas Iyer Jansen Kaya Lund"
).split()


@dataclass(frozen=True)
class Catalogue:
    """Items 0..I-1 in cells (genre x style); cell = genre * styles + style. Chains are series, then makers' works."""

    weight: NDArray[np.float64]  # [I] popularity, sums to 1
    cell: NDArray[np.int64]  # [I]
    by_cell: NDArray[np.int64]  # [I] items ordered by cell
    cumulative: NDArray[np.float64]  # [I+1] running sum of weight in that order
    cell_start: NDArray[np.int64]  # [C+1] where each cell begins in that order
    chains_of: NDArray[np.int64]  # [I, 2] its series, its maker
    chain_start: NDArray[np.int64]  # [H+1] where each chain begins in chain_items
    chain_items: NDArray[np.int64]  # [2I] items of each chain, in order
    n_series: int
    genres: int
    styles: int

    def attributes(self) -> tuple[tuple[str, ...], ...]:
        """Genre, style, series, part and maker of every item, as text."""
        part = np.empty(len(self.weight), dtype=np.int64)
        series_items = self.chain_items[: len(part)]
        part[series_items] = np.arange(len(part)) - self.chain_start[self.chains_of[series_items, 0]] + 1
        genres = _names(_GENRES, self.genres)
        styles = _names(_STYLES, self.styles)
        series = _names([f"{a} {n}" for n, a in product(_NOUNS, _ADJECTIVES)], self.n_series)
        makers = _names([f"{f} {n}" for n, f in product(_LAST, _FIRST)], len(self.chain_start) - 1 - self.n_series)
        return tuple(
            (
                genres[c // self.styles],
                styles[c % self.styles],
                series[s],
                f"part {p}",
                f"by {makers[m - self.n_series]}",
            )
            for c, p, (s, m) in zip(self.cell.tolist(), part.tolist(), self.chains_of.tolist(), strict=True)
        )


def titles(attributes: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    """A readable title for every item, different for different items: "Silver Harbor, part 3"."""
    return tuple(f"{series}, {part}" for _, _, series, part, _ in attributes)


def make_catalogue(
    items: int, genres: int, styles: int, series_length: int, popularity_exponent: float, draws: Draws
) -> Catalogue:
    """Items get a genre and a style uniformly and a popularity by Zipf's law over a random order of the catalogue."""
    rank = draws.permutation(items, "item popularity rank")
    weight = (rank + 1.0) ** -popularity_exponent
    weight /= weight.sum()
    everyone = np.arange(items)
    genre = draws.integers(genres, "item genre", everyone)
    cell = genre * styles + draws.integers(styles, "item style", everyone)

    by_cell = np.lexsort((rank, cell))
    # A series holds items of like popularity (so unpopular items follow unpopular ones), in an order of its own.
    series, n_series = _cut(cell[by_cell], series_length)
    shuffle = draws.uniform("place in series", everyone)
    series_items = by_cell[np.lexsort((shuffle[by_cell], series))]
    by_genre = np.lexsort((draws.uniform("maker of item", everyone), genre))
    makers, n_makers = _cut(genre[by_genre], series_length)

    chains_of = np.empty((items, 2), dtype=np.int64)
    chains_of[by_cell, 0] = series
    chains_of[by_genre, 1] = makers + n_series
    lengths = np.concatenate([np.bincount(series, minlength=n_series), np.bincount(makers, minlength=n_makers)])
    return Catalogue(
        weight=np.asarray(weight, dtype=np.float64),
        cell=cell,
        by_cell=by_cell,
        cumulative=np.concatenate([[0.0], np.cumsum(weight[by_cell])]),
        cell_start=np.searchsorted(cell[by_cell], np.arange(genres * styles + 1)),
        chains_of=chains_of,
        chain_start=np.concatenate([[0], np.cumsum(lengths)]),
        chain_items=np.concatenate([series_items, by_genre]),
        n_series=n_series,
        genres=genres,
        styles=styles,
    )


def _cut(groups: NDArray[np.int64], length: int) -> tuple[NDArray[np.int64], int]:
    """Cut each run of equal `groups` (sorted) into near-equal pieces of about `length`; the piece of each row, and how
    many pieces there are."""
    _, run, size = np.unique(groups, return_inverse=True, return_counts=True)
    pieces = np.maximum(1, np.rint(size / length)).astype(np.int64)
    place = np.arange(len(groups)) - np.concatenate([[0], np.cumsum(size)])[run]
    first = np.concatenate([[0], np.cumsum(pieces)])
    return first[run] + place * pieces[run] // size[run], int(first[-1])


def _names(words: list[str], n: int) -> list[str]:
    """`n` different names: the words, then the words again with a number."""
    words = [words[i * 1_009 % len(words)] for i in range(len(words))]  # so that neighbours do not sound alike
    rounds = (word if lap == 0 else f"{word} {lap + 1}" for lap, word in product(range(n // len(words) + 1), words))
    return list(islice(rounds, n))
