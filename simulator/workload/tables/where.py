"""Which rows count: a small language of comparisons, read here and handed on as an expression of columns and constants.

Nothing that a user writes reaches the database as it stands: names must be columns, functions one of six, and all else
is a constant. So no expression opens a file or runs for ever.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.workload.tables.opening import find
from fleetrec.simulator.workload.tables.table import Column, Reader, Table, quoted

Kind = Literal["text", "number", "truth", "cell"]

_TOKEN = re.compile(
    r"""\s*(?:(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)|(?P<text>'(?:[^']|'')*')|(?P<name>"(?:[^"]|"")*"|`[^`]*`|"""
    r"""[^\W\d]\w*(?:[.:][^\W\d]\w*)*)|(?P<sign><=|>=|<>|!=|==|[=<>(),+*/-]))"""
)
_SAME = {"==": "=", "!=": "<>", "<>": "<>"}
_COMPARED = ("=", "<>", "<", ">", "<=", ">=")
_FUNCTIONS: dict[str, Kind] = {  # name: what it gives
    "lower": "text",
    "upper": "text",
    "trim": "text",
    "length": "number",
    "abs": "number",
    "round": "number",
}
_WORDS = ("and", "or", "not", "in", "between", "like", "is", "null", "true", "false")
_LONGEST = 4000
_DEEPEST = 40
HELP = "write comparisons such as event = 'click' and watch_ratio >= 0.5"


@dataclass(frozen=True)
class _Value:
    """A part of the expression, in SQL, and what it is; a `cell` is text or a number as its neighbour needs."""

    sql: str
    kind: Kind
    column: Column | None = None


def condition(reader: Reader, table: Table, where: str) -> str:
    """A filter as an SQL condition on the table's columns. InputError where it cannot be read, where a column is
    unknown, or where a column that is compared with numbers holds none."""
    parser = _Parser(table, where)
    made = parser.whole()
    for column in parser.numbers:
        cell = column.text
        wrong = f"{cell} <> '' AND try_cast({cell} AS DOUBLE) IS NULL"
        count, example = reader.row(f"SELECT count(*), any_value({cell}) FROM {table.source} WHERE {wrong}")
        if count:
            raise InputError(
                f"{table.path}: where compares column {column.name!r} with numbers, but {count:,} of its cells are "
                "none "
                f"({example[:40]!r}); compare it with text in quotes, or leave those rows out"
            )
    return made


class _Parser:
    def __init__(self, table: Table, text: str):
        self.table, self.text, self.place, self.depth = table, text, 0, 0
        self.numbers: list[Column] = []
        if len(text) > _LONGEST:
            raise InputError(f"where: longer than {_LONGEST:,} characters; filter the file before")
        self.tokens = self._tokens()

    def _tokens(self) -> list[tuple[str, str]]:
        found, place, end = [], 0, len(self.text.rstrip())
        while place < end:
            match = _TOKEN.match(self.text, place)
            if match is None:
                raise InputError(f"where: cannot read {self.text[place:].strip()[:40]!r}; {HELP}")
            assert match.lastgroup is not None
            token = match[match.lastgroup]
            word = token.lower()
            found.append(("word", word) if match.lastgroup == "name" and word in _WORDS else (match.lastgroup, token))
            place = match.end()
        return found

    # -------------------------------------------------------------------------------------- tokens

    def _next(self) -> tuple[str, str]:
        return self.tokens[self.place] if self.place < len(self.tokens) else ("end", "its end")

    def _take(self, *wanted: str) -> str | None:
        kind, token = self._next()
        if kind in ("word", "sign") and token in wanted:
            self.place += 1
            return token
        return None

    def _need(self, wanted: str) -> None:
        if self._take(wanted) is None:
            raise self._unexpected(f"where {wanted!r} is wanted")

    def _unexpected(self, what: str) -> InputError:
        return InputError(f"where: {self._next()[1]} stands {what} in {self.text.strip()[:120]!r}; {HELP}")

    # -------------------------------------------------------------------------------------- grammar

    def whole(self) -> str:
        made = self._truth(self._either())
        if self._next()[0] != "end":
            raise self._unexpected("where nothing more is wanted")
        return made

    def _either(self) -> _Value:
        return self._joined(self._both, "or")

    def _both(self) -> _Value:
        return self._joined(self._negated, "and")

    def _joined(self, part: Callable[[], _Value], word: str) -> _Value:
        made = part()
        while self._take(word):
            made = _Value(f"({self._truth(made)} {word.upper()} {self._truth(part())})", "truth")
        return made

    def _negated(self) -> _Value:
        if self._take("not"):
            self.depth += 1
            if self.depth > _DEEPEST:
                raise InputError(f"where: nested deeper than {_DEEPEST}; {HELP}")
            made = _Value(f"(NOT {self._truth(self._negated())})", "truth")
            self.depth -= 1
            return made
        return self._comparison()

    def _comparison(self) -> _Value:
        left = self._sum()
        if sign := self._take(*_COMPARED, *_SAME):
            right = self._sum()
            a, b = self._alike(left, right)
            return _Value(f"({a} {_SAME.get(sign, sign)} {b})", "truth")
        if self._take("is"):
            negated = " NOT" if self._take("not") else ""
            self._need("null")
            return _Value(f"(nullif({self._as_text(left)}, '') IS{negated} NULL)", "truth")
        negated = "NOT " if self._take("not") else ""
        if self._take("in"):
            self._need("(")
            values = [self._sum()]
            while self._take(","):
                values.append(self._sum())
            self._need(")")
            a, *rest = self._alike(left, *values)
            return _Value(f"({a} {negated}IN ({', '.join(rest)}))", "truth")
        if self._take("between"):
            low = self._sum()
            self._need("and")
            a, b, c = self._alike(left, low, self._sum())
            return _Value(f"({a} {negated}BETWEEN {b} AND {c})", "truth")
        if self._take("like"):
            return _Value(f"({self._as_text(left)} {negated}LIKE {self._as_text(self._sum())})", "truth")
        if negated:
            raise self._unexpected("where `in`, `between` or `like` is wanted")
        return left

    def _sum(self) -> _Value:
        return self._arithmetic(self._product, "+", "-")

    def _product(self) -> _Value:
        return self._arithmetic(self._atom, "*", "/")

    def _arithmetic(self, part: Callable[[], _Value], *signs: str) -> _Value:
        made = part()
        while sign := self._take(*signs):
            made = _Value(f"({self._as_number(made)} {sign} {self._as_number(part())})", "number")
        return made

    def _atom(self) -> _Value:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise InputError(f"where: nested deeper than {_DEEPEST}; {HELP}")
        made = self._atom_inside()
        self.depth -= 1
        return made

    def _atom_inside(self) -> _Value:
        if self._take("("):
            made = self._either()
            self._need(")")
            return made
        if self._take("-"):
            return _Value(f"(-{self._as_number(self._atom())})", "number")
        if word := self._take("true", "false"):
            return _Value(quoted(word), "text")
        kind, token = self._next()
        if kind == "end" or kind in ("word", "sign"):
            raise self._unexpected("where a column or a value is wanted")
        self.place += 1
        if kind == "number":
            return _Value(f"CAST({token} AS DOUBLE)", "number")
        if kind == "text":
            return _Value(token, "text")
        if self._next() == ("sign", "("):
            return self._function(token)
        name = token[1:-1].replace('""', '"') if token[0] in '"`' else token
        try:
            column = find(self.table, name)
        except InputError as error:
            raise InputError(f"where: {error}; text stands in single quotes: '{name[:40]}'") from None
        return _Value(column.cell, "cell", column)

    def _function(self, name: str) -> _Value:
        if name.lower() not in _FUNCTIONS:
            allowed = ", ".join(_FUNCTIONS)
            raise InputError(f"where: the function {name!r} is not allowed; there are {allowed}")
        self._need("(")
        inner = self._sum()
        self._need(")")
        name = name.lower()
        argument = self._as_number(inner) if name in ("abs", "round") else self._as_text(inner)
        return _Value(f"{name}({argument})", _FUNCTIONS[name])

    # -------------------------------------------------------------------------------------- kinds

    def _alike(self, *values: _Value) -> list[str]:
        """The values as numbers where one of them is a number, else as text."""
        for value in values:
            if value.kind == "truth":
                raise InputError(f"where: a comparison stands inside of another in {self.text[:120]!r}; {HELP}")
        numeric = any(value.kind == "number" for value in values)
        if not numeric and all(value.column is not None and not value.column.is_text for value in values):
            return [value.sql for value in values]
        return [self._as_number(value) if numeric else self._as_text(value) for value in values]

    def _as_number(self, value: _Value) -> str:
        if value.kind == "number":
            return value.sql
        if value.column is not None:
            if value.column not in self.numbers:
                self.numbers.append(value.column)
            return f"try_cast({value.column.text} AS DOUBLE)"
        raise InputError(f"where: {value.sql} is text where a number is wanted; {HELP}")

    def _as_text(self, value: _Value) -> str:
        if value.kind in ("text", "truth"):
            return value.sql
        return value.column.text if value.column is not None else f"CAST({value.sql} AS VARCHAR)"

    def _truth(self, value: _Value) -> str:
        if value.kind == "truth":
            return value.sql
        if value.column is not None and value.column.kind == "BOOLEAN":
            return value.sql
        raise InputError(f"where: {self.text.strip()[:120]!r} compares nothing; {HELP}")
