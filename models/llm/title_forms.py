"""The forms in which titles are compared, from the strictest to the loosest.

`plain` is the title without case and punctuation; signs that tell titles apart (C, C++, C#), marks of scripts and
numbers stay. `loose` is also without accents, articles and the year, with numbers in one writing.
"""

import re
import unicodedata
from dataclasses import dataclass
from html import unescape

_KEPT = set("#%&@")
_LEFT_OUT = set("™®©℠")
_AS = {"−": "-", "♯": "#", "‘": "'", "’": "'", "ʼ": "'", "`": "'"}
_ENTITY = re.compile(r"&(?:#\d+|#x[0-9a-f]+|[a-z]{2,8}\d{0,2});", re.IGNORECASE)
_ARTICLES = frozenset(["the", "a", "an"])
_FOREIGN = "le la les un une des el los las il lo gli uno una der die das den ein eine o os as de het een".split()
_SMALL = frozenset("the a an of and".split())
_MOVED_ARTICLE = re.compile(
    rf"(?P<rest>[^(\[]+),\s*(?P<article>{'|'.join([*sorted(_ARTICLES), *_FOREIGN])}|l')\s*(?=[(\[]|$)", re.IGNORECASE
)
_YEAR = re.compile(r"\s*[(\[]\s*((?:18|19|20)\d\d)\s*[)\]]\s*$")
_ASIDE = re.compile(r"\s*[(\[]([^()\[\]]*)[)\]]")
_OTHER_NAME = re.compile(r"^\s*(?:a\.?\s?k\.?\s?a\.?|aka|or|also known as)\s+", re.IGNORECASE)
_SUBTITLE = re.compile(r":\s|\s[-–—]\s")
_INITIALS = re.compile(r"(?<=\b[^\W\d_])\.(?=\s?[^\W\d_]\b)|(?<=\.[^\W\d_])\.")
_APOSTROPHE = re.compile(r"(?<=\w)'(?=\w)|'(?=s?\b)")
_ROMAN = re.compile(r"x{0,3}(?:ix|iv|v?i{0,3})")
_ROMAN_VALUE = {"i": 1, "v": 5, "x": 10}
_NUMBER = re.compile(r"\d+")
_COUNTED = frozenset("part pt vol volume episode chapter no book".split())
_WORDS = {
    word: str(number)
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen twenty".split()
    )
} | {"versus": "vs", "&": "and"}
_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d", "ı": "i"})
_ALPHABETS = ("LATIN", "GREEK", "CYRILLIC")


class _Letters(dict[int, str]):
    """What becomes of each letter of a title without case."""

    def __missing__(self, code: int) -> str:
        letter, kind = chr(code), unicodedata.category(chr(code))
        if letter in _KEPT or kind[0] in "LMN" or (kind[0] == "S" and kind != "Sk" and letter not in "|~⁄"):
            self[code] = letter
        else:
            self[code] = "" if kind == "Cf" else " "
        return self[code]


class _Spelled(dict[int, str]):
    """One writing of letters that are written in several ways; a fraction stands apart from the number before it."""

    def __missing__(self, code: int) -> str:
        letter = chr(code)
        if letter in _LEFT_OUT:
            self[code] = ""
        elif unicodedata.category(letter) == "No" and "⁄" in unicodedata.normalize("NFKC", letter):
            self[code] = f" {letter}"
        else:
            self[code] = _AS.get(letter, letter)
        return self[code]


_letters, _spelled = _Letters(), _Spelled()


def plain(title: str) -> str:
    """The title without case and punctuation; of one that is nothing but punctuation, the title itself."""
    spelled = _ENTITY.sub(lambda found: unescape(found[0]), title).translate(_spelled)
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", spelled).casefold())
    return " ".join(folded.translate(_letters).split()) or " ".join(folded.split())


@dataclass(frozen=True)
class Loose:
    """A title in its loosest form."""

    words: tuple[str, ...]
    year: int | None
    """the one in brackets at its end"""

    @property
    def joined(self) -> str:
        """Without blanks: spider man is spiderman."""
        return "".join(self.words)

    @property
    def numbers(self) -> tuple[str, ...]:
        """In their order. Titles whose numbers differ are never the same."""
        return tuple(number.lstrip("0") or "0" for number in _NUMBER.findall(" ".join(self.words)))

    @property
    def telling(self) -> tuple[str, ...]:
        """The words without the smallest ones, where two or more are left."""
        kept = tuple(word for word in self.words if word not in _SMALL)
        return kept if len(kept) > 1 else self.words


def loose(title: str) -> Loose:
    """The loosest form of a title as a whole."""
    dated = _YEAR.search(title)
    if dated and title[: dated.start()].strip():
        return Loose(_words(title[: dated.start()]), int(dated[1]))
    return Loose(_words(title), None)


def other_names(title: str) -> list[Loose]:
    """What else a title is called: without what stands in brackets, by the name in them, or by a beginning that has
    the number of the part (Terminator 2)."""
    whole = loose(title)
    dated = _YEAR.search(title)
    text = title[: dated.start()] if dated else title
    asides = [aside for aside in _ASIDE.findall(text) if aside.strip()]
    names = [_OTHER_NAME.sub("", aside) for aside in asides if _OTHER_NAME.match(aside)]
    bare = _ASIDE.sub(" ", text)
    if asides and not any(_numbered(_words(aside)) for aside in asides):
        names.append(bare)
    beginning = _SUBTITLE.split(bare.strip(), maxsplit=1)
    if len(beginning) == 2 and _numbered(_words(beginning[0])) and len(_words(beginning[0])) > 1:
        names.append(beginning[0])
    found = [Loose(_words(name), whole.year) for name in names if name.strip()]
    return [name for name in found if name.words and name.words != whole.words]


def misspelt(written: str, meant: str) -> bool:
    """Whether two words are long enough, and of a script, in which one may be the other with a slip of the pen."""
    if min(len(written), len(meant)) < 5 or written[0] != meant[0] or abs(len(written) - len(meant)) > 2:
        return False
    if written + "s" == meant or meant + "s" == written:
        return False  # a plural is a word of its own
    return all(letter.isalpha() and unicodedata.name(letter, "").startswith(_ALPHABETS) for letter in written + meant)


def _numbered(words: tuple[str, ...]) -> bool:
    return any(word.isdigit() for word in words)


def _words(text: str) -> tuple[str, ...]:
    spelled = _ENTITY.sub(lambda found: unescape(found[0]), text).translate(_spelled)
    spelled = _MOVED_ARTICLE.sub(r"\g<article> \g<rest> ", spelled.strip(), count=1)
    spelled = _APOSTROPHE.sub("", _INITIALS.sub("", spelled.replace("*", "")))
    words = [_WORDS.get(word, word) for word in _unaccented(plain(spelled)).split()]
    words = [_arabic(word, at, words) for at, word in enumerate(words)]
    words = [
        word
        for at, word in enumerate(words)
        if not (word in _COUNTED and at > 0 and at + 1 < len(words) and words[at + 1].isdigit())
    ]
    return tuple(words[1:] if len(words) > 1 and words[0] in _ARTICLES else words)


def _arabic(word: str, at: int, words: list[str]) -> str:
    """A Roman number in our digits; a single letter I only where a part is counted."""
    if at == 0 or not word or not _ROMAN.fullmatch(word) or (word == "i" and words[at - 1] not in _COUNTED):
        return word
    values = [_ROMAN_VALUE[letter] for letter in word]
    return str(sum(-one if one < after else one for one, after in zip(values, [*values[1:], 0], strict=True)))


def _unaccented(form: str) -> str:
    """Without the accents of alphabets in which they are ornaments; vowels of other scripts stay."""
    if form.isascii():
        return form
    kept: list[str] = []
    alphabet = False
    for letter in unicodedata.normalize("NFD", form.translate(_LETTERS)):
        if unicodedata.category(letter) != "Mn":
            alphabet = unicodedata.name(letter, "").startswith(_ALPHABETS)
            kept.append(letter)
        elif not alphabet:
            kept.append(letter)
    return unicodedata.normalize("NFC", "".join(kept))
