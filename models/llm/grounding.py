"""Titles that a language model wrote, as items of the catalogue: an exact match, else a variant, else a misspelling.

Exact is letter by letter, then without case and punctuation. A variant has other accents, articles or writings of
numbers, or leaves the year out. A misspelling has the same words but for a slip or two. What has a word or a number
more or less than any title, or means several titles alike, stays ungrounded: a part of a title is not the title, and
the next of a series is another item.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.llm.answers import answers_of
from fleetrec.models.llm.title_forms import Loose, loose, misspelt, other_names, plain

__all__ = ["Grounding", "answers_of"]

_LONG = 9  # letters of a word that may have two slips
_WORDS_A_SLIP = 4  # words of a title for each misspelt one after the first


class Grounding:
    """A catalogue's titles, ready to be found. Items without a title are never found."""

    def __init__(self, titles: Sequence[str], min_similarity: float):
        """`min_similarity` in 0..1: a misspelling that is less similar than this to every title is ungrounded."""
        self._least = 100 * min_similarity
        self._titles = [" ".join(title.split()) for title in titles]
        self._plain = [plain(title) for title in self._titles]
        self._loose = [loose(title) for title in self._titles]
        named = [item for item, form in enumerate(self._plain) if form]
        self._by_title = _grouped((self._titles[item], item) for item in named)
        self._by_plain = _grouped((self._plain[item], item) for item in named)
        self._by_loose = _grouped((self._loose[item].joined, item) for item in named)
        self._by_other = _grouped((other.joined, item) for item in named for other in other_names(self._titles[item]))
        self._known = {word for item in named for word in self._loose[item].words}
        by_numbers: dict[tuple[str, ...], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for item in named:
            by_numbers[self._loose[item].numbers][" ".join(self._loose[item].telling)].append(item)
        self._by_numbers = {numbers: dict(forms) for numbers, forms in by_numbers.items()}
        self._found: dict[str, int] = {}

    def knows(self, title: str) -> bool:
        """Whether this is a title of the catalogue as it stands, but for case and punctuation."""
        return plain(title) in self._by_plain

    def find(self, answers: Sequence[str]) -> NDArray[np.int64]:
        """The item [len(answers)] that each answer means; -1 where none is. Of items of one title it is the first."""
        for answer in answers:
            if answer not in self._found:
                self._found[answer] = self._item(" ".join(answer.split()))
        return np.array([self._found[answer] for answer in answers], dtype=np.int64)

    def _item(self, answer: str) -> int:
        from rapidfuzz import fuzz  # here, since most runs read no titles

        form = plain(answer)
        if not form:
            return -1
        if answer in self._by_title:
            return self._by_title[answer][0]
        if form in self._by_plain:
            return max(self._by_plain[form], key=lambda item: (fuzz.ratio(answer, self._titles[item]), -item))
        meant = loose(answer)
        for names in (self._by_loose, self._by_other):
            items = self._of_year(meant.year, names.get(meant.joined, []))
            if items:
                return self._one(form, items)
        return self._one(form, self._of_year(meant.year, self._misspelt(meant)))

    def _of_year(self, year: int | None, items: Sequence[int]) -> list[int]:
        """Those of the items that may be of this year: of the very year, else of none or of one beside it."""
        if year is None:
            return list(items)
        off = {item: abs((self._loose[item].year or year) - year) for item in items}
        same = [item for item in items if self._loose[item].year == year]
        return same or [item for item in items if off[item] <= 1]

    def _one(self, form: str, items: Sequence[int]) -> int:
        """The one whose title is nearest; -1 where different ones are equally near."""
        from rapidfuzz import fuzz

        if not items:
            return -1
        nearness = {item: fuzz.token_sort_ratio(form, self._plain[item]) for item in items}
        best = [item for item in items if nearness[item] == max(nearness.values())]
        return min(best) if len({self._plain[item] for item in best}) == 1 else -1

    def _misspelt(self, meant: Loose) -> list[int]:
        """Items whose words are these but for a slip or two; a word that the catalogue knows is no slip."""
        from rapidfuzz import fuzz, process

        written = meant.telling
        forms = self._by_numbers.get(meant.numbers, {})
        near = process.extract(" ".join(written), forms.keys(), scorer=fuzz.ratio, score_cutoff=self._least, limit=20)
        return [item for form, _, _ in near if self._same(written, form.split(" ")) for item in forms[form]]

    def _same(self, written: Sequence[str], words: Sequence[str]) -> bool:
        from rapidfuzz.distance import OSA

        if len(written) != len(words):
            return False
        slips = [(one, other) for one, other in zip(written, words, strict=True) if one != other]
        return len(slips) <= max(1, len(words) // _WORDS_A_SLIP) and all(
            one not in self._known
            and misspelt(one, other)
            and OSA.distance(one, other) <= (2 if min(len(one), len(other)) >= _LONG else 1)
            for one, other in slips
        )


def _grouped(pairs: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = defaultdict(list)
    for key, item in pairs:
        groups[key].append(item)
    return dict(groups)
