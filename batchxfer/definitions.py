"""What the TOML files say, as frozen values: an attribute's name is its key.

The models check types and words; what depends on other tables or files is checked by `config`. Durations are
`timedelta`, zones `ZoneInfo`, secrets `SecretRef`. Options of one protocol or kind are in that adapter's own module, as a
subclass of `EndpointOptions` or `FormatOptions`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from batchxfer.fields import (
    UTC,
    Cutoff,
    DateOffset,
    Duration,
    Line,
    Offset,
    Parameter,
    Size,
    SomeDuration,
    Type,
    Zone,
)

# --- tables --------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Complaint:
    """A thing wrong in one table; `key` is "" for the table as a whole."""

    key: str
    problem: str
    hint: str | None = None


def _frozen(value: object) -> object:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


class Table(BaseModel):
    """A TOML table: no unknown keys, no conversions between types (`"4"` is not 4), never changed."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, populate_by_name=True, hide_input_in_errors=True
    )

    not_keys: ClassVar[frozenset[str]] = frozenset()
    """Attributes that no file writes."""

    @model_validator(mode="before")
    @classmethod
    def _freeze_arrays(cls, data: Any) -> Any:
        return {key: _frozen(value) for key, value in data.items()} if isinstance(data, dict) else data

    @classmethod
    def complaints(cls, table: Mapping[str, Any]) -> Iterator[Complaint]:
        """What is wrong between the keys of one table as it was written (its values may be of wrong types).

        Told beside the errors of single keys, so that all problems come at once. Adapters extend this.
        """
        yield from ()


class SecretRef(Table):
    """Where a secret is found: exactly one of `env` and `file`. Never the secret itself."""

    env: Line | None = Field(
        default=None, min_length=1, description="Name of the environment variable that holds the value."
    )
    file: Line | None = Field(
        default=None,
        min_length=1,
        description="Path of a file that holds the value (one newline at its end is dropped); `$CREDENTIALS_DIRECTORY` works.",
    )

    @classmethod
    def complaints(cls, table: Mapping[str, Any]) -> Iterator[Complaint]:
        if len({"env", "file"} & table.keys()) != 1:
            yield Complaint(key="", problem="takes exactly one of env and file", hint='write { env = "NAME" }')


# --- config.toml ---------------------------------------------------------------------------------


class DatabaseOptions(Table):
    """One database: a source of rows."""

    url: Line | SecretRef = Field(
        description="SQLAlchemy URL, or where it is found; never with a password in its text."
    )
    password: SecretRef | None = Field(default=None, description="Where the password is found.")
    timezone: Zone = Field(
        default=UTC, description="Zone of timestamps without one (on PostgreSQL the session's zone)."
    )
    statement_timeout: SomeDuration = Field(
        default=timedelta(minutes=30), description="A query that takes longer is ended."
    )
    connect_timeout: SomeDuration = Field(
        default=timedelta(seconds=15), description="How long a connection may take to open."
    )


class EndpointOptions(Table):
    """What all endpoints have in common; each protocol adds its own keys."""

    protocol: str = Field(description="How files get there: the name of a module in batchxfer/endpoints.")
    root: Line = Field(default=".", min_length=1, description="Folder that the jobs' paths are below.")
    timezone: Zone = Field(default=UTC, description="The partner's clock.")
    partner: Line | None = Field(default=None, description="The partner's name, for notices.")
    contact: Line | None = Field(default=None, description="Whom to tell, for notices.")
    environment: Line | None = Field(
        default=None, min_length=1, description="Use this endpoint only on a machine whose environment says the same."
    )
    connections: int = Field(default=2, ge=1, le=64, description="At most so many connections at a time.")
    connect_timeout: SomeDuration = Field(default=timedelta(seconds=15), description="How long connecting may take.")
    stall_timeout: SomeDuration = Field(
        default=timedelta(seconds=60), description="No progress for so long ends the attempt."
    )
    deadline: SomeDuration = Field(default=timedelta(hours=2), description="An attempt that takes longer is ended.")
    publish: Literal["rename", "direct"] = Field(
        default="rename",
        description="rename: temporary name, then final name. direct: for servers without rename; a weaker promise.",
    )
    temp_name: Line = Field(
        default=".{name}.{attempt}.part", min_length=1, description="Temporary name, with {name} and {attempt}."
    )
    create_folders: Literal["dated", "all", "none"] = Field(
        default="dated", description="Folders to create: from the first template field on, all, or none."
    )
    vanished: Literal["hold", "delivered"] = Field(
        default="hold",
        description="When both names are gone while publishing: hold, or delivered for partners who take files at once.",
    )


class Calendar(Table):
    """Open and closed days."""

    base: Line | None = Field(
        default=None, min_length=1, description="Country or market of the holidays package (KR, XNYS)."
    )
    open: tuple[date, ...] = Field(default=(), description="Days that are open whatever the base says.")
    closed: tuple[date, ...] = Field(default=(), description="Days that are closed whatever the base says.")


NoticeKind = Literal["failed", "held", "late", "missing", "recovered"]


class Notice(Table):
    """Whom to tell of what."""

    on: tuple[NoticeKind, ...] = Field(
        default=("failed", "held", "late", "missing", "recovered"),
        min_length=1,
        description="The events that are told.",
    )
    command: tuple[str, ...] = Field(
        min_length=1, description="Program and arguments; gets the event as JSON on stdin."
    )
    remind: SomeDuration = Field(default=timedelta(hours=1), description="Told again after so long while it lasts.")

    @property
    def key(self) -> str:
        """What the ledger knows the command by, wherever it stands in the configuration."""
        return hashlib.sha256("\0".join(self.command).encode()).hexdigest()[:16]


class Config(Table):
    """config.toml."""

    timezone: Zone = Field(default=UTC, description="Default zone of schedules.")
    ledger: Line = Field(
        default="sqlite:///var/ledger.db", min_length=1, description="URL of the ledger: sqlite:/// or postgresql://."
    )
    ledger_password: SecretRef | None = Field(
        default=None, description="Where the password of a PostgreSQL ledger is found."
    )
    spool: Line = Field(default="var/spool", min_length=1, description="Folder of the finished files.")
    jobs: Line = Field(default="jobs", min_length=1, description="Folder of the jobs.")
    formats: Line = Field(default="formats", min_length=1, description="Folder of the formats.")
    workers: int = Field(default=4, ge=1, le=256, description="Runs at a time.")
    keep_artifacts: SomeDuration = Field(
        default=timedelta(days=90), description="Delivered artifacts older than this are pruned."
    )
    environment: SecretRef | None = Field(
        default=None, description="Where this machine's name is found; endpoints may ask for one."
    )
    databases: dict[str, DatabaseOptions] = Field(default={}, description="Databases by name.")
    endpoints: dict[str, EndpointOptions] = Field(default={}, description="Endpoints by name.")
    calendars: dict[str, Calendar] = Field(default={}, description="Calendars by name.")
    notify: tuple[Notice, ...] = Field(default=(), description="Whom to tell of what.")


# --- formats/NAME.toml ---------------------------------------------------------------------------


class FormatColumn(Table):
    """One column of the file: which one, under what name, and how."""

    name: str = Field(min_length=1, description="The query's column.")
    as_: str | None = Field(default=None, alias="as", min_length=1, description="Its name in the file.")
    type: Type | None = Field(default=None, description="Its type, where the database has none or another.")
    width: int | None = Field(default=None, ge=1, le=1_000_000, description="Width of the field (fixed-width).")
    align: Literal["left", "right"] = Field(
        default="left", description="Where the value stands in its field (fixed-width)."
    )
    pad: str = Field(default=" ", min_length=1, max_length=1, description="What fills the field (fixed-width).")
    overflow: Literal["fail", "cut"] = Field(
        default="fail", description="What happens to a value that is too wide (fixed-width)."
    )


class FormatOptions(Table):
    """What all formats have in common; each kind adds its own keys."""

    kind: str = Field(description="How rows become records: the name of a module in batchxfer/codec.")
    columns: tuple[FormatColumn, ...] = Field(
        default=(), description="The columns of the file in order; none: all of the query's."
    )
    encoding: str = Field(default="utf-8", min_length=1, description="A text encoding of Python.")
    unencodable: Literal["fail", "replace"] = Field(
        default="fail", description="What happens to a character outside the encoding."
    )
    line_ending: Literal["lf", "crlf", "none"] = Field(default="lf", description="What ends each record.")
    header_record: str | None = Field(
        default=None, description="First line of the file: a template with {rows}, {sum[column]}, …"
    )
    trailer_record: str | None = Field(
        default=None, description="Last line of the file: a template with {rows}, {sum[column]}, …"
    )
    timezone: Zone = Field(default=UTC, description="Zone in which timestamps with a zone are shown.")
    date_format: str = Field(default="iso", min_length=1, description="iso, or strftime codes.")
    time_format: str = Field(default="iso", min_length=1, description="iso, or strftime codes.")
    timestamp_format: str = Field(default="iso", min_length=1, description="iso, or strftime codes.")
    true: str = Field(default="true", description="How true is written.")
    false: str = Field(default="false", description="How false is written.")
    bytes: Literal["base64", "hex"] = Field(default="base64", description="How binary values are written.")

    def unwritable(self) -> Iterator[Complaint]:
        """What no file could be written with, whatever the rows are, though one may be read; the options may be half-read."""
        yield from ()

    @property
    def tells_empty_from_null(self) -> bool:
        """Whether an empty text is written otherwise than NULL."""
        return True

    @property
    def tells_integers_from_decimals(self) -> bool:
        """Whether an integer may be written in another way in a column of decimals."""
        return True


# --- jobs/NAME.toml ------------------------------------------------------------------------------


class Schedule(Table):
    """When a job is due."""

    cron: str | None = Field(
        default=None, min_length=1, description="Five fields, with L, W and #; 0 and 7 are Sunday."
    )
    every: SomeDuration | None = Field(
        default=None, description="A duration, counted from start (else 1970-01-01T00:00Z)."
    )
    timezone: Zone | None = Field(default=None, description="The schedule's zone; default: the configuration's.")
    calendar: Line | None = Field(
        default=None, min_length=1, description="A calendar of the configuration, or a country code."
    )
    on_closed: Literal["skip", "previous", "next"] = Field(
        default="skip", description="What happens to a slot on a closed day."
    )
    date_offset: Offset = Field(
        default=DateOffset(0), description='Business date = the slot\'s local date + this: "-1d", "-1bd".'
    )
    interval: Literal["slots", "days"] = Field(
        default="slots",
        description="slots: from the previous slot to this one. days: whole local days up to the business date's end.",
    )
    lag: Duration = Field(
        default=timedelta(), description="Both ends of the interval so much earlier (interval = slots only)."
    )
    start: date | datetime | None = Field(
        default=None, description="No slot before it; a date means midnight in the schedule's zone."
    )
    catch_up: Literal["all", "merge", "latest", "none"] | None = Field(
        default=None,
        description="Which missed slots run; default: all where the query uses a slot variable, else latest.",
    )
    catch_up_window: SomeDuration = Field(
        default=timedelta(hours=72), description="Missed slots older than this are skipped."
    )
    late_after: SomeDuration = Field(
        default=timedelta(minutes=30), description="Due and not delivered for so long: late."
    )
    cutoff: Cutoff | None = Field(
        default=None, description='"07:00", or a duration after the slot: nothing starts after it.'
    )
    cutoff_timezone: Zone | None = Field(default=None, description="Zone of the cutoff; default: the schedule's.")
    past_cutoff: Literal["hold", "send", "skip"] = Field(
        default="hold", description="What happens to a run past its cutoff."
    )
    poll: SomeDuration = Field(
        default=timedelta(minutes=5), description="Pull jobs: how often to look for what is owed."
    )
    missing_after: SomeDuration | None = Field(
        default=None, description="Pull jobs: when late becomes missing; default: the next slot."
    )


class SourceQuery(Table):
    """Where rows come from."""

    database: Line = Field(min_length=1, description="A database of the configuration.")
    query: str | None = Field(default=None, min_length=1, description="One SELECT, with :name parameters.")
    query_file: Line | None = Field(default=None, min_length=1, description="A file with the query, instead of query.")
    parameters: dict[str, Parameter] = Field(default={}, description="Names and values of the query's own parameters.")


class Guard(Table):
    """How many rows are right; outside, the run is held."""

    min_rows: int | None = Field(default=None, ge=0, description="Fewer rows are held.")
    max_rows: int | None = Field(default=None, ge=0, description="More rows are held.")


Compression = Literal["none", "gzip", "zstd"]


class FileOptions(Table):
    """What is sent, and where."""

    format: str | dict[str, Any] = Field(
        description="A format's name, or a table of a format's keys, with base to change one."
    )
    endpoint: Line | None = Field(default=None, min_length=1, description="An endpoint of the configuration.")
    endpoints: tuple[Line, ...] = Field(default=(), description="Several endpoints, instead of endpoint.")
    path: str = Field(min_length=1, description="Template of the file's path below the endpoint's root.")
    compress: Compression = Field(default="none", description="Compression of the bytes; never changes the name.")
    on_exists: Literal["fail", "replace"] = Field(
        default="fail", description="What happens when a foreign file is there."
    )
    verify: Literal["size", "readback", "reply"] = Field(default="size", description="How a delivery is verified.")
    checksum_file: str | None = Field(default=None, min_length=1, description="Template of a sha256 sidecar's path.")
    done_file: str | None = Field(
        default=None, min_length=1, description="Template of an empty file's path, published last."
    )

    @property
    def endpoint_names(self) -> tuple[str, ...]:
        return (self.endpoint,) if self.endpoint is not None else self.endpoints


class Retry(Table):
    """When a failed delivery is tried again."""

    after: tuple[SomeDuration, ...] = Field(
        default=(timedelta(minutes=5), timedelta(minutes=15)), description="One delay for each retry."
    )
    repeat: SomeDuration | None = Field(default=None, description="Then again every so often until the cutoff.")
    order: Literal["any", "strict"] = Field(
        default="any", description="strict: a slot waits until earlier ones are settled."
    )


class Job(Table):
    """jobs/NAME.toml of a push job: query, write, send. `name` is the file's name, not a key."""

    not_keys = frozenset({"name"})

    name: str
    description: str = Field(default="", description="What the job is for.")
    direction: Literal["push"] = Field(default="push", description="push: send a query's rows.")
    enabled: bool = Field(default=True, description="A disabled job owes no slots.")
    schedule: Schedule | None = Field(default=None, description="When it is due; none: run by hand.")
    source: SourceQuery = Field(description="Where rows come from.")
    guard: Guard = Field(default=Guard(), description="How many rows are right.")
    file: FileOptions = Field(description="What is sent, and where.")
    retry: Retry = Field(default=Retry(), description="When a failed delivery is tried again.")

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What its runs begin with."""
        return self.source.parameters


class PullFileOptions(Table):
    """What is fetched, and what becomes of it."""

    format: str | dict[str, Any] | None = Field(
        default=None, description="A format's name or table; needed where rows are loaded."
    )
    endpoint: Line = Field(min_length=1, description="An endpoint of the configuration.")
    path: str = Field(min_length=1, description="A glob below the endpoint's root; date fields tie a file to its slot.")
    stable_for: Duration = Field(
        default=timedelta(seconds=30),
        description="Size and time must be unchanged so long; 0s where the partner gives a file its name when it is whole.",
    )
    done_file: str | None = Field(
        default=None, min_length=1, description="Template of the file that says that it is complete."
    )
    checksum_file: str | None = Field(default=None, min_length=1, description="Template of a sidecar that must agree.")
    expect: Literal["any", "once", "some"] = Field(default="any", description="How many files a slot waits for.")
    same_content: Literal["take", "skip", "hold"] = Field(
        default="take", description="The same bytes under another name."
    )
    changed: Literal["take", "skip", "hold"] = Field(default="take", description="A known name with other bytes.")
    then: Literal["leave", "delete", "move"] = Field(default="leave", description="What becomes of the remote file.")
    move_to: str | None = Field(
        default=None, min_length=1, description="Where a moved file goes: a template with {name}."
    )
    into: str = Field(
        default="var/in/{job}/{name}", min_length=1, description="Where fetched files go on this machine."
    )
    max_bytes: Size = Field(default=4 * 1024**3, description="A larger file is refused.")
    compress: Compression = Field(default="none", description="How the bytes are compressed.")

    @property
    def endpoint_names(self) -> tuple[str, ...]:
        return (self.endpoint,)


class LoadOptions(Table):
    """Where fetched rows go."""

    database: Line = Field(min_length=1, description="A database of the configuration.")
    table: Line = Field(min_length=1, description="The table that the rows go into.")
    mode: Literal["append", "replace", "upsert"] = Field(default="append", description="How they go into it.")
    key: tuple[str, ...] = Field(default=(), description="The columns that identify a row, for upsert.")
    on_bad_record: Literal["fail", "quarantine"] = Field(
        default="fail", description="What happens to a record that cannot be read."
    )
    max_bad_records: int | None = Field(default=None, ge=0, description="More bad records than this fail the load.")


class PullJob(Table):
    """jobs/NAME.toml of a pull job: fetch, and load where `[load]` says so."""

    not_keys = frozenset({"name"})

    name: str
    description: str = Field(default="", description="What the job is for.")
    direction: Literal["pull"] = Field(description="pull: fetch a partner's files.")
    enabled: bool = Field(default=True, description="A disabled job owes no slots.")
    schedule: Schedule | None = Field(default=None, description="What is owed, and how often to look for it.")
    guard: Guard = Field(default=Guard(), description="How many rows are right.")
    file: PullFileOptions = Field(description="What is fetched, and what becomes of it.")
    load: LoadOptions | None = Field(default=None, description="Where its rows go.")
    retry: Retry = Field(default=Retry(), description="When a failed fetch is tried again.")

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What its runs begin with."""
        return {}


AnyJob = Job | PullJob
