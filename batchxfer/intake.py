"""What becomes of a pull's files once they are here: loaded into the table, then removed or moved at the partner."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from batchxfer import afterwards, load, naming, paths
from batchxfer.activity import Activity, Listener
from batchxfer.config import Project
from batchxfer.connections import Connections
from batchxfer.definitions import FormatOptions
from batchxfer.early_load import EarlyLoad
from batchxfer.errors import AttemptError, HeldError
from batchxfer.inbox import whole
from batchxfer.incoming import GivenUp
from batchxfer.model import Column, FetchedFile, FetchStatus, Run, TargetColumn
from batchxfer.ports import BadRecord, Decoder, Ledger, LoadKey, Session, Takes, Target, Verbatim
from batchxfer.pull_attempt import Attempt, Pull
from batchxfer.settling import Settling

if TYPE_CHECKING:
    import pyarrow as pa

    from batchxfer.decoding import Reading

BAD_RECORDS = ".bad.jsonl"
_RECORDED_AT_ONCE = 100


class PullAdapters(Protocol):
    """What wiring finds by name."""

    def target(self, name: str) -> Target: ...

    def decoder(self, options: FormatOptions, columns: tuple[Column, ...] | None) -> Decoder: ...

    def format(self, text: str) -> FormatOptions:
        """A format from its JSON text, as a snapshot keeps it."""

    def import_load(self, database: str, options: FormatOptions) -> None:
        """Import what `target` and `decoder` will need, as far as that is known; nothing is connected, and no secret is read: a
        pipe gives it once."""


class Intake:
    """Loads what was fetched for the pulls of one project, and does with the remote files what was agreed."""

    def __init__(
        self,
        project: Project,
        ledger: Ledger,
        adapters: PullAdapters,
        connections: Connections,
        settling: Settling,
        listener: Listener,
    ) -> None:
        self._project = project
        self._ledger = ledger
        self._adapters = adapters
        self._connections = connections
        self._settling = settling
        self._listener = listener

    # loading

    @contextmanager
    def made_ready(self, this: Pull) -> Iterator[None]:
        """Import what loading needs meanwhile: whoever fetches waits for the network, the disk and sha256."""
        options, layout = this.definition.load, this.definition.format
        if options is None or layout is None:
            yield
            return

        def import_all() -> None:
            # What is wrong is met again where it is needed, and told there.
            with suppress(Exception):
                self._adapters.import_load(options.database, layout)

        importing = threading.Thread(target=import_all, name="made-ready", daemon=True)
        # Where this machine starts no more threads just now, it is imported later.
        with suppress(RuntimeError):
            importing.start()
        try:
            yield
        finally:
            if importing.ident is not None:
                importing.join()

    def early(self, this: Pull) -> EarlyLoad:
        """What may be loaded while it is fetched. A table is not emptied so early: others would have to wait."""
        options = this.definition.load
        may_be = options is not None and options.mode != "replace"
        return EarlyLoad(partial(self._load_early, this) if may_be else None)

    def _load_early(self, this: Pull, early: EarlyLoad, run: Run, file: FetchedFile) -> list[load.Loaded]:
        options = this.definition.load
        assert options is not None  # noqa: S101 - asked before

        def progress(rows: int) -> None:
            early.rows = rows
            if early.is_taken:
                self._tell(run, rows)

        target = early.abandonable(self._adapters.target(options.database))
        piece = self._piece(this, run, file, Path(BAD_RECORDS), early.pieces)
        sound = replace(piece, open=partial(_sound, piece.open, early, options.on_bad_record == "quarantine"))
        return self._load(this, run, target, [sound], progress)

    def load_all(self, this: Pull, run: Run, attempt: Attempt, early: EarlyLoad) -> tuple[Run, AttemptError | None]:
        """Load what was fetched, in its order; the first that fails stops those after it. `early` may have begun."""
        files = [file for file in run.files if file.status is FetchStatus.FETCHED]
        options = this.definition.load
        if not files or options is None:
            return run, None
        attempt.begun()
        groups = [files] if is_one_load(this) else [[file] for file in files]
        for group in groups:
            try:
                self._load_group(this, run, group, early)
            except AttemptError as error:
                for file in group:
                    self._ledger.record_fetch(this.claim, file.id, FetchStatus.FETCHED, reason=error.message)
                return self._ledger.find_run(run.id), error
        return self._ledger.find_run(run.id), None

    def _load_group(self, this: Pull, run: Run, files: Sequence[FetchedFile], early: EarlyLoad) -> None:
        options = this.definition.load
        assert options is not None  # noqa: S101 - asked before
        pieces = [self._local_piece(this, run, file) for file in files]
        loaded = early.finish(files, partial(self._tell, run))
        if loaded is None:
            target = early.target or self._adapters.target(options.database)
            loaded = self._load(this, run, target, pieces, partial(self._tell, run))
        for file, piece, one in zip(files, pieces, loaded, strict=True):
            bad_path = piece.bad_path if one.counts.bad_rows else None
            facts = {"rows": one.counts.rows, "bad_rows": one.counts.bad_rows, "bad_path": bad_path}
            self._ledger.record_fetch(this.claim, file.id, FetchStatus.LOADED, reason=None, **facts)

    def _load(
        self, this: Pull, run: Run, target: Target, pieces: Sequence[load.Piece], progress: load.Progress
    ) -> list[load.Loaded]:
        options = this.definition.load
        assert options is not None  # noqa: S101 - asked before
        return load.load(
            target,
            pieces,
            options,
            None if run.guard_released else this.job.guard,
            hint=f"look at it with: batchxfer show {run.id}; load it with: batchxfer release {run.id}",
            progress=progress,
        )

    def _tell(self, run: Run, rows: int) -> None:
        self._listener(Activity(stage="loading", run=run, bytes=0, rows=rows, total=None))

    def _local_piece(self, this: Pull, run: Run, file: FetchedFile) -> load.Piece:
        local = file.local_path
        if local is None:
            raise HeldError(
                f"the fetched file of {file.path} is not known", hint="exclude the run, and fetch it by hand"
            )
        ending = BAD_RECORDS if run.revision == 1 else f".r{run.revision}{BAD_RECORDS}"
        bad_path = local.with_name(local.name + ending)
        return self._piece(this, run, file, bad_path, lambda: whole(local, file.sha256))

    def _piece(
        self, this: Pull, run: Run, file: FetchedFile, bad_path: Path, read: Callable[[], Iterator[bytes]]
    ) -> load.Piece:
        def opened(table: Sequence[TargetColumn], patient: bool, takes: Takes | None) -> Reading:
            # Arrow is imported where rows are.
            from batchxfer.decoding import Reading

            options, layout = this.definition.load, this.definition.format
            assert options is not None  # noqa: S101 - asked before
            assert layout is not None  # noqa: S101 - a load without a format is refused
            database = self._project.config.databases[options.database]
            return Reading(
                _Anew(read),
                layout,
                self._adapters.decoder,
                table,
                compress=this.definition.file.compress,
                facts=this.facts,
                naive_zone=database.timezone,
                patient=patient,
                takes=takes,
            )

        return load.Piece(
            key=LoadKey(project=self._ledger.project_id, file=file.file, revision=run.revision),
            name=file.path,
            open=opened,
            bad_path=bad_path,
        )

    # what becomes of the remote files

    def finish_all(self, this: Pull, run: Run, attempt: Attempt) -> None:
        """Do what was agreed with the remote file of each that is loaded (or, where nothing is loaded, fetched)."""
        last = FetchStatus.LOADED if this.definition.load else FetchStatus.FETCHED
        files = [file for file in run.files if file.status is last]
        if not files:
            return
        attempt.begun()
        # What an earlier revision did with its remote file is not done again; what it could not do is.
        left = [file for file in files if file.done_at is not None or this.definition.file.then == "leave"]
        self._record_done(this, ((file, None) for file in left), taken=False)
        if owed := [file for file in files if file not in left]:
            with self._connections.session(this.delivery.endpoint) as session:
                self._record_done(this, self._put_away(this, owed, session, last), taken=True)

    def _put_away(
        self, this: Pull, files: Sequence[FetchedFile], session: Session, last: FetchStatus
    ) -> Iterator[afterwards.Ended]:
        if this.definition.file.then == "delete":
            return afterwards.remove_each(session, files, this.agreement)

        def intend(names: Mapping[str, str]) -> None:
            moved = {file: {"moved_to": name} for file, name in names.items()}
            self._ledger.record_fetches(this.claim, last, moved)

        moves = [self._move(this, file) for file in files]
        return afterwards.move_each(session, this.where, moves, this.agreement, intend)

    def _move(self, this: Pull, file: FetchedFile) -> afterwards.Move:
        template = paths.parse_taken(this.definition.file.move_to or "", this.job.name)
        target = paths.render_taken(template, this.facts, paths.split(file.path)[1])
        given = naming.folders_given(self._settling.endpoint(this.delivery.endpoint), template)
        return afterwards.Move(file=file, target=target, given_folders=given)

    def _record_done(self, this: Pull, ended: Iterable[afterwards.Ended], *, taken: bool) -> None:
        """Record what was put away, so many files at a time; after a crash in between it is seen that they are gone."""
        done: dict[str, dict[str, object]] = {}
        try:
            for file, note in ended:
                done[file.id] = {"reason": note, "gone": note is None} if taken else {}
                if len(done) == _RECORDED_AT_ONCE:
                    some, done = done, {}
                    self._ledger.record_fetches(this.claim, FetchStatus.DONE, some)
        finally:
            if done:
                self._ledger.record_fetches(this.claim, FetchStatus.DONE, done)


class _Anew:
    """A file's bytes, read anew by each who iterates."""

    def __init__(self, read: Callable[[], Iterator[bytes]]) -> None:
        self._read = read

    def __iter__(self) -> Iterator[bytes]:
        return self._read()


class _Sound:
    """The records of a file that is loaded `early`: whole, and where it `puts_aside` bad ones without any, for that is done
    beside the file, which has no name yet. Else raises GivenUp."""

    def __init__(self, records: load.Records, early: EarlyLoad, puts_aside: bool) -> None:
        self._records = records
        self._early = early
        self._puts_aside = puts_aside

    @property
    def columns(self) -> tuple[TargetColumn, ...]:
        return self._records.columns

    def line_of(self, index: int) -> int | None:
        return self._records.line_of(index)

    def __iter__(self) -> Iterator[pa.RecordBatch | Verbatim | BadRecord]:
        for item in self._records:
            if self._puts_aside and isinstance(item, BadRecord):
                raise GivenUp
            yield item
        if not self._early.is_whole:
            raise GivenUp


def _sound(
    opened: load.Open,
    early: EarlyLoad,
    puts_aside: bool,
    table: Sequence[TargetColumn],
    patient: bool,
    takes: Takes | None,
) -> load.Records:
    return _Sound(opened(table, patient, takes), early, puts_aside)


def is_one_load(this: Pull) -> bool:
    """Whether all files of the slot are loaded together: replaced, or counted, as one."""
    options, guard = this.definition.load, this.job.guard
    return options is not None and (
        options.mode == "replace" or guard.min_rows is not None or guard.max_rows is not None
    )
