"""YAML text as a tree of nodes that know where they stand ("file:line", or the `--set` they come from).

Scalars stay text until the section that holds them says what they should be, so YAML 1.1's surprises (`no` as a
boolean, `12:30` as 750, `1e-3` as text, dates) do not arise. Anchors and merge keys work; tags and duplicates do not.
"""

from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

import yaml

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.user_files import check_regular

MAX_BYTES = 1_000_000
MAX_NODES = 20_000
_SCALAR_TAGS = tuple(f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "timestamp"))
_MERGE_TAG = "tag:yaml.org,2002:merge"


@dataclass(frozen=True)
class Scalar:
    """One value as it was written; `plain` unless it was quoted."""

    text: str
    plain: bool = True

    @property
    def is_null(self) -> bool:
        return self.plain and self.text in ("", "~", "null", "Null", "NULL")


@dataclass(frozen=True)
class Place:
    """Where something is written: a line of a file, or (line 0) a whole file or an option of the command line."""

    source: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source

    @property
    def folder(self) -> Path | None:
        """Of the file; None for an option of the command line."""
        return Path(self.source).parent if self.line else None


@dataclass
class Node:
    """A value and its place: of its key inside a mapping, of the item itself inside a list."""

    content: "Scalar | dict[str, Node] | list[Node]"
    place: Place


def read_file(path: Path) -> Node:
    """The tree of a scenario file. Raises InputError for anything but one readable YAML mapping."""
    return parse(_text_of(path), str(path))


def parse(text: str, source: str, lines: bool = True) -> Node:
    """The tree of a YAML text; an empty text is a null scalar. `lines` False: it is an option's value, every place is
    `source` itself, and ` #` begins no comment but belongs to the value."""
    try:
        root = _composed(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = Place(source, mark.line + 1 if mark and lines else 0)
        hint = "" if lines else "; put text that holds signs of YAML in quotes of its own, 'key=\"text\"'"
        raise InputError(f"{where}: cannot be read as YAML: {_explain(error)}{hint}") from None
    except yaml.reader.ReaderError as error:
        where = Place(source, text.count("\n", 0, error.position) + 1 if lines else 0)
        raise InputError(f"{where}: holds a character that YAML does not allow ({error.character!r})") from None
    except (RecursionError, ValueError):
        raise InputError(f"{source}: cannot be read as YAML: nested too deeply, or a malformed value") from None
    if not lines and _has_comment(text):
        if root is not None and (not isinstance(root, yaml.ScalarNode) or root.style is not None):
            raise InputError(f"{source}: ' #' begins a comment in YAML; put a value that holds it in quotes, all of it")
        root = yaml.ScalarNode("tag:yaml.org,2002:str", text.strip())
    if root is None:
        return Node(Scalar(""), Place(source))
    return _Converter(source, lines).convert(root, Place(source))


@lru_cache(maxsize=4)
def _composed(text: str) -> yaml.Node | None:
    """The nodes of a text, which nobody changes: a sweep reads its base again for every variant."""
    return yaml.compose(text, Loader=yaml.SafeLoader)


def _has_comment(text: str) -> bool:
    """Whether YAML passes over a part of a text that it can read."""
    end = 0
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        if text[end : token.start_mark.index].strip():
            return True
        end = token.end_mark.index
    return False


def _text_of(path: Path) -> str:
    try:
        if path.is_dir():
            raise InputError(f"{path}: is a directory; name a scenario file (.yaml) in it")
        if not path.exists():
            raise InputError(f"{path}: no such file{_nearby(path)}")
        check_regular(path)
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: has {path.stat().st_size:,} bytes; a scenario file is a short YAML text")
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except PermissionError:
        raise InputError(f"{path}: no permission to read it") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None


def _nearby(path: Path) -> str:
    if not path.parent.is_dir():
        return f" (the folder {path.parent} does not exist)"
    names = sorted(entry.name for entry in path.parent.iterdir() if entry.suffix in (".yaml", ".yml"))
    near = get_close_matches(path.name, names, n=1) or get_close_matches(f"{path.name}.yaml", names, n=1, cutoff=0.5)
    if near:
        return f" (did you mean {path.parent / near[0]}?)"
    return f" (there are: {', '.join(names[:8])})" if names else ""


def _explain(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or error.context or "malformed"
    if "'\\t'" in problem:
        return f"{problem}; indent with spaces, not tabs"
    if "cannot start any token" in problem:
        return f"{problem}; put the value in quotes"
    if "mapping values are not allowed" in problem:
        return f"{problem}; check the indentation, and quote values that hold ': '"
    if "expected a single document" in (error.context or ""):
        return "it holds more than one document ('---'); keep one"
    return problem


_CONTROL = {*range(32), *range(127, 160)} - {ord("\t"), ord("\n")}


class _Converter:
    """Composed YAML nodes to `Node`s: aliases are copied, merge keys resolved, duplicate keys refused."""

    def __init__(self, source: str, lines: bool):
        self._source = source
        self._lines = lines
        self._open: set[int] = set()
        self._made = 0

    def convert(self, node: yaml.Node, place: Place) -> Node:
        self._made += 1
        if self._made > MAX_NODES:
            raise InputError(f"{place}: the file expands to more than {MAX_NODES:,} values (anchors inside anchors?)")
        if id(node) in self._open:
            raise InputError(f"{place}: an anchor holds itself")
        self._open.add(id(node))
        try:
            return Node(self._content(node), place)
        finally:
            self._open.discard(id(node))

    def _place(self, node: yaml.Node) -> Place:
        return Place(self._source, node.start_mark.line + 1 if self._lines else 0)

    def _content(self, node: yaml.Node) -> Scalar | dict[str, Node] | list[Node]:
        if isinstance(node, yaml.ScalarNode) and node.tag in (*_SCALAR_TAGS, _MERGE_TAG, "tag:yaml.org,2002:value"):
            return Scalar(self._seen(node), plain=node.style is None)
        if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
            return [self.convert(child, self._place(child)) for child in node.value]
        if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
            return self._entries(node)
        raise InputError(f"{self._place(node)}: the tag {node.tag!r} is not allowed in a scenario; write plain values")

    def _seen(self, node: yaml.ScalarNode) -> str:
        """A scalar's text; one with control characters, which would move the cursor of a terminal, is refused."""
        text: str = node.value
        if not text.isprintable() and any(ord(letter) in _CONTROL for letter in text):
            raise InputError(f"{self._place(node)}: {text[:40]!r} holds a control character; remove it")
        return text

    def _entries(self, node: yaml.MappingNode) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        for key, value in node.value:
            place = self._place(key)
            if not isinstance(key, yaml.ScalarNode):
                raise InputError(f"{place}: a key must be a single word, not a list or a mapping")
            if key.tag == _MERGE_TAG:
                for name, child in self._merge(value, place).items():
                    merged.setdefault(name, child)
            elif key.value in entries:
                raise InputError(
                    f"{place}: duplicate key {key.value!r} (first on line {entries[key.value].place.line})"
                )
            else:
                entries[self._seen(key)] = self.convert(value, place)
        return entries | {name: child for name, child in merged.items() if name not in entries}

    def _merge(self, value: yaml.Node, place: Place) -> dict[str, Node]:
        content = self.convert(value, place).content
        sources = content if isinstance(content, list) else [Node(content, place)]
        found: dict[str, Node] = {}
        for source in sources:
            if not isinstance(source.content, dict):
                raise InputError(f"{place}: '<<' merges mappings only, such as '<<: *name'")
            for name, child in source.content.items():
                found.setdefault(name, child)
        return found
