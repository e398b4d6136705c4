"""One line of a list: its mark, its number, and the title in it."""

import re
from collections.abc import Callable
from dataclasses import dataclass

_KEYCAP = re.compile(r"(\d)\ufe0f?\u20e3")
_CIRCLED = str.maketrans({chr(0x2460 + at): f"{at + 1}. " for at in range(20)} | {"🔟": "10. "})
_LABEL = r"(?:no|nr|item|rank|title|movie|film|book|recommendation|pick|option|第)"
_NUMBERED = re.compile(
    rf"^[*_>\s]{{0,6}}(?:(?P<label>{_LABEL})\.?\s*)?[#(\[【]?\s*(?P<number>\d{{1,3}})\s*"
    r"(?P<mark>[.)\]】、．:：]+(?!\d)|位[：:]?|[-–—](?=\s)|\t|\*\*(?=\s))[*_]{0,3}\s*(?P<rest>.*)$",
    re.IGNORECASE,
)
_HASHED = re.compile(r"^[*_]{0,2}#\s?(?P<number>\d{1,3})(?P<mark>\s)\s*(?P<rest>\S.*)$")
_BARE = re.compile(r"^(?P<number>\d{1,3})(?P<mark> )\s*(?P<rest>\S.*)$")
_ROMAN = re.compile(r"^\(?(?P<number>[ivx]{1,5})(?P<mark>[.)])\s+(?P<rest>.*)$", re.IGNORECASE)
_LETTERED = re.compile(r"^\(?(?P<number>[a-z])(?P<mark>[.)])\s+(?P<rest>.*)$", re.IGNORECASE)
_BULLET = re.compile(
    r"^(?:(?:[-*] \[[ xX]?\]|[-*+•‣▪●○◦·✓✔☑→►▶★☆⭐➤»>–—◆]|\[[ xX]?\])\s+|[•‣▪●○◦►▶➤◆・]\s*|"
    r"[\U0001f300-\U0001faff]\ufe0f?\s+|-(?=[^\W\d_]))(?=\S)"
)
_ROMANS = "i ii iii iv v vi vii viii ix x xi xii xiii xiv xv xvi xvii xviii xix xx".split()
_NAMED = re.compile(
    r"^[*_]{0,2}(?:title|movie(?: title)?|film|name|item|book|product|track|song|game|titre|titel|t[ií]tulo|"
    r"タイトル|标题)\s*[:：][*_]{0,2}\s*",
    re.IGNORECASE,
)
_LINK = re.compile(r"!?\[([^\[\]]+)\]\([^()\s]*(?:\s+\"[^\"]*\")?\)")
_STRONG = re.compile(r"^(\*\*|__|\*)(?P<title>[^*]+?)\1(?P<rest>.*)$")
_QUOTES = {'"': '"', "“": "”", "«": "»", "「": "」", "『": "』", "《": "》", "„": "“", "‘": "’", "`": "`"}
_YEAR = re.compile(r"^\s*([(\[]\d{4}[)\]])")
_SCORE = re.compile(
    r"\s*[-–—|,:]?\s*[(\[]?\s*(?:score|confidence|probability|prob|likelihood|match|rating)\s*[:=]?\s*\d[\d.]*\s*%?"
    r"(?:\s*/\s*\d+)?\s*[)\]]?\s*$|\s+[-–—]\s+\d{1,3}(?:\.\d+)?%\s*$|\s+[⭐★☆]+\s*$",
    re.IGNORECASE,
)
_BREAK = re.compile(r"<br\s*/?>|\s\\$", re.IGNORECASE)

Known = Callable[[str], bool]
LABELLED = "label"
"""the mark of a number behind a word: Movie 1: Heat"""


@dataclass(frozen=True)
class Entry:
    """A line; `body` is it without a bullet, `text` also without the number before it, where there is one."""

    whole: str
    indent: int
    number: int | None
    mark: str
    bullet: bool
    body: str
    text: str


def entry(line: str) -> Entry:
    """A line that is not blank."""
    indent = len(line.expandtabs(4)) - len(line.expandtabs(4).lstrip())
    whole = line.strip()
    text = _KEYCAP.sub(r"\1. ", whole.translate(_CIRCLED))
    bullet = _BULLET.match(text)
    if bullet:
        text = text[bullet.end() :].strip()
    for kind in (_NUMBERED, _HASHED, _BARE, _ROMAN, _LETTERED):
        found = kind.match(text)
        if found:
            number = _value(kind, found["number"])
            if number is not None:
                mark = "bare" if kind is _BARE else "letter" if kind in (_ROMAN, _LETTERED) else found["mark"].strip()
                mark = LABELLED if kind is _NUMBERED and found["label"] else mark
                return Entry(whole, indent, number, mark, bullet is not None, text, found["rest"].strip())
    return Entry(whole, indent, None, "", bullet is not None, text, text)


def _value(kind: re.Pattern[str], number: str) -> int | None:
    if kind is _ROMAN:
        return _ROMANS.index(number.lower()) + 1 if number.lower() in _ROMANS else None
    return ord(number.lower()) - ord("a") + 1 if kind is _LETTERED else int(number)


def title_of(text: str, known: Known) -> tuple[str, str]:
    """The title of a line without marks of emphasis, quotation, links and scores, and what was said beside it.

    What is taken off is what makes it a title that is known; else all that can be.
    """
    tried, beside = [(text.strip(), "")], ""
    now = _BREAK.sub(" ", _LINK.sub(r"\1", text)).strip().rstrip("\\").strip()
    now = _NAMED.sub("", now)
    tried.append((now, beside))
    now = _SCORE.sub("", now)
    strong = _STRONG.match(now)
    if strong and strong["title"].strip():
        now, beside = _with_year(strong["title"], strong["rest"])
        tried.append((now, beside))
        if now.endswith(":"):
            now = now[:-1].strip()
    elif now[:1] in _QUOTES and _QUOTES[now[0]] in now[2:]:
        end = now.index(_QUOTES[now[0]], 2)
        now, beside = _with_year(now[1:end], now[end + 1 :])
        tried.append((now, beside))
    now = now.strip().strip("\"'“”`*_«»").strip()
    if tried[-1][0].endswith(","):
        now = now.rstrip(",").strip()
    now = re.sub(r"[\"”»`*],$", "", now).strip()
    tried.append((now, beside))
    for title, said in tried:
        if title and known(title):
            return title, said
    return tried[-1]


def _with_year(title: str, rest: str) -> tuple[str, str]:
    year = _YEAR.match(rest)
    if year:
        return f"{title.strip()} {year[1]}", rest[year.end() :].strip(" -–—:,.")
    return title.strip(), rest.strip(" -–—:,.")
