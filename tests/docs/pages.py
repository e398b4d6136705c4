"""The documentation's pages as blocks of code: what stands in them, under which heading, in which language."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@dataclass(frozen=True)
class Block:
    """A block of code of a page. `language` is the first word of its info string, `title` the file that it shows."""

    page: str
    line: int
    heading: str
    language: str
    title: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@cache
def blocks_of(page: Path) -> tuple[Block, ...]:
    """The blocks of a page in order; one without a fence has no language."""
    found, heading = [], ""
    tokens = MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))
    for before, token in zip([tokens[0], *tokens], tokens, strict=False):
        if before.type == "heading_open":
            heading = token.content
        if token.type in ("fence", "code_block") and token.map is not None:
            language, _, more = token.info.partition(" ")
            title = more.removeprefix('title="').removesuffix('"')
            place = str(page.relative_to(ROOT)), token.map[0] + 1, heading
            found.append(Block(*place, language, title, token.content))
    return tuple(found)


def blocks(*languages: str) -> list[Block]:
    """The blocks of all pages in these languages; all where none is named."""
    found = [block for page in PAGES for block in blocks_of(page)]
    return [block for block in found if not languages or block.language in languages]


def command_lines(block: Block) -> list[list[str]]:
    """The words of each command of a block of a shell; comments and what commands print left out."""
    text = block.text.replace("\\\n", " ")
    lines = [line.removeprefix("$ ") for line in text.split("\n") if block.language != "console" or line[:2] == "$ "]
    commands = [words for line in lines for words in _parts(shlex.split(line, comments=True))]
    return [command for command in commands if command]


def _parts(words: list[str]) -> Iterator[list[str]]:
    """The commands of one line, without redirections."""
    part: list[str] = []
    for word in words:
        if word in ("&&", "|", ";"):
            yield part
            part = []
        else:
            part.append(word)
    yield part[: part.index(">")] if ">" in part else part
