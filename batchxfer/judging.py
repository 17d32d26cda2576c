"""What a look at an endpoint says of a run that a restored ledger knows nothing of any more. Pure.

The ledger cannot say what was sent; the name can, where it tells the slot, and the digest, where our files still lie in the
spool.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from batchxfer.facts import Restored
from batchxfer.resolve import Seen

_MOST_NAMED = 3


class Verdict(StrEnum):
    FOUND = "found"
    """It was delivered before: there is nothing to send."""
    ABSENT = "absent"
    """It was not, or is gone: it may be sent."""
    UNDECIDED = "undecided"
    """A person has to ask the partner."""
    NOT_LOOKED = "not-looked"
    """Nobody could look: it stays as it is."""


@dataclass(frozen=True, kw_only=True)
class Name:
    """What is known of a final name.

    `tells_slot`: no other slot has it. `tells_run`: it has a run's id in it, and the run that sent it is forgotten.
    `taken_at_once`: this partner takes files as soon as they are there.
    """

    path: str
    tells_slot: bool = True
    tells_run: bool = False
    taken_at_once: bool = False


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What is at a name. `sha256` is None where it could not be read back, or was not tried."""

    seen: Seen
    bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The digests of the job's files in the spool, with their names: those of the slot, and those of earlier ones.

    `is_whole` where the spool was not put back with the ledger: it has what was sent since.
    """

    ours: Mapping[str, str]
    earlier: Mapping[str, str]
    is_whole: bool = True


@dataclass(frozen=True, kw_only=True)
class Judgement:
    verdict: Verdict
    reason: str


def may_have_been_sent(slot: datetime, restored: Restored) -> bool:
    """Whether the ledger that is lost may have known more of the slot: what came due later it cannot have known."""
    return slot <= restored.at


def judge(
    name: Name, data: Sight, sidecars: Mapping[str, Seen], kept: Kept, *, leaves_files: bool | None = None
) -> Judgement:
    """`sidecars` are the other files of the delivery. `leaves_files`: whether this partner leaves what it got where it is, as
    far as an earlier file tells; None where there is none."""
    there = [path for path, seen in sidecars.items() if seen is Seen.THERE]
    if data.seen is not Seen.THERE and not there and kept.is_whole and not kept.ours:
        return _absent("it was never built: the spool has no file of this slot")
    if name.tells_run:
        return _undecided("its name has the run's id in it, and the run that may have sent it is forgotten")
    if data.seen is Seen.UNKNOWN:
        return _undecided("this server lets nobody look, so it is not known whether it arrived")
    if data.seen is Seen.THERE:
        return _judge_what_is_there(name, data, sidecars, kept)
    if there:
        return _undecided(f"{there[0]} is there, and the file that belongs to it is not")
    if name.taken_at_once:
        return _undecided("it is not there, and this partner takes files at once: that says nothing")
    if leaves_files:
        return _absent("it is not there, and an earlier file still is")
    earlier = (
        "the file before it is gone too"
        if leaves_files is False
        else "no earlier file tells whether they are left there"
    )
    return _undecided(f"it is not there, and {earlier}: it may have been taken away since")


def _judge_what_is_there(name: Name, data: Sight, sidecars: Mapping[str, Seen], kept: Kept) -> Judgement:
    what = f"a file of {data.bytes:,} bytes is there"
    if data.sha256 is None:
        return _undecided(f"{what}, and it cannot be read back")
    ours, earlier = kept.ours.get(data.sha256), None if name.tells_slot else kept.earlier.get(data.sha256)
    if earlier is not None and ours is None:
        return _absent(f"what is there is an earlier slot's: {earlier} in the spool")
    doubt = _doubt(name, sidecars, kept, ours, earlier)
    if doubt is not None:
        return _undecided(f"{what} (sha256 {data.sha256}), and {doubt}")
    same = f", the same as {ours} in the spool" if ours else ""
    found = f"found there by reconcile: {data.bytes:,} bytes, sha256 {data.sha256} (read back){same}"
    return Judgement(verdict=Verdict.FOUND, reason=found)


def _doubt(name: Name, sidecars: Mapping[str, Seen], kept: Kept, ours: str | None, earlier: str | None) -> str | None:
    """Why what is there may not be this slot's file, or not all of it."""
    if ours is None and kept.ours:
        return "this slot's in the spool is another"
    if ours is None and not name.tells_slot:
        return "other slots have the same name: it may be theirs"
    if ours is None and kept.is_whole:
        return "the spool has none of this slot: it may be somebody else's"
    if earlier is not None:
        return f"{earlier} in the spool, of an earlier slot, is the same"
    missing = [path for path, seen in sidecars.items() if seen is not Seen.THERE]
    return f"{missing[0]}, which belongs to it, is not" if missing else None


def judge_pull(unknown: Sequence[str]) -> Judgement:
    """Of a pull: `unknown` are the files there that the ledger does not know, and that may have been taken before."""
    if not unknown:
        return _absent("nothing is there that the ledger does not know")
    named = ", ".join(unknown[:_MOST_NAMED]) + (", …" if len(unknown) > _MOST_NAMED else "")
    return _undecided(f"{len(unknown)} there that may have been taken before: {named}")


def _absent(reason: str) -> Judgement:
    return Judgement(verdict=Verdict.ABSENT, reason=reason)


def _undecided(reason: str) -> Judgement:
    return Judgement(verdict=Verdict.UNDECIDED, reason=reason)
