"""ADBC's errors in the project's words."""

from __future__ import annotations

from typing import Any

from batchxfer.errors import BatchxferError, CredentialError, DatabaseUnavailable, PermanentError, QueryError

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
