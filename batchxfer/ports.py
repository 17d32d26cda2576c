"""The contracts between the work and the outside world. An adapter is one file that keeps one of these.

What the work decides (retries, names, what to do after a crash) never stands in an adapter; an adapter supplies small
primitives, translates its driver's errors into `errors`, and says what it can do.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from batchxfer.errors import ErrorInfo
from batchxfer.facts import LedgerFacts, Restored
from batchxfer.model import (
    Artifact,
    Attempt,
    Claim,
    Column,
    DeliveryStatus,
    Due,
    Event,
    Evidence,
    FetchedFile,
    FetchStatus,
    FileRole,
    FileStatus,
    Mark,
    Notice,
    NoticeKind,
    OpenRun,
    Outcome,
    Outlook,
    ParameterValue,
    Pause,
    Plan,
    Run,
    RunStatus,
    SeenFile,
    Snapshot,
    TargetColumn,
)

if TYPE_CHECKING:
    import pyarrow as pa


class Clock(Protocol):
    """Where time comes from; handed in, so that tests own it."""

    def now(self) -> datetime:
        """The instant, in UTC."""

    def sleep(self, seconds: float) -> None:
        """Wait so long (or less, where the process is asked to end)."""


# --- databases -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Query:
    """A query with `:name` parameters, and a value for each name that it uses; other values are ignored.

    With `any_number` an integer means the same to whoever reads it in a column of integers and in one of decimals. A source
    that would have to look at all rows to tell them apart may then call a column of integers one of decimals.
    """

    text: str
    parameters: Mapping[str, ParameterValue]
    any_number: bool = False


class Rows(Protocol):
    """The rows of one query, as a stream of Arrow record batches.

    `columns` is known before the first batch, also when no row comes. Each batch has the columns in that order, and each
    logical type is carried by one Arrow type whatever the database was:

    integer: int16, int32, int64, uint64, or string where a value may not fit (digits) · decimal: string, the digits as the
    database has them (scale kept, no exponent) · float: float32, float64 · boolean: bool · date: date32 · time: time64[us] ·
    timestamp: timestamp[us] · timestamptz: timestamp[us, UTC] · text: string · uuid: string, canonical lower case ·
    bytes: binary · interval: string, an ISO 8601 duration · json: string, compact, its tokens verbatim.

    An infinite or out-of-range date or time raises UnwritableValue with row and column. Row order is the query's.
    Memory does not grow with the number of rows. Iterated once; a wrong query may not be known before that.
    """

    @property
    def columns(self) -> tuple[Column, ...]: ...

    def __iter__(self) -> Iterator[pa.RecordBatch]: ...


@dataclass(frozen=True, kw_only=True)
class Merge:
    """Neighbouring columns as one text: the values of `fields`, `separator` between them; NULL is written as `null`.

    `special` are the characters that a text must not have to be put together with others."""

    fields: tuple[int, ...]
    separator: str
    null: str
    special: str = ""


@dataclass(frozen=True, kw_only=True)
class Apart:
    """A batch whose columns could not be put together: it has all of the source's, those that nobody wanted as NULLs."""

    batch: pa.RecordBatch


@runtime_checkable
class MergingRows(Rows, Protocol):
    """Rows whose database can put columns together, which is faster than taking them one by one."""

    @property
    def mergeable(self) -> Collection[int]:
        """The columns that may be merged: the database writes each value as `values.as_text` does for a format that says
        nothing of its own."""

    def merged(self, wanted: Sequence[int | Merge]) -> Iterator[pa.RecordBatch]:
        """Instead of iterating: batches with a column for each of `wanted`; a Merge's is a large_string without NULL, and its
        separator has no letters. Everything else that ports.Rows says holds."""


@runtime_checkable
class TextMergingRows(MergingRows, Protocol):
    """Rows whose database can also put texts together, as long as they are plain: a plain text is not empty, begins and ends
    without a space, is not what NULL is written as, and has no control character, comma, quote, backslash or bracket."""

    def mergeable_texts(self, special: str) -> Collection[int]:
        """The columns of text that may be merged too. They look plain so far, and without any of the `special` characters."""

    def merged(self, wanted: Sequence[int | Merge]) -> Iterator[pa.RecordBatch | Apart]:
        """As MergingRows says; a batch with a text that is not plain after all, or has a special character, comes apart."""


class Source(Protocol):
    """A database that answers queries; its sessions are read-only and end after the statement timeout.

    Raises CredentialError, QueryError (the query is wrong: permanent), DatabaseUnavailable (gone, restarting, timed out:
    transient), UnwritableValue. A failure in the middle raises from the iterator: a failed query never looks empty.
    """

    def read(self, query: Query) -> AbstractContextManager[Rows]:
        """Run `query`; leaving the context cancels what still runs and closes the session."""


# --- codecs --------------------------------------------------------------------------------------


class Codec(Protocol):
    """How columns become records, for one format and the columns of one file. Made anew for each file.

    A codec module holds `Options` (the format's keys, a subclass of definitions.FormatOptions) and `Codec`, called with
    `(options, columns)`; it raises UnwritableValue for column names that it cannot carry. What all formats share (choice and
    conversion of columns, control records, charset) is done around it, by layout.Encoder.
    """

    def header(self) -> str | None:
        """The column header without its line ending, or None."""

    def encode(self, batch: pa.RecordBatch, first_row: int) -> pa.Array:
        """One string a row, each with its line ending.

        `batch` is as ports.Rows says; `first_row` is the 1-based number of its first row, for messages. The result depends on
        the values alone, not on how rows are cut into batches. Raises UnwritableValue (row, column, value).
        """


@runtime_checkable
class MergingCodec(Codec, Protocol):
    """A codec that can take some neighbouring columns as one text."""

    @property
    def special(self) -> str | None:
        """The characters that a plain text (see TextMergingRows) must not have to be written as it is; None where a text may
        be written in another way for another reason."""

    def merged(self, able: Sequence[bool]) -> tuple[Sequence[int | Merge], Codec]:
        """What to ask for instead of the file's columns (`fields` are their indices), of which those may be merged that are
        `able`; and the codec that encodes it. The records are the same."""


@dataclass(frozen=True, kw_only=True)
class BadRecord:
    """A record that could not be read. `line` is where it begins, 1-based; `column` a name, or None for the whole record;
    `text` is the record, cut where it is long."""

    line: int
    column: str | None
    reason: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Verbatim:
    """Records as they are in a file of CSV: all fields in order, in UTF-8, `delimiter` between them and LF after each.

    Every reader of CSV takes them apart in the same way: no value has a quote (`"`), a backslash or a carriage return in it,
    no record is blank unless it has but one field, and nothing at all stands for NULL.
    """

    text: memoryview
    num_rows: int
    delimiter: str


@dataclass(frozen=True, kw_only=True)
class Fields:
    """Records taken apart: `batch` has a string column (nullable) for each of the decoder's `names`, in their order, and
    `lines` (int64) the 1-based line at which each record begins. What a batch is cut after depends on the bytes alone.
    `verbatim` are the same records as they are in the file, where it may have them so."""

    batch: pa.RecordBatch
    lines: pa.Array
    verbatim: Verbatim | None = None


class Decoder(Protocol):
    """How records become fields again, for one format and one file: the counterpart of Codec.

    A codec module also holds `Decoder`, called with `(options, columns)`: the format's options, and the columns that the file
    has by agreement, in order (names as they are in the file), or None where the file's own header says. It takes text in
    UTF-8 without a byte-order mark and without control records; lines end in LF or CRLF. Types, charset, compression, control
    records, and what is done about bad records are decoding's.

    A field is null where the format's way of writing NULL stands; a JSON value comes as the text that a delimited file would
    have (a string unescaped, other scalars and nested values by their tokens, compact).
    """

    patient: bool
    """Set before decoding where a fast reader gave up (ReadPatiently): a record was longer than its
    blocks, or would have been taken apart in another way."""

    def decode(self, chunks: Iterable[bytes]) -> Iterator[Fields | BadRecord]:
        """The records in `chunks`, in their order, each bad one where it stands. Memory does not grow with their number.

        Raises UnreadableFile where no record can be told from another (an open quote at the end, a header that is not the
        format's).
        """

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of the file; known once `decode` gave its first item, or ended."""


# --- targets -------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class LoadKey:
    """What a load is known by in the target database: a version of a file, and the revision of the run that loads it."""

    project: str
    file: str
    revision: int


@dataclass(frozen=True, kw_only=True)
class LoadCounts:
    """Records that went into the table, and bad ones that were left out."""

    rows: int
    bad_rows: int = 0


class Loading(Protocol):
    """One open transaction of a target. Leaving it without `commit` undoes everything.

    Raises DatabaseUnavailable (transient), and LoadError (the rows, the table or a right: permanent; the message has the
    database's own words, without values of secrets). After an error only leaving is allowed.
    """

    def columns(self, table: str) -> tuple[TargetColumn, ...]:
        """The table's columns in their order, without generated ones. `table` is a name, or `schema.name`, as the database
        would find it; LoadError where there is none, naming near ones."""

    def recorded(self, keys: Sequence[LoadKey]) -> dict[LoadKey, LoadCounts]:
        """Those of `keys` that were loaded and committed, ever."""

    def clear(self, table: str) -> None:
        """Delete all rows (DELETE, not TRUNCATE: others see the old rows until the commit)."""

    def append(
        self,
        table: str,
        columns: Sequence[TargetColumn],
        batches: Iterable[pa.RecordBatch],
        *,
        key: Sequence[str] = (),
    ) -> int:
        """Put the rows of `batches` into `table`, and return their number.

        `columns` are those that the batches have, in that order, each carried as ports.Rows says by its type; the table's
        other columns take their defaults. With `key` a row whose key is there already takes the place of the old one; of two
        rows of one key the later one counts. An error that `batches` raises leaves as it is.
        """

    def record(self, key: LoadKey, counts: LoadCounts) -> None:
        """Remember the load in the same transaction; LoadError where it is there already."""

    def commit(self) -> None:
        """Make all of it durable. When it raises, whether it happened is unknown: ask `recorded` in a new transaction."""


@runtime_checkable
class VerbatimLoading(Loading, Protocol):
    """A Loading that takes records also as they are in a file, which spares writing them anew."""

    def takes(self, delimiter: str, columns: Sequence[TargetColumn]) -> bool:
        """Whether `append` for these columns takes Verbatim too, with that delimiter, among batches. The first item is one.

        The values in it are as the format and the table's column have them, and written plainly: digits with a minus or
        none, a point where decimals follow, no exponent; `true` and `false`; dates and times as ISO 8601 has them, without
        a zone; UUIDs in small letters; texts as they are.
        """


Takes = Callable[[str, Sequence[TargetColumn]], bool]
"""VerbatimLoading.takes."""


class Target(Protocol):
    """A database whose tables are loaded. A database module has `Target` beside `Source`, made alike."""

    def begin(self) -> AbstractContextManager[Loading]:
        """Open a session and a transaction; makes the small table `batchxfer_loads` where it is missing, before it.

        Raises CredentialError, DatabaseUnavailable, and LoadError where that table may not be made (with the statement that
        an administrator can run)."""


@runtime_checkable
class EarlyLoading(Loading, Protocol):
    """A Loading that can be left by another thread."""

    def abandon(self) -> None:
        """From any thread: each call that waits for the server fails, and nothing is committed that was not."""


@runtime_checkable
class EarlyTarget(Target, Protocol):
    """A Target whose transaction, while it only appends, keeps nobody waiting: it may be open for some seconds."""

    def begin_early(self) -> AbstractContextManager[EarlyLoading]:
        """As `begin`. Where a row that goes into a table may do more than that (a trigger), `columns` raises LoadError."""


# --- endpoints -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class FileStat:
    """What is at a name. `kind` is file, folder, link or other; `size` in bytes."""

    size: int
    kind: str = "file"
    modified: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One name in a folder. `name` is exactly what the server said: it may be hostile."""

    name: str
    stat: FileStat


Progress = Callable[[int], None]
"""Called with the number of bytes so far."""


class Readable(Protocol):
    """Bytes to be sent: an open file, or what stands in front of one."""

    def read(self, size: int = -1, /) -> bytes: ...


class Looking(Protocol):
    """A look that was begun, by `Session.begin_look`."""

    def look(self) -> FileStat | None:
        """What is at the path, as Session.stat has it, once the look was begun. May be called again; it is the same then."""

    def close(self) -> None:
        """Nobody wants to know any more; never raises, may be called twice."""


class Reading(Protocol):
    """A file that was begun to be read, by `Session.begin_reading`. `look`, then `pieces`, then `look_again`; each raises what
    Session.stat and Session.read raise."""

    def look(self) -> FileStat | None:
        """What was at the path before a byte was read, or None when nothing was. May be called again; it is the same then."""

    def pieces(self, offset: int = 0) -> Iterator[bytes]:
        """The bytes from `offset` to the end of the file, as Session.read has them. May be called again."""

    def look_again(self) -> FileStat | None:
        """What is at the path now, after the last byte that was read."""

    def close(self) -> None:
        """Give the file back; never raises, may be called twice."""


class Session(Protocol):
    """A connection to an endpoint, used by one thread at a time, for one attempt after another.

    Paths are relative to the endpoint's root, with `/`. Every call raises TransientError when the link or the server fails,
    PermissionRefused, FolderMissing or NotSupported when the server says so. After a NetworkError or DeadlineError the session
    is over; after another error `alive` says whether it goes on. Whether a call that raised had its effect is unknown: look,
    or send anew.
    """

    @property
    def server_key(self) -> str | None:
        """The fingerprint of the server that was talked to (`SHA256:…`), None for a local folder."""

    @property
    def alive(self) -> bool: ...

    @property
    def at_once(self) -> int:
        """For how many files something may be asked at once; 1 where nobody is waited for."""

    def begin_attempt(self) -> None:
        """Start the deadline and the stall timeout anew; after either passes, the pending call raises."""

    def end_attempt(self) -> None:
        """Stop the watch: an idle session is not stalled."""

    def stat(self, path: str) -> FileStat | None:
        """What is at `path` (a link is not followed), or None when nothing is."""

    def begin_look(self, path: str) -> Looking:
        """Begin to look at `path`, and wait for nothing: it is answered with the next call, or when it is asked."""

    def stat_all(self, paths: Sequence[str]) -> list[FileStat | None]:
        """What is at each path, as `stat` has it; a server is asked for all at once. Raises where one look does."""

    def upload(
        self,
        path: str,
        content: Readable,
        *,
        exclusive: bool,
        created: Callable[[], None] | None = None,
        progress: Progress | None = None,
    ) -> int:
        """Write `content` from its position to its end to `path`, and return the number of bytes.

        Returns only after the reply to every write and to the close said yes. `exclusive` refuses a name that exists
        (ForeignFile); otherwise the file is truncated. `created` is called once the file is open, before the first byte.
        """

    def read(self, path: str, *, offset: int = 0) -> Iterator[bytes]:
        """The bytes that the server gives back for `path`, until its end."""

    def begin_reading(self, path: str, *, size: int) -> Reading:
        """Begin to read the file at `path`, which should have `size` bytes, and wait for nothing.

        Several may be begun, so that each is there when its turn comes, and other calls may come between; each must be closed.
        """

    def rename(self, old: str, new: str) -> None:
        """Give `old` the name `new`, which must not exist: raises ForeignFile, changing nothing, where the server refuses
        an existing name. Raises FolderMissing when `old` is not there."""

    def rename_all(self, pairs: Sequence[tuple[str, str]]) -> None:
        """`rename` each old name to its new one; a server is asked for all at once where it is known to refuse what exists.
        Where one is refused, each of the others may have its new name or not."""

    def replace(self, old: str, new: str) -> None:
        """Give `old` the name `new` atomically, over what is there. Raises NotSupported where the server has no such call."""

    def remove(self, path: str) -> None:
        """Remove the file at `path`; nothing there is no error."""

    def remove_all(self, paths: Sequence[str]) -> None:
        """Remove the file at each path; a server is asked for all at once. Where one is refused, each of the others may be gone
        or not: `remove` them to know."""

    def make_folder(self, path: str) -> None:
        """Make one folder; one that is there already is no error."""

    def list(self, path: str) -> Iterator[Entry]:
        """The entries of the folder `path`, in the server's order, without `.` and `..`."""

    def describe(self) -> Mapping[str, object]:
        """What is known of the server, for `probe`: version, algorithms, extensions, limits, authentication."""

    def close(self) -> None:
        """End the session; never raises, may be called twice and from another thread."""


class Endpoint(Protocol):
    """Where files go to. Made from one `[endpoints.NAME]`; opens nothing until `connect`."""

    @property
    def place(self) -> str:
        """What is one and the same server and account (`sftp://user@host:port`), or folder, under whatever name."""

    def connect(self) -> Session:
        """Verify the server, log in, and begin the first attempt.

        Raises HostKeyError before any credential is sent; LoginRefused, CredentialError, AlgorithmError, NetworkError,
        DeadlineError.
        """


# --- ledger --------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class PlannedDelivery:
    """A delivery that a run is to make: its endpoint, and the paths of its files in publishing order."""

    endpoint: str
    files: Sequence[tuple[FileRole, str]]


class Ledger(Protocol):
    """The record of what is due, was tried and was delivered; the only memory that survives.

    Every method is one transaction, durable when it returns; after a power cut, or the end of the database's server,
    `record_plan` from a mark on, `claim`, `renew`, `adopt`, `begin_attempt` and `let_go` may be as if they had not been
    called, unless a later call was durable. Methods with a `claim` raise OwnershipLost, and change nothing, when the run
    has been claimed by another since, or the claim or its attempt was forgotten so. State changes that model.DELIVERY_MOVES
    does not allow raise ValueError. Each change of state is also written as an event, in the same transaction. LedgerError
    when the ledger cannot be used; DatabaseUnavailable when it is out of reach; StorageError when its disk is full. After
    any of them nothing was written, except that a DatabaseUnavailable may hide a write whose reply was lost.
    """

    @property
    def project_id(self) -> str: ...

    @property
    def owner(self) -> str:
        """A name for this process that no other has, to claim with."""

    def now(self) -> datetime:
        """The ledger's clock: the database's where nodes share it, else the Clock handed in."""

    def close(self) -> None: ...

    # what is due

    def ensure_run(self, job: str, due: Due, parameters: Mapping[str, ParameterValue]) -> Run:
        """The newest revision of the slot's run; a new `pending` one (revision 1) where there is none.

        An existing run is returned as it is: its interval, business date and parameters stay.
        """

    def add_revision(self, run: str) -> Run:
        """A new `pending` run for the slot of `run`, one revision above the newest."""

    def set_parameters(self, claim: Claim, parameters: Mapping[str, ParameterValue]) -> Run: ...

    # reading

    def find_run(self, prefix: str) -> Run:
        """The run whose id begins with `prefix` (any case, 4+ characters). Raises UsageError when none or several do."""

    def find_slot(self, job: str, slot: datetime) -> Run | None:
        """The newest revision of the run for that slot."""

    def runs(
        self,
        *,
        job: str | None = None,
        status: RunStatus | None = None,
        since: datetime | None = None,
        limit: int | None = 50,
    ) -> list[Run]:
        """Runs, newest slot first (then newest revision); `since` compares with the slot."""

    def events(self, run: str) -> list[Event]:
        """What happened to a run, oldest first."""

    # claiming

    def claim(self, run: str, owner: str) -> Claim:
        """Take the run for `owner` for the lease; its status becomes `running`. Raises BusyError where a claim stands, be it
        another owner's or another thread's of this one.

        A claim whose lease ran out, or whose owner's process is known to be gone, is taken over: its open attempts end as
        `abandoned`, in the same transaction, and use up a retry of their delivery; an open build uses up one of each delivery
        that is still to be made. Deliveries stay `sending` or `publishing`: the intent says where to look.

        Until then, a run whose claim no longer stands reads as what its deliveries say, not as `running`.
        """

    def renew(self, claim: Claim) -> None:
        """Lengthen the lease."""

    def let_go(self, claim: Claim) -> Run:
        """Give the run back: the claim ends, the status follows from the deliveries (`sending` and `publishing` stay, and make
        it `pending`). Open attempts of the claim end as `abandoned` without using up a retry."""

    # an attempt's progress

    def adopt(self, claim: Claim, snapshot: Snapshot, deliveries: Sequence[PlannedDelivery]) -> Run:
        """Keep what the run does, and make its deliveries. A delivery of which no file was ever begun is replaced (its
        retries and state stay), and goes where it is no longer wanted; one that was begun, delivered or excluded keeps its
        endpoint and paths."""

    def begin_attempt(self, claim: Claim, endpoint: str | None) -> Attempt:
        """A new attempt: the run's builds are numbered from 1, and so are its tries at each endpoint. ValueError while one is
        open there."""

    def end_attempt(self, claim: Claim, attempt: str, outcome: Outcome, error: ErrorInfo | None = None) -> None:
        """End an attempt of this claim. Ending it again with the same outcome changes nothing; with another is a ValueError."""

    def record_artifact(self, claim: Claim, attempt: str, artifact: Artifact) -> Run:
        """The artifact of the run from now on, and the build attempt's end with outcome `built`."""

    def drop_artifact(self, claim: Claim) -> Run:
        """Forget the artifact, so that the run builds anew (a rerun in place; an artifact that is gone). The guard looks at
        the next one again."""

    def record_file(
        self,
        claim: Claim,
        delivery: str,
        role: FileRole,
        status: FileStatus,
        *,
        temp_path: str | None = None,
        created: bool | None = None,
        size: int | None = None,
        sha256: str | None = None,
    ) -> None:
        """How far a file has come; the delivery becomes `sending` or `publishing` with it. Values left None stay.

        `pending` takes back what was sent while the file was built: the delivery is as if it had not begun.
        ValueError for a move that model.FILE_MOVES does not have, and for `publishing` before the artifact is recorded.
        """

    def settle(
        self,
        claim: Claim,
        delivery: str,
        status: DeliveryStatus,
        *,
        attempt: str | None = None,
        outcome: Outcome | None = None,
        reason: str | None = None,
        retry_at: datetime | None = None,
        used_retry: bool = False,
        evidence: Evidence | None = None,
        error: ErrorInfo | None = None,
    ) -> Run:
        """A delivery's new state, with the end of the attempt that led to it. `delivered` needs evidence and every file
        `published` (or evidence that says who looked); all others but `pending` need a reason, and `retrying` its `retry_at`,
        which `pending` may have (not before then). `pending` starts a fresh series: retries 0. Without `outcome` the
        attempt's follows from the status."""

    # fetched files

    def known_files(self, job: str, endpoint: str, paths: Collection[str]) -> dict[str, FetchedFile]:
        """What is known of each path: its newest version that was not given back, in any run of the job."""

    def previous_version(self, job: str, endpoint: str, path: str, but: str) -> FetchedFile | None:
        """The newest accepted file (fetched, loaded or done) of that path, other than the version `but`."""

    def same_content(self, job: str, sha256: str, but: str) -> FetchedFile | None:
        """An accepted file of the job (fetched, loaded or done) with these bytes, other than the version `but`."""

    def see(self, claim: Claim, endpoint: str, found: Sequence[SeenFile]) -> Run:
        """Record files that a look found: `seen`, or `refused` with the reason. They are the run's from now on."""

    def record_fetch(self, claim: Claim, row: str, status: FetchStatus, **facts: object) -> None:
        """How far a file has come. `facts` are attributes of FetchedFile (`reason`, `size`, `modified`, `bytes`, `sha256`,
        `local_path`, `moved_to`, `gone`, `rows`, `bad_rows`, `bad_path`); those not given stay. ValueError for a move that
        model.FETCH_MOVES does not have."""

    def record_fetches(self, claim: Claim, status: FetchStatus, files: Mapping[str, Mapping[str, object]]) -> None:
        """`record_fetch` for several files at once, all or none: the facts by the files' ids."""

    def load_again(self, claim: Claim, run: str) -> Run:
        """The files of `run`, an earlier revision, as this run's own: `fetched`, and to be loaded again, or `seen`, where they
        are not here yet. `done_at` stays: what was done with a remote file is not done again."""

    def miss(self, run: str, reason: str) -> bool:
        """The run's file has not come in time: it is `missing`, with a notice, until a delivery is. False, and nothing
        written, where the run is being worked on, or does not wait."""

    def release_guard(self, claim: Claim) -> Run:
        """A person let the artifact pass the guard."""

    def exclude(self, claim: Claim, reason: str) -> Run:
        """Never send it: all deliveries that are not delivered become `excluded`, and so does a run without deliveries."""

    def add_event(self, run: str | None, kind: str, detail: Mapping[str, object]) -> None: ...

    # planning

    def marks(self) -> dict[str, Mark]:
        """How far each job was planned."""

    def record_plan(self, before: Mark | None, plan: Plan, parameters: Mapping[str, ParameterValue]) -> bool:
        """Write the plan's slots, `pending` runs for those due (revision 1, `parameters`), `skipped` ones with their reason
        for those skipped ("merged into RUN" for merged ones), one event for the uncounted, and the new mark.

        False, and nothing written, when the job's mark is not `before` any more: another node has planned. A slot that is in
        the ledger already, run by hand, stays as it is; were others to be merged into it, the one before it covers them.
        """

    def move_marks(self, moved: Iterable[tuple[Mark, Mark]]) -> None:
        """Each job whose mark is still the first of its pair has the second from now on: no slot came in between. The marks of
        the others stay."""

    def open_runs(self, job: str | None = None) -> list[OpenRun]:
        """Every newest revision that is not delivered, excluded or skipped, of one job or of all; oldest slot first."""

    def outlook(self, job: str | None = None) -> Outlook:
        """`open_runs`, `pauses` and `now`, as they stand together."""

    def stop(self, claim: Claim, status: RunStatus, reason: str) -> Run:
        """A run without deliveries cannot go on: it is held or failed, until `adopt` gives it some."""

    def skip(self, claim: Claim, reason: str) -> Run:
        """Too late for it: all deliveries that are not delivered become `excluded` with the reason, the run `skipped`, also
        where a part of it was delivered. One that becomes `pending` again begins the run anew."""

    # pausing

    def serve(self) -> None:
        """Take the right to be the daemon until `close`. Raises BusyError where nodes cannot share the ledger (SQLite) and
        another process has it."""

    def pauses(self) -> dict[str, Pause]: ...

    def pause(self, subject: str, why: str) -> Pause:
        """A person's pause; one that is there already keeps its instant and takes the new reason."""

    def resume(self, subject: str) -> bool:
        """End any pause of `subject`; whether there was one."""

    def refuse_login(self, endpoint: str, why: str, until: datetime) -> Pause:
        """Pause an endpoint that refused a login until then. A person's pause stays a person's."""

    def try_login(self, endpoint: str, until: datetime) -> Pause | None:
        """May the caller log in now? None when it may: nothing is paused, or the time of a refused login's pause has come
        (which is then set to `until`, so that nobody else tries); else the pause to wait for, a person's included."""

    def accept_login(self, endpoint: str) -> None:
        """The login went well: its pause ends. A person's pause stays."""

    # notices

    def note(
        self, kind: NoticeKind, subject: str, *, job: str | None, run: str | None, detail: Mapping[str, object]
    ) -> bool:
        """Record a notice (late, missing), once for each (kind, subject) that is not over; whether it is new. A run that has
        ended is told of no more.

        `failed` and `held` notices are written by `settle` itself (subject: the delivery's id; of endpoints that refuse
        logins by `refuse_login`, subject: `@` and the endpoint), in the transaction of the state. When that state ends, the
        notice is over, and one `recovered` notice is written in the same transaction where the end was a delivery.
        """

    def end_note(self, kind: NoticeKind, subject: str, *, notice: str | None = None) -> None:
        """The state that `note` told of is over; with `notice`, only where that one (by its id) is the one that is open."""

    def notices(self) -> list[Notice]:
        """Notices that are not over, oldest first. A `recovered` one is over when `end_note` says that it was told."""

    def mark_told(self, notice: str, command: str, at: datetime) -> None:
        """`command` (its key) was told of the notice."""

    # keeping house

    def prunable(self, before: datetime) -> list[tuple[Run, Artifact]]:
        """Artifacts, not pruned yet, of runs all of whose deliveries were delivered or excluded before `before`."""

    def mark_pruned(self, artifact: str) -> None: ...

    def artifact_paths(self) -> set[Path]:
        """Every artifact file that is not pruned, so that what else is in the spool can be told apart."""

    # after a fault

    def restored(self) -> Restored | None:
        """Whether the ledger was put back from a backup, as what the spool remembers tells; None where it is whole. Once
        found out it lasts until `end_restored`, with a `held` notice (subject: `ledger`). Also of a ledger that is swapped
        under a process."""

    def declare_restored(self, why: str) -> Restored:
        """A person says so: the spool came back with the ledger, and remembers nothing else."""

    def end_restored(self) -> None:
        """Every run that may have been sent was looked at."""

    def inspect(self) -> LedgerFacts:
        """What the ledger says of itself, with a check of the whole file where it is one."""


PROJECT_ID = "project-id"
"""The file in the spool that carries the id of the project whose ledger belongs to it."""
LEASE = timedelta(seconds=30)
RENEW_EVERY = timedelta(seconds=10)
