"""What can go wrong, sorted by what the caller would do about it.

BatchxferError
├── UserError            mend the input, then try again (exit 2)
│   ├── UsageError           a command's words
│   ├── ConfigError          configuration: every problem at once
│   └── LedgerError          the ledger is missing, damaged, or another project's
├── BusyError            somebody else holds the run or the ledger (exit 5)
├── AttemptError         an attempt ended without a delivery
│   ├── TransientError       retrying may help (exit 3)
│   │   ├── NetworkError         the link broke, stalled, or was never there
│   │   ├── DeadlineError        the attempt took longer than its deadline
│   │   ├── ServerError          the server answered "failure" without a reason
│   │   ├── DatabaseUnavailable  the database is gone, restarting, or timed out
│   │   ├── StorageError         this machine's disk is full or failing
│   │   └── LoginRefused         the endpoint pauses; waiting uses up no retry
│   ├── PermanentError       retrying cannot help (exit 1)
│   │   ├── HostKeyError         the server's key is not one that is pinned
│   │   ├── AlgorithmError       no common algorithm without weak ones
│   │   ├── PermissionRefused    the server or this machine forbids the step
│   │   ├── FolderMissing        a folder of the path does not exist
│   │   ├── NotSupported         the server cannot do the step at all
│   │   ├── CredentialError      a secret or key cannot be read, or is not safe to use
│   │   ├── QueryError           the database refuses the query
│   │   ├── UnwritableValue      a format cannot represent a value (row, column, value)
│   │   ├── UnreadableFile       a fetched file is not what its format says (line, column, value)
│   │   │   └── ReadPatiently    … not by a fast reader: read it once more, patiently
│   │   └── LoadError            the target refuses the rows, or has no such table or column
│   │       └── RowRefused           … one of them, which is known
│   └── HeldError            a person must decide (exit 4)
│       ├── ForeignFile          something else is at the final name
│       ├── GuardTripped         too few or too many rows
│       ├── Vanished             temporary and final name are both gone
│       ├── PastCutoff           too late to start or to publish
│       ├── LedgerRestored       the ledger was put back from a backup: it may have been sent
│       └── WrongEnvironment     the endpoint belongs to another environment
└── OwnershipLost        another worker owns the run now: stop, write nothing
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from batchxfer.redaction import redacted


class ExitCode(IntEnum):
    """What a command's exit status says."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    RETRYING = 3
    HELD = 4
    BUSY = 5
    INTERRUPTED = 130


SEVERITY = (
    ExitCode.USAGE,
    ExitCode.HELD,
    ExitCode.FAILED,
    ExitCode.RETRYING,
    ExitCode.BUSY,
    ExitCode.DONE,
)


def worst(codes: list[ExitCode]) -> ExitCode:
    """The one exit code for several results; DONE for none."""
    return min(codes, key=SEVERITY.index, default=ExitCode.DONE)


@dataclass(frozen=True, kw_only=True)
class ErrorInfo:
    """An error as the ledger, `--json` and notices carry it."""

    kind: str
    message: str
    hint: str | None = None


_MARKS = (0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
"""Marks of text direction can make one name look like another; line separators are line breaks to some programs."""
STEERING = (*(code for code in (*range(32), *range(127, 160)) if code not in (9, 10)), *_MARKS)
"""The characters that a terminal would obey instead of show. Tab and newline are not among them."""
_ESCAPES = {code: f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" for code in STEERING}

_IN_JSON = {code: f"\\u{code:04x}" for code in STEERING}


def visible(text: str) -> str:
    """`text` with control characters written out, so that a hostile name cannot draw on the terminal."""
    return text.translate(_ESCAPES)


def visible_json(document: bytes) -> bytes:
    """The same JSON; JSON itself escapes only some of what steers a terminal."""
    text = document.decode()
    return document if text.isascii() else text.translate(_IN_JSON).encode()


def printable(text: str) -> str:
    """`text` on one line: what a server or a file's name says must not steer a terminal or a log."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


class BatchxferError(Exception):
    """An error that a user may see: what, which one, why (`message`), what to do now (`hint`).

    In neither is a secret, or a character that steers a terminal, whoever said it.
    """

    kind = "error"
    exit_code = ExitCode.FAILED

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.message = visible(redacted(message))
        self.hint = visible(redacted(hint)) if hint else hint
        super().__init__(self.message)

    @property
    def info(self) -> ErrorInfo:
        return ErrorInfo(kind=self.kind, message=self.message, hint=self.hint)


class UserError(BatchxferError):
    kind = "user"
    exit_code = ExitCode.USAGE


class UsageError(UserError):
    kind = "usage"


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing wrong in the configuration.

    `file` is relative to the configuration's folder; `where` is the table and key (`schedule.cron`).
    """

    file: str
    where: str
    problem: str
    hint: str | None = None

    def __str__(self) -> str:
        text = f"{self.file}: {self.where}: {self.problem}" if self.where else f"{self.file}: {self.problem}"
        return f"{text}; {self.hint}" if self.hint else text


class ConfigError(UserError):
    """Every problem of every file."""

    kind = "configuration"

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class LedgerError(UserError):
    kind = "ledger"


class BusyError(BatchxferError):
    kind = "busy"
    exit_code = ExitCode.BUSY


class OwnershipLost(BatchxferError):
    kind = "ownership-lost"
    exit_code = ExitCode.BUSY


class AttemptError(BatchxferError):
    kind = "attempt"


class TransientError(AttemptError):
    kind = "transient"
    exit_code = ExitCode.RETRYING


class NetworkError(TransientError):
    kind = "network"


class DeadlineError(TransientError):
    kind = "deadline"


class ServerError(TransientError):
    kind = "server"


class DatabaseUnavailable(TransientError):
    kind = "database-unavailable"


class StorageError(TransientError):
    kind = "storage"


class LoginRefused(TransientError):
    kind = "login-refused"


class PermanentError(AttemptError):
    kind = "permanent"
    exit_code = ExitCode.FAILED


class HostKeyError(PermanentError):
    kind = "host-key"


class AlgorithmError(PermanentError):
    kind = "algorithm"


class PermissionRefused(PermanentError):
    kind = "permission"


class FolderMissing(PermanentError):
    kind = "folder-missing"


class NotSupported(PermanentError):
    kind = "not-supported"


class CredentialError(PermanentError):
    kind = "credential"


class QueryError(PermanentError):
    kind = "query"


class UnwritableValue(PermanentError):
    kind = "value"


class UnreadableFile(PermanentError):
    kind = "unreadable"


class ReadPatiently(UnreadableFile):
    """There is something that a fast reader does not read; a patient one may."""


class LoadError(PermanentError):
    kind = "load"


class RowRefused(LoadError):
    """`row` is its number, from 1, among those that were given to the target.

    Where the target counts lines of a text instead, `lines` says how many each row of a batch has.
    """

    def __init__(
        self, message: str, *, row: int, lines: Callable[[Any, bool], list[int]] | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.row = row
        self.lines = lines


class HeldError(AttemptError):
    kind = "held"
    exit_code = ExitCode.HELD


class ForeignFile(HeldError):
    kind = "foreign-file"


class GuardTripped(HeldError):
    kind = "guard"


class Vanished(HeldError):
    kind = "vanished"


class PastCutoff(HeldError):
    kind = "cutoff"


class WrongEnvironment(HeldError):
    kind = "environment"


class LedgerRestored(HeldError):
    kind = "ledger-restored"
