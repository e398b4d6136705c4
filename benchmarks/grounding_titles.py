"""How many invented titles are taken for items, and how many plain variants of true titles are found.

Both lists are made here from the titles of real catalogues (FLEETREC_DATA), 2,000 of each. A line a kind, then the two
shares. Run from the repository's root: python benchmarks/grounding_titles.py [--shown 5]
"""

import argparse
import csv
import os
import random
import re
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

from fleetrec.models.llm.grounding import Grounding

SETS = ("ml-1m", "yelp", "beauty")
SIZE = 2000
LEAST_SIMILARITY = 0.85
LEAST_REJECTED, LEAST_FOUND = 0.99, 0.97
ROMAN = ("II", "III", "IV", "V", "VI", "VII", "VIII")
YEAR = re.compile(r"\s*\(\d{4}\)$")

Titles = Sequence[str]
Maker = Callable[[random.Random, str, Titles], str | None]


def titles_of(name: str) -> list[str]:
    """Titles of a catalogue, each once."""
    with (Path(os.environ["FLEETREC_DATA"]) / "interactions" / name / "items.csv").open(encoding="utf-8") as file:
        return sorted({row["title"].strip() for row in csv.DictReader(file)} - {""})


def key(title: str) -> str:
    """Letters and digits alone, without year and article, by a way of its own: which titles are the same."""
    bare = unicodedata.normalize("NFKD", YEAR.sub("", title)).lower().replace("&", "and")
    bare = re.sub(r", (the|a|an)$|^(the|a|an) ", "", bare)
    return re.sub(r"[^a-z0-9]", "", bare)


def _next_part(rng: random.Random, title: str, _: Titles) -> str:
    bare = YEAR.sub("", title)
    number = re.search(r"\b\d{1,2}\b", bare)
    if number:
        return f"{bare[: number.start()]}{int(number[0]) + rng.randint(1, 3)}{bare[number.end() :]}"
    return f"{bare} {rng.choice([*ROMAN, '2', '3', '4'])}"


def _longer(rng: random.Random, title: str, titles: Titles) -> str:
    words = [word for word in YEAR.sub("", rng.choice(titles)).split() if word.isalpha() and len(word) > 3]
    return f"{YEAR.sub('', title)} {rng.choice(words)}" if words else f"{title} Reloaded"


def _part(rng: random.Random, title: str, _: Titles) -> str | None:
    words = re.sub(r"^(the|a|an) ", "", YEAR.sub("", title), flags=re.IGNORECASE).split()
    return None if len(words) < 2 else " ".join(words[1:] if rng.random() < 0.5 else words[:-1])


def _blend(rng: random.Random, title: str, titles: Titles) -> str | None:
    one, other = YEAR.sub("", title).split(), YEAR.sub("", rng.choice(titles)).split()
    return None if min(len(one), len(other)) < 2 else " ".join([*one[: len(one) // 2], *other[len(other) // 2 :]])


def _other_word(rng: random.Random, title: str, titles: Titles) -> str | None:
    words = YEAR.sub("", title).split()
    places = [at for at, word in enumerate(words) if word.isalpha() and len(word) > 3]
    new = [word for word in YEAR.sub("", rng.choice(titles)).split() if word.isalpha() and len(word) > 3]
    if not places or not new:
        return None
    at = rng.choice(places)
    return " ".join([*words[:at], rng.choice(new), *words[at + 1 :]])


def _lower(_: random.Random, title: str, __: Titles) -> str:
    return title.lower()


def _quoted(rng: random.Random, title: str, _: Titles) -> str:
    return rng.choice(['"{}"', "“{}”", "*{}*", "{}."]).format(title)


def _unpunctuated(_: random.Random, title: str, __: Titles) -> str:
    return re.sub(r"[,.;:!?'’\"()-]", " ", title)


def _yearless(_: random.Random, title: str, __: Titles) -> str | None:
    return YEAR.sub("", title) if YEAR.search(title) else None


def _article(_: random.Random, title: str, __: Titles) -> str | None:
    moved = re.match(r"^(.*), (The|A|An)( \(\d{4}\))?$", title)
    if moved:
        return f"{moved[2]} {moved[1]}{moved[3] or ''}"
    led = re.match(r"^(?:The|A|An) (.{4,})$", title)
    return led[1] if led else None


def _ampersand(_: random.Random, title: str, __: Titles) -> str | None:
    other = title.replace(" & ", " and ") if " & " in title else title.replace(" and ", " & ")
    return other if other != title else None


def _unaccented(_: random.Random, title: str, __: Titles) -> str | None:
    bare = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    return bare if bare != title else None


def _numeral(_: random.Random, title: str, __: Titles) -> str | None:
    found = re.search(r"\b(II|III|IV|VI|VII|VIII)\b", title)
    if found:
        return title.replace(found[0], str(ROMAN.index(found[0]) + 2), 1)
    number = re.search(r"(?<=[a-z] )([2-8])(?= \(|$|:)", title)
    return f"{title[: number.start()]}{ROMAN[int(number[0]) - 2]}{title[number.end() :]}" if number else None


def _slip(rng: random.Random, title: str, _: Titles) -> str | None:
    words = list(re.finditer(r"[A-Za-z]{6,}", title))
    if not words:
        return None
    word = rng.choice(words)
    at = rng.randrange(word.start() + 1, word.end() - 2)
    if title[at] == title[at + 1] or rng.random() < 0.5:
        return title[:at] + title[at + 1 :]
    return title[:at] + title[at + 1] + title[at] + title[at + 2 :]


INVENTED: dict[str, Maker] = {
    "next of a series": _next_part,
    "a word more": _longer,
    "a part of it": _part,
    "blend of two": _blend,
    "another word in it": _other_word,
}
VARIANTS: dict[str, Maker] = {
    "lower case": _lower,
    "quoted": _quoted,
    "no punctuation": _unpunctuated,
    "no year": _yearless,
    "article moved or left out": _article,
    "& for and": _ampersand,
    "no accents": _unaccented,
    "other numerals": _numeral,
    "a slip of the pen": _slip,
}


def made(makers: dict[str, Maker], titles: Titles, count: int, rng: random.Random) -> list[tuple[str, str, str]]:
    """(kind, what is written, title that it is made of), the kinds in turn."""
    found: list[tuple[str, str, str]] = []
    while len(found) < count:
        for kind, make in makers.items():
            for title in rng.sample(titles, min(400, len(titles))):
                text = make(rng, title, titles)
                if text:
                    found.append((kind, text, title))
                    break
    return found[:count]


def main() -> None:
    """Prints a line a kind and the two shares; ends with status 1 where one is below what is asked."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--shown", type=int, default=0, help="mistakes of each kind to show")
    shown = options.parse_args().shown
    catalogues = {name: titles_of(name) for name in SETS}
    tally: dict[tuple[bool, str], list[tuple[str, bool, str, str | None]]] = {}
    for name, titles in catalogues.items():
        rng = random.Random(name)
        grounding = Grounding(titles, LEAST_SIMILARITY)
        true = {key(title) for title in titles}
        others = [title for other in SETS if other != name for title in catalogues[other]]
        asked = SIZE // len(SETS) + 1
        strange = [("foreign", title, title) for title in rng.sample(others, 3 * asked) if key(title) not in true]
        invented = [row for row in made(INVENTED, titles, 6 * asked, rng) if key(row[1]) not in true]
        wrong = strange[: asked // 4] + rng.sample(invented, asked - asked // 4)
        right = rng.sample(made(VARIANTS, titles, 3 * asked, rng), asked)
        for is_true, rows in ((False, wrong), (True, right)):
            places = grounding.find([text for _, text, _ in rows]).tolist()
            for (kind, text, title), place in zip(rows, places, strict=True):
                got = titles[place] if place >= 0 else None
                good = got == title if is_true else got is None
                tally.setdefault((is_true, kind), []).append((name, good, text, got))
    for (is_true, kind), results in sorted(tally.items()):
        bad = [row for row in results if not row[1]]
        print(f"{'variant ' if is_true else 'invented'}  {kind:26} {len(results):5}  {1 - len(bad) / len(results):.1%}")
        for name, _, text, got in bad[:shown]:
            print(f"    {name}: {text!r} -> {got!r}")
    shares = {
        is_true: [row[1] for (side, _), rows in tally.items() if side == is_true for row in rows][:SIZE]
        for is_true in (False, True)
    }
    rejected, found = (sum(shares[side]) / len(shares[side]) for side in (False, True))
    print(f"ungrounded: {rejected:.2%} of {len(shares[False]):,} invented or foreign titles")
    print(f"found: {found:.2%} of {len(shares[True]):,} variants of true titles")
    raise SystemExit(rejected < LEAST_REJECTED or found < LEAST_FOUND)


if __name__ == "__main__":
    main()
