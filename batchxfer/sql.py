"""Finds the `:name` parameters of a query, and the end of its one statement, without understanding SQL.

A parameter is a colon and a name that stand free in the statement: not inside a literal, a quoted name, a comment or a
`$$` body, and not part of `::` or `:=`. A colon right after a letter, digit, quote, `)` or `]` belongs to what is before
it: `a[1:n]` is a slice whose bound is the column `n`; write `a[1 : :n]` for the parameter `n`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from batchxfer.errors import QueryError


@dataclass(frozen=True)
class Parameter:
    """One use of a parameter: `text[start:end]` is the colon and the name."""

    name: str
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """What a database reads as a literal, a quoted name or a comment."""

    nested_comments: bool = True
    dollar_quotes: bool = True
    backslashes: bool = False
    hash_comments: bool = False
    spaced_dashes: bool = False
    backticks: bool = True
    brackets: bool = False


GENERIC = Dialect()
POSTGRESQL = Dialect(backticks=False)
SQLITE = Dialect(nested_comments=False, dollar_quotes=False, brackets=True)
SQL_SERVER = Dialect(dollar_quotes=False, backticks=False, brackets=True)
MYSQL = Dialect(nested_comments=False, dollar_quotes=False, backslashes=True, hash_comments=True, spaced_dashes=True)
_BY_BACKEND = {
    "postgres": POSTGRESQL,
    "postgresql": POSTGRESQL,
    "sqlite": SQLITE,
    "mssql": SQL_SERVER,
    "mysql": MYSQL,
    "mariadb": MYSQL,
}


def dialect_of(url: str) -> Dialect:
    """The dialect that a database URL's scheme stands for (`mysql+pymysql://…`); GENERIC where it is not known."""
    return _BY_BACKEND.get(url.partition(":")[0].partition("+")[0].lower(), GENERIC)


def find_parameters(text: str, dialect: Dialect = GENERIC) -> tuple[Parameter, ...]:
    """Every use of a parameter in `text`, in its order."""
    return tuple(
        Parameter(text[token.start + 1 : token.end], token.start, token.end)
        for token in _tokens(text, dialect)
        if token.kind == "parameter"
    )


def bind(text: str, replace: Callable[[str], str], dialect: Dialect = GENERIC) -> str:
    """`text` with `replace(name)` in the place of each parameter."""
    return bind_parts(text, replace, lambda other: other, dialect)


def bind_parts(text: str, replace: Callable[[str], str], keep: Callable[[str], str], dialect: Dialect = GENERIC) -> str:
    """As `bind`, with `keep(part)` in the place of each part between parameters."""
    parts, position = [], 0
    for parameter in find_parameters(text, dialect):
        parts += [keep(text[position : parameter.start]), replace(parameter.name)]
        position = parameter.end
    return "".join([*parts, keep(text[position:])])


def one_statement(text: str, dialect: Dialect = GENERIC) -> str:
    """`text` up to its final semicolon, fit to stand in parentheses between two line ends.

    Raises QueryError when there is no statement or more than one, and when a literal or comment is never closed.
    """
    end, seen = len(text), False
    for token in _tokens(text, dialect):
        if not token.closed:
            raise QueryError(f"the {token.kind} that begins on line {_line(text, token.start)} is never closed")
        if token.kind == "semicolon":
            end = min(end, token.start)
        elif token.kind == "comment":
            continue
        elif token.start > end:
            raise _several(text, token.start)
        else:
            seen = True
    if not seen:
        raise QueryError("the query is empty", hint="write one SELECT")
    return text[:end]


def _several(text: str, start: int) -> QueryError:
    return QueryError(
        f"the query has more than one statement: the second begins on line {_line(text, start)}",
        hint="a job's query is one SELECT; use WITH for steps",
    )


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


@dataclass(frozen=True)
class _Token:
    kind: str
    start: int
    end: int
    closed: bool = True


_NAME = r"[^\W\d]\w*"
_QUOTED = r"'[^']*(?:''[^']*)*(?P<{0}>'|\Z)"
_ESCAPED = r"'[^'\\]*(?:(?:''|\\.|\\\Z)[^'\\]*)*(?P<{0}>'|\Z)"


@functools.cache
def _pattern(dialect: Dialect) -> re.Pattern[str]:
    literal = (_ESCAPED if dialect.backslashes else _QUOTED).format("end_literal")
    identifier = literal.replace("'", '"').replace("end_literal", "end_identifier")
    dashes = r"--(?=\s|\Z)" if dialect.spaced_dashes else "--"
    hashes = "|#" if dialect.hash_comments else ""
    kinds = [
        rf"(?P<line>(?:{dashes}{hashes})[^\r\n]*)",
        r"(?P<block>/\*)",
        rf"(?P<escape>(?<!\w)[eE]{_ESCAPED.format('end_escape')})",
        rf"(?P<literal>{literal})",
        rf"(?P<identifier>{identifier})",
        r"(?P<backtick>`[^`]*(?P<end_backtick>`|\Z))" if dialect.backticks else "",
        r"(?P<bracket>\[[^\]]*(?P<end_bracket>\]|\Z))" if dialect.brackets else "",
        rf"(?P<dollar>(?<![\w$])\$(?:{_NAME})?\$)" if dialect.dollar_quotes else "",
        r"(?P<semicolon>;)",
        r"(?P<operator>::|:=)",
        rf"(?P<parameter>(?<![\w\"'`\])]):{_NAME})",
        r"(?P<other>\w+|\S)",
    ]
    return re.compile("|".join(kind for kind in kinds if kind), re.DOTALL)


def _tokens(text: str, dialect: Dialect) -> Iterator[_Token]:
    """The pieces of `text` in their order, without its white space."""
    pattern = _pattern(dialect)
    position = 0
    while match := pattern.search(text, position):
        token = _token(text, match, dialect)
        yield token
        position = token.end


def _token(text: str, match: re.Match[str], dialect: Dialect) -> _Token:
    start, end, kind = match.start(), match.end(), match.lastgroup or "other"
    if kind == "line":
        return _Token("comment", start, end)
    if kind == "block":
        end, closed = _end_of_comment(text, start, dialect.nested_comments)
        return _Token("comment", start, end, closed)
    if kind == "dollar":
        found = text.find(match[0], end)
        return _Token("literal", start, len(text) if found < 0 else found + len(match[0]), found >= 0)
    if kind in {"literal", "escape"}:
        return _Token("literal", start, end, bool(match[f"end_{kind}"]))
    if kind in {"identifier", "backtick", "bracket"}:
        return _Token("quoted name", start, end, bool(match[f"end_{kind}"]))
    return _Token(kind, start, end)


def _end_of_comment(text: str, start: int, nested: bool) -> tuple[int, bool]:
    depth, position = 1, start + 2
    for match in re.compile(r"/\*|\*/").finditer(text, position):
        if match[0] == "*/":
            depth -= 1
        elif nested:
            depth += 1
        if depth == 0:
            return match.end(), True
    return len(text), False
