"""What PostgreSQL says through its drivers (ADBC's, psycopg) in the project's words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from batchxfer.databases._loads import MEND, TWICE
from batchxfer.errors import (
    BatchxferError,
    CredentialError,
    DatabaseUnavailable,
    LoadError,
    PermanentError,
    QueryError,
    RowRefused,
)

if TYPE_CHECKING:
    import psycopg
    import pyarrow as pa

_TRANSIENT = ("08", "53", "57", "58", "40", "55P03", "25P03", "25P04", "XX000")
_HINTS = {
    "57014": "raise statement_timeout, or make the query faster",
    "22021": "the database holds text that is not UTF-8: convert it in the query",
    "25006": "sources only read: the query must not change data",
    "42501": "grant the user SELECT on it",
}
_LOGIN = (
    "password authentication failed",
    "no password supplied",
    "pg_hba.conf",
    "authentication failed",
    "is not permitted to log in",
)
_ABSENT = "does not exist"


def failed(name: str, exc: BaseException, query: str, lines_before: int = 0) -> BatchxferError:
    """The error of a query; `lines_before` are lines of the text that was sent before the user's first."""
    state = getattr(exc, "sqlstate", None)
    notes = _notes(exc)
    text = notes.get("MESSAGE_PRIMARY") or _plain(exc)
    detail = f" ({notes['MESSAGE_DETAIL']})" if "MESSAGE_DETAIL" in notes else ""
    hint = _HINTS.get(state or "") or notes.get("MESSAGE_HINT")
    message = f"database {name!r}: {text}{detail}{_where(notes, query, lines_before)}"
    if not state or state.startswith(_TRANSIENT):
        return DatabaseUnavailable(message, hint=hint)
    return QueryError(message, hint=hint or "mend the job's query")


def refused(name: str, exc: BaseException) -> BatchxferError:
    """The error of a connection that was not made: the server's state code is not known here, only its words."""
    text = _plain(exc)
    message = f"database {name!r}: cannot connect: {text}"
    if any(words in text for words in _LOGIN) or ("role " in text and _ABSENT in text):
        return CredentialError(message, hint="check the user in url and its password")
    if "database " in text and _ABSENT in text:
        return PermanentError(message, hint="check the database's name in url")
    return DatabaseUnavailable(message, hint="check the host and port in url, and that the database is up")


def _notes(exc: BaseException) -> dict[str, str]:
    details: Any = getattr(exc, "details", None) or []
    return {_text(key).removeprefix("PG_DIAG_"): _text(value) for key, value in details}


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _plain(exc: BaseException) -> str:
    """What the driver says, on one line, without the query that it repeats."""
    text = str(exc).partition("\n\nQuery was:")[0]
    for prefix in ("IO: ", "[libpq] ", "Failed to connect: "):
        text = text.removeprefix(prefix)
    return " ".join(text.split())


def _where(notes: dict[str, str], query: str, lines_before: int) -> str:
    position = notes.get("STATEMENT_POSITION")
    if position is None:
        return ""
    number = query.count("\n", 0, int(position) - 1)
    line = query.split("\n")[number].strip()
    return f"; line {number + 1 - lines_before}: {line[:120]}"


# --- loads ---------------------------------------------------------------------------------------

_DENIED = re.compile(r"permission denied for (table|view|foreign table|sequence|schema|database) (.+)")
_RIGHTS = {"sequence": "USAGE", "schema": "USAGE", "database": "TEMPORARY"}


def not_loaded(name: str, exc: psycopg.Error, *, user: str = "…") -> BatchxferError:
    """The error of a load."""
    state, said = exc.sqlstate, exc.diag
    text = said.message_primary or _plain(exc)
    detail = f" ({said.message_detail})" if said.message_detail else ""
    row, place = _place(said.context)
    message = f"database {name!r}: {text}{detail}{place}"
    if state is None or state.startswith(_TRANSIENT):
        return DatabaseUnavailable(message, hint=_LOAD_HINTS.get(state or "", said.message_hint))
    grant = _grant(text, user) if state == "42501" else None
    message, hint = f"{message}. Nothing was loaded", grant or _LOAD_HINTS.get(state) or said.message_hint or MEND
    return LoadError(message, hint=hint) if row is None else RowRefused(message, row=row, lines=_lines, hint=hint)


_LOAD_HINTS = {
    "57014": "raise statement_timeout, or load less at once",
    "23505": TWICE,
    "42809": "name the table behind it; COPY goes into a view only through an INSTEAD OF INSERT trigger",
    "22021": "PostgreSQL's text cannot hold it: ask the partner for a file without it",
    "25006": "this server only reads: give the url of the one that is written to",
}


def _grant(text: str, user: str) -> str | None:
    """What an administrator runs where a right is missing."""
    match = _DENIED.fullmatch(text)
    if match is None:
        return None
    kind, what = match.groups()
    right = _RIGHTS.get(kind, "INSERT")
    of = "" if right == "INSERT" else f"{kind.upper()} "
    more = " (mode = 'replace' needs DELETE too, 'upsert' SELECT and UPDATE)" if right == "INSERT" else ""
    return f"have an administrator run: GRANT {right} ON {of}{what} TO {user}{more}"


_COPY = re.compile(r"^COPY .+?, line (\d+)(?:, column ([^:]+))?", re.MULTILINE)


def _place(context: str | None) -> tuple[int | None, str]:
    """The line of COPY's text that `COPY orders, line 5, column amount: "x"` tells, and its column in our words."""
    found = _COPY.search(context or "")
    if found is None:
        return None, ""
    return int(found[1]), f"; column {found[2]!r}" if found[2] else ""


def _lines(batch: pa.RecordBatch, first: bool) -> list[int]:
    """How many lines each row takes in a text of all of them for COPY, which counts carriage returns until it has seen how
    the `first` one ends."""
    found = [1] * batch.num_rows
    breaks = ["\r" if first else "\n", *["\n"] * batch.num_rows]
    for column in batch.columns:
        if str(column.type) == "string":
            found = [
                height + (text or "").count(each)
                for height, text, each in zip(found, column.to_pylist(), breaks, strict=False)
            ]
    return found
