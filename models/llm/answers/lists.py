"""Titles in the lines of an answer: numbered, with bullets, one a line, or several in one line."""

import re
from collections.abc import Sequence
from itertools import pairwise

from fleetrec.models.llm.answers.entries import LABELLED, Entry, Known, entry, title_of
from fleetrec.models.llm.answers.reasons import Dropped, Why

_RULE = re.compile(r"^(?:[-*_=~#]\s*){3,}$|^[`~]{3,}\w*$|^\|[-\s|:]+$")
_HEADING = re.compile(r"^#{1,6}\s+\D|.*[:：]\**$")
_ENDS = re.compile(r"[.!?:：。！？…]\**$")
_ABOUT = re.compile(
    r"\b(?:recommend\w*|suggest\w*|titles?|items?|list|movies|films|books|products|you|your|users?|next)\b", re.I
)
_OPENING = re.compile(
    r"^(?:sure|certainly|of course|absolutely|okay|ok|great|here (?:are|is)|here['’]s|below (?:are|is)|based on|given|"
    r"considering|since|as an?|the user|this user|let me|let['’]s|looking at|to predict|these are|the following|"
    r"i (?:would|think|recommend|suggest|believe|will|have|can)|i['’](?:ll|d|ve)|my (?:recommendations|picks)|"
    r"recommendations?|voici|hier (?:sind|ist)|aqu[ií] (?:tienes|est[aá]n|hay)|ecco|aqui est[aã]o|bas[aeé]\w*|вот|"
    r"以下|根据|基于|当然|もちろん|다음은|물론)(?:\b|(?<=[^\x00-\x7f]))",
    re.IGNORECASE,
)
_CLOSING = re.compile(
    r"^(?:enjoy\b|i hope|hope (?:you|this|these)|let me know|please\b|feel free|\(?note\s*:|note that|\*+ ?note|"
    r"these (?:titles|items|movies|films|books|recommend|are|were|should|all|picks|selections)|this list|if you|"
    r"would you like|do you want|happy (?:watching|reading|viewing|shopping|listening)|is there anything|\(?end of|"
    r"that['’]s (?:all|it)|each of these|all of these|have fun|thank|bonne? |viel spa|disfruta|reason(?:ing)?s?\s*:|"
    r"explanation|why |希望|祝|如果|请告诉|以上|お楽しみ|ぜひ)",
    re.IGNORECASE,
)
_ASSENT = re.compile(r"^(?:sure|okay|ok|certainly|of course|absolutely|great|yes|好的|はい)\W*$", re.IGNORECASE)
_REFUSAL = re.compile(
    r"^(?:i['’]?m sorry|i am sorry|sorry\b[,.!]? (?:but|i)|i apologi[sz]e|i can(?:no|['’])t|i cannot|i can not|"
    r"i(?:['’]m| am) (?:unable|not able)|unfortunately,? i|as an ai\b|i (?:do not|don['’]t) (?:have|feel)|"
    r"i (?:won['’]t|will not|must decline)|(?:es )?tut mir leid|lo siento|(?:je suis )?d[ée]sol[ée]|je ne peux|"
    r"mi dispiace|desculpe|извините|к сожалению|申し訳|抱歉|对不起|很抱歉|我无法|죄송|माफ़|क्षमा)",
    re.IGNORECASE,
)
_NOTHING = re.compile(
    r"^(?:none|n/?a|null|nil|nothing|empty|no (?:\w+ ){0,2}(?:found|available)|no \w+)[.!]?$|^[\[{(]\s*[\])}]$", re.I
)
_CUES = re.compile(
    r"\b(?:i|i'm|i'd|you|your|we|they|their|users?|recommend\w*|suggest\w*|likely|would|because|since|these|based|"
    r"prefer\w*|enjoy\w*|might|could|should|seems?|appears?|interest\w*|watch(?:ed|ing)?|lik(?:es?|ed))\b",
    re.IGNORECASE,
)
_LABELLED = re.compile(
    r"^[*_]{0,3}(?:reason\w*|genres?|year|why|director|cast|description|rating|score|category|author|artist)\b[*_]*\s*[:：]",
    re.I,
)
_QUOTED = re.compile(r"\*\*(.+?)\*\*|\"([^\"\n]{2,}?)\"|“([^”\n]{2,}?)”|《([^》\n]+)》|「([^」\n]+)」|«([^»\n]+)»")
_INLINE = re.compile(r"(?:^|\s)\(?(\d{1,3})[.)]\s+")
_ARTICLE = re.compile(r"^(?:the|a|an|le|la|les|el|los|las|il|lo|der|die|das)(?: \(\d{4}\))?$", re.IGNORECASE)
_MOST_STEP = 2  # by which the numbers of a list may rise from line to line
_LONG_PROSE = 7  # words
_MOST_PARTS = 8  # of a title that has commas
_TAIL = re.compile(r"\s+[-–—|]\s+|(?<=[^\s:])[:：]\s+|\s+by\s+(?=[A-Z])")


def titles_of_lines(text: str, known: Known, cut: bool) -> tuple[list[str], list[Dropped]]:
    """The titles in the lines of a text, and what else was there. `cut`: its last line is not whole."""
    dropped: list[Dropped] = []
    rows = [row for row in text.splitlines() if row.strip() and (not _RULE.match(row.strip()) or known(row.strip()))]
    if cut and rows and not text.endswith(("\n", "\r")):
        dropped.append(Dropped(rows.pop().strip(), Why.CUT))
    lines = [entry(row) for row in rows]
    if len(lines) == 1 and not known(lines[0].whole):
        several = _inline(lines[0].whole, known)
        if several:
            return several, dropped
    listed = _listed(lines, known)
    bodies: list[str] = []
    for at, why in enumerate(_reasons(lines, listed, known)):
        line = lines[at]
        if why is not None:
            dropped.append(Dropped(line.whole, why))
        else:
            bodies.append(line.whole if known(line.whole) else line.text if listed[at] else line.body)
    if not bodies:
        bodies = [title for line in lines for title in _in_prose(line.whole)]
    titles = []
    for body in _unexplained([body for body in bodies if body], known, dropped):
        title, beside = title_of(body, known)
        if beside:
            dropped.append(Dropped(beside, Why.NOTE))
        if title:
            titles.append(title)
    numbers = [line.number or 0 for line, is_listed in zip(lines, listed, strict=True) if is_listed]
    if len(numbers) == len(titles) > 2 and all(one == after + 1 for one, after in pairwise(numbers)):
        titles.reverse()  # a countdown: the first place comes last
    return titles, dropped


def _listed(lines: Sequence[Entry], known: Known) -> list[bool]:
    """Which lines begin with the number of a list: numbers that follow each other, not those of titles."""
    result = [False] * len(lines)
    having = [at for at, line in enumerate(lines) if line.number is not None and not known(line.whole)]
    for mark in ("bare", "letter", None):
        own = [at for at in having if (lines[at].mark == mark if mark else lines[at].mark not in ("bare", "letter"))]
        numbers = [lines[at].number or 0 for at in own]
        steps = [0 <= after - one <= _MOST_STEP or one - after == 1 for one, after in pairwise(numbers)]
        whole = len(own) > 2 and numbers[0] <= 1 and all(steps) and (mark == "letter" or len(own) == len(lines))
        if mark and not whole:
            continue
        doubtful = len(own) < 3 and min(numbers, default=0) > 1 and all(set(lines[at].mark) <= set(":：") for at in own)
        labelled = sum(lines[at].mark == LABELLED for at in own) > 1
        for place, at in enumerate(own):
            beside = any(steps[max(place - 1, 0) : place + 1])
            goes_on = place > 1 and result[own[place - 1]] and numbers[place] > numbers[place - 1]
            goes_on = goes_on and lines[at].mark == lines[own[place - 1]].mark
            told = labelled and lines[at].mark == LABELLED
            result[at] = numbers[place] in (0, 1) or (beside and not doubtful) or goes_on or told
    return result


def _reasons(lines: Sequence[Entry], listed: Sequence[bool], known: Known) -> list[Why | None]:
    """Why each line is no title; None for one that is."""
    numbered = [at for at, is_listed in enumerate(listed) if is_listed]
    bullets = [at for at, line in enumerate(lines) if line.bullet and not listed[at]]
    if len(numbered) > 1:
        margin = min(lines[at].indent for at in numbered)
        inside = [at for at in numbered if lines[at].indent == margin] or numbered
    elif len(bullets) > 1 and not numbered:
        margin = min(lines[at].indent for at in bullets)
        inside = [at for at in bullets if lines[at].indent == margin]
    else:
        return [_of_plain(at, lines, known) for at in range(len(lines))]
    first, last, members = inside[0], inside[-1], set(inside)
    noted = any(at for at in bullets if first < at < last)
    reasons: list[Why | None] = []
    for at, line in enumerate(lines):
        follows = at > 0 and lines[at - 1].text == "" and at - 1 in members
        if (at in members and not _is_note(line)) or (known(line.text) and line.indent <= margin) or follows:
            reasons.append(None)
        elif at < first:
            is_first = lines[first].number == 2 and at == first - 1 and not _HEADING.match(line.whole)
            refuses = _REFUSAL.match(line.whole)
            reasons.append(None if is_first else Why.REFUSAL if refuses else Why.OPENING)
        elif at < last:
            reasons.append(Why.HEADING if _HEADING.match(line.whole) and line.indent <= margin else Why.NOTE)
        elif line.indent > margin or (line.bullet and noted) or _is_note(line):
            reasons.append(Why.NOTE)
        elif len(inside) > 2 and not line.bullet:
            reasons.append(Why.CLOSING)
        else:
            reasons.append(_of_plain(at, lines, known))
    return reasons


def _is_note(line: Entry) -> bool:
    return bool(_LABELLED.match(line.text))


def _of_plain(at: int, lines: Sequence[Entry], known: Known) -> Why | None:
    """Why a line, taken by itself, is no title."""
    line = lines[at]
    text, ends = line.text.strip("*_ "), bool(_ENDS.search(line.text))
    words = len(text.split())
    if known(line.whole) or known(line.text):
        return None
    if _REFUSAL.match(text):
        return Why.REFUSAL
    if _HEADING.match(line.whole):
        return Why.OPENING if at == 0 else Why.HEADING
    if len(lines) == 1 and _NOTHING.match(text):
        return Why.NOTHING
    if at == 0 and len(lines) > 1 and _ASSENT.match(text) and ends:
        return Why.OPENING
    if _OPENING.match(text) and (at == 0 or words >= _LONG_PROSE) and (ends or _ABOUT.search(text)) and words > 1:
        return Why.OPENING if words < 2 * _LONG_PROSE or at == 0 else Why.PROSE
    if at > 0 and _CLOSING.match(text) and (ends or words > 4):
        return Why.CLOSING
    if _is_note(line) or (line.indent > 1 and at > 0 and line.indent > lines[0].indent and not line.bullet):
        return Why.NOTE
    cues = len({found.lower() for found in _CUES.findall(text)})
    if (words >= _LONG_PROSE and ends and cues > 1) or (text.endswith("。") and len(text) > 2 * _LONG_PROSE):
        return Why.PROSE
    return None


def _in_prose(text: str) -> list[str]:
    """Titles that stand in quotation marks or bold in sentences."""
    if _REFUSAL.match(text):
        return []
    return [next(piece for piece in found.groups() if piece).strip(":") for found in _QUOTED.finditer(text)]


def _inline(line: str, known: Known) -> list[str]:
    """The titles of a line that holds several; none where it is one."""
    marks = list(_INLINE.finditer(line))
    if len(marks) > 1 and [int(mark[1]) for mark in marks] == list(range(1, len(marks) + 1)):
        ends = [mark.start() for mark in marks[1:]] + [len(line)]
        return [line[mark.end() : end].strip(" ,;") for mark, end in zip(marks, ends, strict=True)]
    opening, colon, rest = line.partition(": ")
    body = rest if colon and _OPENING.match(opening) else line
    for separator in ("|", "; ", " • ", " / ", "、", ", "):
        parts = _joined([part.strip() for part in body.rstrip(". ").split(separator)], separator, known)
        if len(parts) > 2 and not (_OPENING.match(body) or _REFUSAL.match(body)):
            parts[-1] = re.sub(r"^and\s+", "", parts[-1])
            return [title_of(part, known)[0] for part in parts if part]
    return []


def _joined(parts: Sequence[str], separator: str, known: Known) -> list[str]:
    """Parts that are one title together: of a title that is known, or with the article behind it."""
    result: list[str] = []
    at = 0
    while at < len(parts):
        ends = range(min(len(parts), at + _MOST_PARTS), at + 1, -1)
        end = next((end for end in ends if known(separator.join(parts[at:end]))), at + 1)
        whole = separator.join(parts[at:end])
        if result and separator == ", " and _ARTICLE.match(whole):
            result[-1] += separator + whole
        else:
            result.append(whole)
        at = end
    return result


def _unexplained(bodies: Sequence[str], known: Known, dropped: list[Dropped]) -> list[str]:
    """Lines without what is said of a title behind it, where most lines say something."""
    strange = [body for body in bodies if not known(body) and not known(title_of(body, known)[0])]
    for kind in ("bar", "dash", "colon", "by"):
        tails = {body: _tail(body, kind) for body in strange}
        told = [body for body in strange if tails[body]]
        if len(told) > 1 and 5 * len(told) >= 3 * len(bodies):
            for body in told:
                dropped.append(Dropped(body[tails[body] :].strip(), Why.NOTE))
            return [body[: tails[body]].rstrip(" -–—:：") if tails.get(body) else body for body in bodies]
    return list(bodies)


def _tail(body: str, kind: str) -> int:
    """Where words on a title begin; 0 where there are none."""
    for found in _TAIL.finditer(body):
        mark, tail = found[0].strip(), body[found.end() :]
        words = len(tail.split())
        if kind == "by" and mark == "by" and words <= 4 and tail[:1].isupper():
            return found.start()
        told = words > 4 or (words > 2 and bool(_ENDS.search(tail)))
        if kind == "bar" and mark == "|":
            return found.start()
        if (kind == "dash" and (mark in "–—" or (told and mark == "-"))) or (
            kind == "colon" and told and mark in ":："
        ):
            return found.start()
    return 0
