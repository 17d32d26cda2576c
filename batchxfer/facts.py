"""What a ledger says of itself: whether it has forgotten something, and what an operator looks at after a fault."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from batchxfer.model import utc


@dataclass(frozen=True, kw_only=True)
class Restored:
    """A ledger that is older than what the spool remembers of it.

    It knows what happened until `known_until`; `at` is when that was found out. What was due in between may have been sent.
    `declared` where a person said so: the spool was put back too, and remembers nothing else.
    """

    known_until: datetime
    at: datetime
    declared: bool = False

    def __post_init__(self) -> None:
        for name in ("known_until", "at"):
            object.__setattr__(self, name, utc(getattr(self, name)))


@dataclass(frozen=True, kw_only=True)
class KnownFile:
    """A file that the ledger says is there. `settled`: nothing of its run is left to do."""

    run: str
    job: str
    path: Path
    bytes: int
    sha256: str
    settled: bool


@dataclass(frozen=True, kw_only=True)
class Claimed:
    """A run that somebody works on. `lives` is what the ledger's rule for owners says."""

    run: str
    job: str
    owner: str
    lease_until: datetime
    lives: bool


@dataclass(frozen=True, kw_only=True)
class LedgerFacts:
    """What the ledger says of itself at one moment.

    `restored` where it was put back from a backup; `forgets` where the spool remembers what it does not have, and nobody has
    recorded that yet. `damage` is what the database's own check of the whole file says; empty where it is whole, or has no
    such check. `now` is the ledger's clock. `ahead` are rows that lie in the future: what, which one, when. `serving` is
    None, and so is the `path` of its file, where nodes share the ledger.
    """

    where: str
    version: str
    project: str
    now: datetime
    runs: int
    newest_event: datetime | None
    damage: Sequence[str] = ()
    files: Sequence[KnownFile] = ()
    claims: Sequence[Claimed] = ()
    ahead: Sequence[tuple[str, str, datetime]] = ()
    serving: bool | None = None
    path: Path | None = None
    restored: Restored | None = None
    forgets: bool = False


@dataclass(frozen=True, kw_only=True)
class Backup:
    """A copy of a ledger: how much it knows, and up to which event."""

    path: Path
    bytes: int
    runs: int
    events: int
    newest_event: datetime | None
    statuses: Mapping[str, int]
