"""What stands around a whole answer: thinking, marks of a chat template, tags and fences."""

import re

from fleetrec.models.llm.answers.reasons import Dropped, Why

_FLAGS = re.DOTALL | re.IGNORECASE
_THOUGHT = (
    r"(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|scratchpad|analysis|seed:think|inner_?monologue|antthinking)"
)
_THOUGHT_MARK = re.compile(
    rf"<(?P<tag>/?){_THOUGHT}\b[^<>]{{0,200}}>|\[(?P<square>/?)THINK\]|◁(?P<angle>/?)think▷|"
    r"<\|(?P<phase>begin|end)_of_thought\|>|<unused(?P<unused>94|95)>(?:thought)?",
    re.IGNORECASE,
)
_CHANNEL = re.compile(
    r"<\|channel\|?>\s*(?:analysis|commentary|thought)\b.*?(?:<\|end\|>|<channel\|>|(?=<\|channel\|?>)|\Z)|"
    r"\A\s*analysis(?=[A-Z]).*?assistantfinal",
    re.DOTALL,
)
_ALOUD = re.compile(
    r"\A\s*(?:#+ *|\*\*)?(?:thinking|thought process|reasoning|let me think|my reasoning)\b.*?\n"
    r"[#*\s]{0,20}(?:final (?:answer|list|output|recommendations?)|answer|recommendations?)\b[*:\s]*?\n",
    _FLAGS,
)
_OPENS_TURN = re.compile(
    r"\A\s*(?:<\|im_start\|>\s*assistant|<\|start\|>\s*assistant|<\|start_header_id\|>\s*assistant\s*<\|end_header_id\|>|"
    r"<\|assistant\|>|<start_of_turn>\s*model|<\|channel\|?>\s*final|<\|message\|>|<s>|<bos>|\[/INST\]|assistant\s*:|"
    r"### ?(?:response|assistant) *:|answer:(?=\s*\n))\s*",
    re.IGNORECASE,
)
_ENDS_TURN = re.compile(
    r"<\|(?:im_end|eot_id|eom_id|endoftext|end_of_text|end|return|user|im_start|start_header_id|start|call)\|>|</s>|"
    r"<end_of_turn>|<eos>|<｜end▁of▁sentence｜>|<turn\|>|\[/?INST\]|<\|end_of_solution\|>|"
    r"^(?:### ?(?:instruction|human|user)|(?:user|human)) *:|^a user has chosen these items\b",
    re.IGNORECASE | re.MULTILINE,
)
_MARK = re.compile(r"<[|｜][^|｜<>\n]{1,40}[|｜]>|<(?:s|bos|eos|pad|unk)>", re.IGNORECASE)
_ANSWER = re.compile(
    r"<(answer|final_answer|final|output|response|result|recommendations?|solution|titles)\b[^>]*>(.*?)(?:</\1\s*>|\Z)",
    _FLAGS,
)
_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[^\n`]*\n(.*?)(?:^[ \t]*\1[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)


def of_the_answer(text: str) -> tuple[str, list[Dropped]]:
    """The answer without what was thought before it, and without what comes after the end of its turn."""
    text, dropped = _without_thoughts(text)
    for pattern in (_CHANNEL, _ALOUD):
        dropped += [Dropped(found[0].strip(), Why.THINKING) for found in pattern.finditer(text)]
        text = pattern.sub("\n", text)
    before = None
    while before != text:  # marks of the beginning come in rows
        before, text = text, _OPENS_TURN.sub("", text)
    for end in _ENDS_TURN.finditer(text):
        if text[: end.start()].strip():
            if text[end.end() :].strip():
                dropped.append(Dropped(text[end.start() :].strip(), Why.AFTER))
            text = text[: end.start()]
            break
    return _MARK.sub("", text), dropped


def _without_thoughts(text: str) -> tuple[str, list[Dropped]]:
    """Without what stands between marks of thinking: also before an end that the template began, and after a beginning
    that has no end."""
    kept: list[str] = []
    dropped: list[Dropped] = []
    at, opened = 0, -1
    for mark in _THOUGHT_MARK.finditer(text):
        closes = "/" in (mark["tag"], mark["square"], mark["angle"]) or mark["phase"] == "end" or mark["unused"] == "95"
        if not closes:
            opened = mark.start() if opened < 0 else opened
            continue
        begins = opened if opened >= 0 else at
        if opened < 0:
            dropped += [Dropped(piece.strip(), Why.THINKING) for piece in kept if piece.strip()]
            kept = []
        kept.append(text[at:begins])
        dropped.append(Dropped(text[begins : mark.end()].strip(), Why.THINKING))
        at, opened = mark.end(), -1
    if opened >= 0:
        dropped.append(Dropped(text[opened:].strip(), Why.THINKING))
    kept.append(text[at : opened if opened >= 0 else len(text)])
    return "\n".join(kept), dropped


def tagged(text: str) -> tuple[str, list[Dropped]]:
    """What stands in a tag like <answer>; all of it where there is none."""
    found = _ANSWER.search(text)
    if found is None or not found[2].strip():
        return text, []
    return found[2], _around(text, [found.span()])


def fenced(text: str) -> tuple[list[str], list[Dropped]]:
    """What stands in fences, each by itself, and what stands outside of them."""
    blocks = list(_FENCE.finditer(text))
    return [block[2] for block in blocks], _around(text, [block.span() for block in blocks])


def _around(text: str, spans: list[tuple[int, int]]) -> list[Dropped]:
    starts, ends = [at for at, _ in spans] + [len(text)], [0] + [at for _, at in spans]
    pieces = (text[end:start].strip() for end, start in zip(ends, starts, strict=True))
    return [Dropped(piece, Why.OUTSIDE) for piece in pieces if piece]
