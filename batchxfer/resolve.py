"""What to do next with one file of a delivery: the ledger's intent against what is seen at both names.

Pure: the caller looks, and acts on the answer. The table is the only way back after a crash or a lost reply.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from batchxfer.model import FileStatus


class Seen(Enum):
    """What a look at a name showed; UNKNOWN where the server lets nobody look (`verify = "reply"`)."""

    ABSENT = auto()
    THERE = auto()
    UNKNOWN = auto()


class Step(Enum):
    SEND = auto()
    """Send it, to a temporary name where there is one. What an earlier attempt left is dropped first."""
    SEND_OVER = auto()
    """Write anew over the file that this run itself created at the final name."""
    RENAME = auto()
    """Publish the temporary file that the last attempt finished."""
    COMPARE = auto()
    """Read the final name back: equal bytes mean that the rename had happened."""
    INFER = auto()
    """Both names are gone, and the partner is known to take files at once: delivered."""
    HOLD_FOREIGN = auto()
    HOLD_VANISHED = auto()
    HOLD_UNREADABLE = auto()
    NOTHING = auto()
    """It is published already."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What was agreed: `replace` from on_exists, `direct` from publish, `taken_at_once` from vanished."""

    replace: bool = False
    direct: bool = False
    taken_at_once: bool = False


def resolve(
    intent: FileStatus, temporary: Seen, final: Seen, policy: Policy, *, created: bool = False, resend: bool = False
) -> Step:
    """The next step. `created`: this run's own exclusive create of the final name is in the ledger; `resend`: a person says
    that what is not there is to be sent, whatever may have become of it."""
    if intent is FileStatus.PUBLISHED:
        return _again(final) if resend else Step.NOTHING
    if intent is FileStatus.PUBLISHING:
        step = _publishing(temporary, final, policy)
        return Step.SEND if resend and step in _GONE else step
    if final is not Seen.THERE or policy.replace:
        return Step.SEND
    if policy.direct and created:
        return Step.SEND_OVER
    return Step.COMPARE if resend else Step.HOLD_FOREIGN


_GONE = frozenset({Step.HOLD_VANISHED, Step.HOLD_UNREADABLE, Step.INFER})


def _again(final: Seen) -> Step:
    if final is Seen.UNKNOWN:
        return Step.SEND
    return Step.COMPARE if final is Seen.THERE else Step.SEND


def _publishing(temporary: Seen, final: Seen, policy: Policy) -> Step:
    if Seen.UNKNOWN in (temporary, final):
        return Step.HOLD_UNREADABLE
    if temporary is Seen.THERE and (final is Seen.ABSENT or policy.replace):
        return Step.RENAME
    if final is Seen.THERE:
        return Step.COMPARE
    return Step.INFER if policy.taken_at_once else Step.HOLD_VANISHED
