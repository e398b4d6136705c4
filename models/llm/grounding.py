"""Titles that a language model wrote, as items of the catalogue: an exact match, else the nearest by plain similarity.

Titles are compared in one form (lower case, no punctuation, single spaces). Similarity is the cosine of TF-IDF vectors
of the title's words and pairs of words; below a threshold an answer stays ungrounded.
"""

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags_array

_NUMBERING = re.compile(r"^\s*(?:\d{1,3}\s*[.):]|[-*•])\s*")
_DIGITS = 9  # of a similarity: the last bits of a sum decide nothing


def normalised(title: str) -> str:
    """The form in which titles are compared."""
    folded = unicodedata.normalize("NFKC", title).casefold()
    return " ".join(re.sub(r"[^\w\s]|_", " ", folded).split())


def answers_of(text: str, most: int) -> list[str]:
    """The titles in a model's answer: its lines, at most `most`, without numbers, bullets and quotes around them."""
    lines = (_NUMBERING.sub("", line).strip().strip("\"'“”`*").strip() for line in text.splitlines())
    return [line for line in lines if normalised(line)][:most]


class Grounding:
    """A catalogue's titles, ready to be found. Items without a title are never found."""

    def __init__(self, titles: Sequence[str], min_similarity: float):
        """`min_similarity` in 0..1: an answer less similar than this to every title is ungrounded."""
        self._min_similarity = min_similarity
        forms = [normalised(title) for title in titles]
        self._exact: dict[str, int] = {}
        for item, form in enumerate(forms):
            if form:
                self._exact.setdefault(form, item)  # of equal titles, the lower item
        terms = [_terms(form) for form in forms]
        self._column = {term: place for place, term in enumerate(sorted({term for own in terms for term in own}))}
        counts = self._counts(terms)
        held_by = np.bincount(counts.indices, minlength=len(self._column))
        self._idf = np.log((1 + len(forms)) / (1 + held_by)) + 1.0
        self._items = self._weighted(counts)

    def find(self, answers: Sequence[str]) -> NDArray[np.int64]:
        """The item [len(answers)] that each answer means; -1 where none is near enough. Ties go to the lower item."""
        forms = [normalised(answer) for answer in answers]
        found = np.array([self._exact.get(form, -1) for form in forms], dtype=np.int64)
        unclear = np.flatnonzero(found < 0)
        if len(unclear) == 0 or not self._column:
            return found
        asked = self._weighted(self._counts([_terms(forms[place]) for place in unclear.tolist()]))
        similarity = (asked @ self._items.T).tocsr()
        for row, place in enumerate(unclear.tolist()):
            part = slice(similarity.indptr[row], similarity.indptr[row + 1])
            values, items = np.round(similarity.data[part], _DIGITS), similarity.indices[part]
            if len(values) and values.max() >= self._min_similarity:
                found[place] = items[values == values.max()].min()
        return found

    def _counts(self, terms: Sequence[list[str]]) -> csr_matrix:
        """[M, terms]: how often each known term occurs."""
        known = [[self._column[term] for term in own if term in self._column] for own in terms]
        row = np.repeat(np.arange(len(known)), [len(own) for own in known])
        column = np.array([place for own in known for place in own], dtype=np.int64)
        return csr_matrix((np.ones(len(row)), (row, column)), shape=(len(known), len(self._column)))

    def _weighted(self, counts: csr_matrix) -> csr_matrix:
        weighted = csr_matrix(counts @ diags_array(self._idf))
        norm = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).reshape(-1))
        return csr_matrix(diags_array(1.0 / np.where(norm > 0, norm, 1.0)) @ weighted)


def _terms(form: str) -> list[str]:
    words = form.split()
    return words + [f"{first} {second}" for first, second in pairwise(words)]
