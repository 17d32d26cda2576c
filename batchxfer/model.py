"""The values that every part speaks of, and the table of allowed state changes.

Instants are aware and in UTC; a zone only renders them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path

from batchxfer.errors import ErrorInfo


def utc(instant: datetime) -> datetime:
    """The same instant in UTC. Raises ValueError for a naive one."""
    if instant.tzinfo is None or instant.utcoffset() is None:
        raise ValueError(f"instant without a time zone: {instant}")
    return instant.astimezone(UTC)


# --- columns -------------------------------------------------------------------------------------


class TypeName(StrEnum):
    """The types of a column; ports.Rows says which Arrow type carries each."""

    INTEGER = "integer"
    DECIMAL = "decimal"
    FLOAT = "float"
    BOOLEAN = "boolean"
    DATE = "date"
    TIME = "time"
    TIMESTAMP = "timestamp"
    TIMESTAMPTZ = "timestamptz"
    TEXT = "text"
    UUID = "uuid"
    BYTES = "bytes"
    INTERVAL = "interval"
    JSON = "json"


@dataclass(frozen=True)
class ColumnType:
    """A column's type; `precision` and `scale` only for decimals, in digits."""

    name: TypeName
    precision: int | None = None
    scale: int | None = None

    @classmethod
    def parse(cls, text: str) -> ColumnType:
        """Read `integer` or `decimal(12,2)`. Raises ValueError naming the types that exist."""
        match = re.fullmatch(r"\s*([a-z]+)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?\s*", text)
        known = ", ".join(name.value for name in TypeName)
        if match is None or match[1] not in set(TypeName):
            raise ValueError(f"unknown type {text!r}; the types are {known}")
        if match[2] is None:
            return cls(TypeName(match[1]))
        if match[1] != TypeName.DECIMAL:
            raise ValueError(f"{match[1]!r} takes no numbers in parentheses; only decimal(precision,scale) does")
        precision, scale = int(match[2]), int(match[3] or 0)
        if precision < 1 or scale > precision:
            raise ValueError(f"decimal({precision},{scale}): 1 <= precision and scale <= precision")
        return cls(TypeName.DECIMAL, precision, scale)

    def __str__(self) -> str:
        return self.name if self.precision is None else f"{self.name}({self.precision},{self.scale})"


@dataclass(frozen=True)
class Column:
    """A column as it comes from a source or goes into a file."""

    name: str
    type: ColumnType


@dataclass(frozen=True, kw_only=True)
class TargetColumn:
    """A column of a table that is loaded.

    `bits` is the width of integers, with a sign unless `unsigned`, and of floats, None where the table has none; `longest` the
    number of characters (or bytes, of binary columns) that fit, `longest_bytes` that of a text's bytes; `forbidden` a character
    that no text of it may have; `fraction` the digits of a second's fraction that fit, None for all six; `optional` means
    that a row without it takes the table's default or NULL; `not_numbers` that `nan`, `inf` and `-inf` are decimals of it;
    `words` are the only values of an enumeration, `pattern` is what each text matches as a whole; `native` is the database's
    own name of the type.
    """

    name: str
    type: ColumnType
    nullable: bool = True
    optional: bool = True
    bits: int | None = None
    unsigned: bool = False
    longest: int | None = None
    longest_bytes: int | None = None
    forbidden: str = ""
    fraction: int | None = None
    not_numbers: bool = False
    words: tuple[str, ...] = ()
    pattern: str = ""
    native: str = ""


# --- states --------------------------------------------------------------------------------------


class DeliveryStatus(StrEnum):
    PENDING = "pending"
    SENDING = "sending"
    PUBLISHING = "publishing"
    DELIVERED = "delivered"
    RETRYING = "retrying"
    FAILED = "failed"
    HELD = "held"
    EXCLUDED = "excluded"


class RunStatus(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    RETRYING = "retrying"
    HELD = "held"
    FAILED = "failed"
    DELIVERED = "delivered"
    SKIPPED = "skipped"
    EXCLUDED = "excluded"
    MISSING = "missing"


class Outcome(StrEnum):
    """How an attempt ended."""

    DELIVERED = "delivered"
    BUILT = "built"
    TRANSIENT = "transient"
    PERMANENT = "permanent"
    HELD = "held"
    ABANDONED = "abandoned"


class FileRole(StrEnum):
    """The files of one delivery, in the order in which they are published."""

    DATA = "data"
    CHECKSUM = "checksum"
    DONE = "done"


class FileStatus(StrEnum):
    """How far one file of a delivery has come; the intent is recorded before the side effect."""

    PENDING = "pending"
    SENDING = "sending"
    PUBLISHING = "publishing"
    PUBLISHED = "published"


class FetchStatus(StrEnum):
    """How far a partner's file has come; the intent is recorded before the side effect.

    `done` when what is to become of the remote file has been done; `skipped` where the job leaves such a file alone;
    `refused` where it cannot be taken (its name, its size); `excluded` where a person said so.
    """

    SEEN = "seen"
    FETCHED = "fetched"
    LOADED = "loaded"
    DONE = "done"
    SKIPPED = "skipped"
    REFUSED = "refused"
    EXCLUDED = "excluded"


_D = DeliveryStatus
_STOPS = frozenset({_D.RETRYING, _D.FAILED, _D.HELD, _D.EXCLUDED})

DELIVERY_MOVES: Mapping[DeliveryStatus, frozenset[DeliveryStatus]] = {
    _D.PENDING: _STOPS | {_D.PENDING, _D.SENDING, _D.PUBLISHING, _D.DELIVERED},
    _D.RETRYING: _STOPS | {_D.PENDING, _D.SENDING, _D.PUBLISHING, _D.DELIVERED},
    _D.SENDING: _STOPS | {_D.PENDING, _D.SENDING, _D.PUBLISHING, _D.DELIVERED},
    _D.PUBLISHING: _STOPS | {_D.PENDING, _D.SENDING, _D.PUBLISHING, _D.DELIVERED},
    _D.FAILED: frozenset({_D.PENDING, _D.HELD, _D.DELIVERED, _D.EXCLUDED}),
    _D.HELD: frozenset({_D.PENDING, _D.HELD, _D.DELIVERED, _D.EXCLUDED}),
    _D.EXCLUDED: frozenset({_D.PENDING}),
    # Only `resend` leaves delivered: the same bytes to the same path.
    _D.DELIVERED: frozenset({_D.DELIVERED, _D.SENDING, _D.RETRYING, _D.FAILED, _D.HELD}),
}

_F = FileStatus

FILE_MOVES: Mapping[FileStatus, frozenset[FileStatus]] = {
    # Nothing is published that was not begun: `sending` records the temporary name first.
    _F.PENDING: frozenset({_F.PENDING, _F.SENDING, _F.PUBLISHED}),
    # Back to pending where it was sent while it was built, and taken back.
    _F.SENDING: frozenset(_F),
    _F.PUBLISHING: frozenset(_F) - {_F.PENDING},
    _F.PUBLISHED: frozenset(_F) - {_F.PUBLISHING, _F.PENDING},
}

_T = FetchStatus

FETCH_MOVES: Mapping[FetchStatus, frozenset[FetchStatus]] = {
    _T.SEEN: frozenset(_T) - {_T.LOADED, _T.DONE},
    # Back to seen where the local file is gone, or the remote one changed before it was accepted.
    _T.FETCHED: frozenset(_T) - {_T.REFUSED},
    _T.LOADED: frozenset({_T.LOADED, _T.DONE}),
    _T.DONE: frozenset({_T.DONE}),
    _T.SKIPPED: frozenset({_T.SKIPPED, _T.SEEN}),
    _T.REFUSED: frozenset({_T.REFUSED, _T.SEEN}),
    _T.EXCLUDED: frozenset({_T.EXCLUDED, _T.SEEN}),
}

_RUN_ORDER = (
    (RunStatus.HELD, {_D.HELD}),
    (RunStatus.RETRYING, {_D.RETRYING}),
    (RunStatus.FAILED, {_D.FAILED}),
    (RunStatus.PENDING, {_D.PENDING, _D.SENDING, _D.PUBLISHING}),
    (RunStatus.DELIVERED, {_D.DELIVERED}),
)


def run_status(deliveries: Iterable[DeliveryStatus], *, running: bool) -> RunStatus:
    """A run's state from its deliveries': the first present of running, held, retrying, failed, pending, delivered.

    A run all of whose deliveries are excluded is excluded; one without deliveries is pending.
    """
    if running:
        return RunStatus.RUNNING
    present = set(deliveries)
    for status, members in _RUN_ORDER:
        if present & members:
            return status
    return RunStatus.EXCLUDED if present else RunStatus.PENDING


# --- what the ledger keeps -----------------------------------------------------------------------

ParameterValue = None | bool | int | float | str | date | datetime | object
"""A query parameter: TOML's and Python's scalars, `decimal.Decimal`, `datetime.time`."""


@dataclass(frozen=True, kw_only=True)
class Due:
    """A slot with what it reports on: half-open interval [start, end), business date."""

    slot: datetime
    interval_start: datetime
    interval_end: datetime
    business_date: date

    def __post_init__(self) -> None:
        for name in ("slot", "interval_start", "interval_end"):
            object.__setattr__(self, name, utc(getattr(self, name)))


@dataclass(frozen=True, kw_only=True)
class Mark:
    """How far a job was planned: every slot up to and with `planned_until` is in the ledger, and the last interval ended at
    `interval_end` (None before the first)."""

    job: str
    first_seen: datetime
    planned_until: datetime
    interval_end: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A slot that is not run. Where it was `merged`, the plan's last due slot covers its interval."""

    due: Due
    reason: str
    merged: bool = False


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to write, in one transaction: the slots to run in order, those skipped, and the new mark.

    `uncounted` is the number of skipped slots, older than those in `skipped`, that are told as one event.
    """

    mark: Mark
    due: tuple[Due, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    uncounted: int = 0


@dataclass(frozen=True, kw_only=True)
class OpenRun:
    """A run that is not settled.

    `due_at` is the earliest instant at which something of it may be done (its creation, or the first retry), None where only
    a person can go on. `endpoints` are those that it still has to reach; none before its first claim. `claim` is a live
    worker's.
    """

    id: str
    job: str
    slot: datetime
    status: RunStatus
    due_at: datetime | None = None
    endpoints: tuple[str, ...] = ()
    claim: Claim | None = None

    @property
    def running(self) -> bool:
        return self.claim is not None


@dataclass(frozen=True, kw_only=True)
class Pause:
    """Nothing starts for `subject`, a job's name or `@` and an endpoint's.

    `until` is None for a person's pause; after a refused login it is when the next trial may be made.
    """

    subject: str
    why: str
    since: datetime
    until: datetime | None = None

    @property
    def told(self) -> str:
        """As the reason of what waits for its end."""
        return f"{self.subject} is paused: {self.why}"


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What is left to do, and what is paused, at one instant of the ledger's clock."""

    now: datetime
    runs: tuple[OpenRun, ...]
    pauses: Mapping[str, Pause]


class NoticeKind(StrEnum):
    """What somebody may be told of."""

    FAILED = "failed"
    HELD = "held"
    LATE = "late"
    MISSING = "missing"
    RECOVERED = "recovered"


@dataclass(frozen=True, kw_only=True)
class Notice:
    """Something to tell, recorded with the state that it tells of.

    `told_at` is when each command was last told, by its key; `over_at` when the state ended.
    """

    id: str
    kind: NoticeKind
    at: datetime
    job: str | None
    run: str | None
    subject: str
    detail: Mapping[str, object]
    told_at: Mapping[str, datetime] = field(default_factory=dict)
    over_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """The finished local file. `path` is absolute; `bytes` and `sha256` are of the file as sent."""

    id: str
    path: Path
    rows: int
    bytes: int
    sha256: str
    created_at: datetime
    pruned_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One try: a build (`endpoint` is None) or a delivery to one endpoint."""

    id: str
    number: int
    endpoint: str | None
    started_at: datetime
    ended_at: datetime | None = None
    outcome: Outcome | None = None
    error: ErrorInfo | None = None


@dataclass(frozen=True, kw_only=True)
class DeliveryFile:
    """One file of a delivery: the data, its checksum file, its done file.

    `created` is true once an exclusive create of this run at the *final* name succeeded (`publish = "direct"`).
    `temp_path` is the temporary name that the last attempt used.
    """

    role: FileRole
    path: str
    status: FileStatus = FileStatus.PENDING
    temp_path: str | None = None
    created: bool = False
    bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class SeenFile:
    """A partner's file as a look found it. `path` is below the endpoint's root; `refused` says why it cannot be taken."""

    path: str
    size: int
    modified: datetime | None = None
    refused: str | None = None


@dataclass(frozen=True, kw_only=True)
class FetchedFile:
    """One version of a partner's file, in one run.

    `file` is the version's own id: a rerun's runs have it in common, and with the run's revision it is what a load is known
    by. `size` (bytes) and `modified` are the server's; `bytes` and `sha256` are of what was fetched. `local_path` is the
    intent once the bytes are here, and a fact from `fetched` on; `moved_to` is where the remote file is to go. `rows` were
    loaded, `bad_rows` were left out and are in `bad_path`. `gone` once the remote file was taken away by us.
    """

    id: str
    file: str
    run: str
    revision: int
    job: str
    endpoint: str
    path: str
    size: int
    modified: datetime | None = None
    status: FetchStatus = FetchStatus.SEEN
    reason: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    local_path: Path | None = None
    moved_to: str | None = None
    gone: bool = False
    rows: int | None = None
    bad_rows: int | None = None
    bad_path: Path | None = None
    seen_at: datetime
    fetched_at: datetime | None = None
    loaded_at: datetime | None = None
    done_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What proves a delivery. `how` is size, readback, reply, looked, inferred, accepted, equal, or (of a pull) fetched."""

    how: str
    detail: str | None = None
    server_key: str | None = None


BUT = "but: "
"""Stands in a pull's evidence before what a person may want to know of a look: what was not there, or not to be taken yet."""


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One artifact at one endpoint path, with its own state and retries. `path` is below the endpoint's root."""

    id: str
    endpoint: str
    path: str
    status: DeliveryStatus
    reason: str | None = None
    retry_at: datetime | None = None
    retries: int = 0
    delivered_at: datetime | None = None
    bytes: int | None = None
    sha256: str | None = None
    evidence: Evidence | None = None
    error: ErrorInfo | None = None
    files: tuple[DeliveryFile, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What a run does, kept from its first claim: the texts and their digests (sha256, hex)."""

    query: str
    format: str
    file: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class Run:
    """The ledger's record of one (job, slot, revision).

    A pull's one delivery is its look: the endpoint, and the glob as its path; `files` are what it found.
    """

    id: str
    job: str
    due: Due
    revision: int
    status: RunStatus
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    reason: str | None = None
    retry_at: datetime | None = None
    created_at: datetime
    guard_released: bool = False
    snapshot: Snapshot | None = None
    artifact: Artifact | None = None
    attempts: tuple[Attempt, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    files: tuple[FetchedFile, ...] = ()

    @property
    def is_pull(self) -> bool:
        """Whether it fetches: what it does, once it has begun, has no query."""
        return self.snapshot is not None and not self.snapshot.query


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened, as the ledger tells it."""

    at: datetime
    run: str | None
    kind: str
    detail: Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A worker's right to a run; `token` is what every write is conditional on."""

    run: str
    token: str
    owner: str
