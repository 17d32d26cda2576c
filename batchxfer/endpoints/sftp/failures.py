"""What went wrong on the link or at the server, translated into `errors`; the only place that does.

The rule: where the link is gone, the link is the cause whatever exception it showed as; where it is alive, the server's
status code decides. Codes: draft-ietf-secsh-filexfer-13, 9.1 (servers of version 3 send those above 8 too).
"""

from __future__ import annotations

import struct

import paramiko

from batchxfer.endpoints.sftp.watchdog import Verdict
from batchxfer.errors import (
    AttemptError,
    DeadlineError,
    FolderMissing,
    ForeignFile,
    NetworkError,
    NotSupported,
    PermissionRefused,
    ServerError,
    printable,
)

EOF, NO_SUCH_FILE, PERMISSION_DENIED, FAILURE, BAD_MESSAGE = 1, 2, 3, 4, 5
UNSUPPORTED, NO_SUCH_PATH, EXISTS = 8, 10, 11

MEANING = {
    EOF: "end of file",
    NO_SUCH_FILE: "no such file",
    PERMISSION_DENIED: "permission denied",
    FAILURE: "failure",
    BAD_MESSAGE: "bad message",
    6: "no connection",
    7: "connection lost",
    UNSUPPORTED: "operation not supported",
    9: "invalid handle",
    NO_SUCH_PATH: "no such path",
    EXISTS: "the file exists already",
    12: "write protected",
    13: "no medium",
    14: "no space left on the server",
    15: "quota exceeded",
    16: "unknown principal",
    17: "locked by another",
    18: "the folder is not empty",
    19: "not a folder",
    20: "invalid name",
    21: "too many links",
    22: "cannot be deleted",
    23: "invalid parameter",
    24: "it is a folder",
}

_KIND: dict[int, type[AttemptError]] = {
    NO_SUCH_FILE: FolderMissing,
    NO_SUCH_PATH: FolderMissing,
    19: FolderMissing,
    PERMISSION_DENIED: PermissionRefused,
    12: PermissionRefused,
    22: PermissionRefused,
    6: NetworkError,
    7: NetworkError,
    UNSUPPORTED: NotSupported,
    20: NotSupported,
    EXISTS: ForeignFile,
    24: ForeignFile,
}
_OF_A_NAME = frozenset({NO_SUCH_FILE, NO_SUCH_PATH, 19, 20, EXISTS, 24})
"""What these say of a name means nothing where an open file was written, read or closed."""

_MAKES = ("write ", "make the folder ")


class Refused(Exception):
    """The server answered a request with a status other than OK. `named`: it was a request that gives a path."""

    def __init__(self, code: int, text: str = "", *, named: bool = False) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text
        self.named = named

    def __str__(self) -> str:
        meaning = MEANING.get(self.code, "unknown status")
        said = printable(self.text.strip())[:200]
        repeated = said.lower().rstrip(".") in ("", meaning, "failure", "success")
        return f"{meaning} (status {self.code})" if repeated else f"{meaning} (status {self.code}: {said})"


class Broken(Exception):
    """The link is gone, or what came over it is not SFTP."""


def from_refusal(refusal: Refused, *, where: str, step: str) -> AttemptError:
    """The error for a status; `where` is the endpoint, `step` what could not be done to which path."""
    kind = _KIND.get(refusal.code, ServerError)
    if refusal.code in _OF_A_NAME and not refusal.named:
        kind = ServerError
    # "No such file" is what a server says of the folder, too, in which something is to be made.
    lacking = "its folder is not there: " if kind is FolderMissing and step.startswith(_MAKES) else ""
    return kind(f"{where}: cannot {step}: {lacking}{refusal}", hint=_hint(kind))


def forbids(refusal: Refused) -> bool:
    """Whether the server will not do it at all, for this user or for nobody."""
    return issubclass(_KIND.get(refusal.code, ServerError), PermissionRefused | NotSupported)


def _hint(kind: type[AttemptError]) -> str | None:
    if kind is PermissionRefused:
        return "ask the partner to grant this user the right, then retry"
    if kind is FolderMissing:
        return "have the folder made, or see create_folders, then retry"
    if kind is ForeignFile:
        return "see what is there; it was left as it is"
    return None


def from_break(exc: BaseException, verdict: Verdict | None, *, where: str, step: str) -> AttemptError:
    """The error for a link that is gone, or that the watchdog closed."""
    if verdict is not None and verdict.deadline:
        return DeadlineError(
            f"{where}: cannot {step}: the attempt took longer than its deadline of {seconds(verdict.seconds)}",
            hint="it is tried again; where the file is large or the line slow, raise the endpoint's deadline",
        )
    if verdict is not None:
        return NetworkError(
            f"{where}: cannot {step}: stalled, {verdict.what} got no answer for {seconds(verdict.seconds)}"
        )
    reason = printable(str(exc)).strip() or type(exc).__name__
    return NetworkError(f"{where}: cannot {step}: the connection broke ({reason})")


def seconds(value: float) -> str:
    return f"{value:g}s"


def unreachable(exc: OSError, limit: float, *, where: str, step: str) -> NetworkError:
    """The error for a server that could not be reached at all."""
    if isinstance(exc, TimeoutError):
        return NetworkError(f"{where}: cannot {step}: no answer for {seconds(limit)}", hint=_CHECK_ADDRESS)
    reason = exc.strerror or str(exc)
    return NetworkError(f"{where}: cannot {step}: {printable(reason)}", hint=_CHECK_ADDRESS)


_CHECK_ADDRESS = "check host, port and firewall; it is tried again"


def is_of_the_link(exc: Exception) -> bool:
    """Whether an exception is one of those that a broken or misbehaving connection shows as."""
    return isinstance(exc, (Broken, EOFError, OSError, paramiko.SSHException, struct.error, UnicodeError))
