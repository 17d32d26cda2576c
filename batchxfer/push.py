"""Send, verify, publish, for each file of a delivery: the data, then its checksum file, then its done file.

Each side effect has its intent in the ledger before it and its outcome after it, so that the next attempt can tell what
happened; `resolve` decides, this module acts.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from batchxfer.contents import Content, content_of, stored
from batchxfer.errors import (
    AttemptError,
    FolderMissing,
    ForeignFile,
    HeldError,
    NotSupported,
    PermanentError,
    PermissionRefused,
    ServerError,
    Vanished,
)
from batchxfer.growing import Growing, TakenBack
from batchxfer.model import Artifact, Delivery, DeliveryFile, Evidence, FileRole, FileStatus
from batchxfer.paths import temporary_path
from batchxfer.ports import FileStat, Looking, Progress, Session
from batchxfer.resolve import Policy, Seen, Step, resolve

_ASK = "ask the partner. If it arrived: batchxfer accept RUN --why TEXT; if not: batchxfer resend RUN"


class Recorder(Protocol):
    """Writes how far a file has come into the ledger; raises OwnershipLost where the run is no longer ours."""

    def __call__(
        self,
        role: FileRole,
        status: FileStatus,
        *,
        temp_path: str | None = None,
        created: bool | None = None,
        size: int | None = None,
        sha256: str | None = None,
    ) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """What was agreed with this endpoint.

    `verify` is size, readback or reply; `temp_name` a template of `{name}` and `{attempt}`; `given_folders` the number of
    leading folders of each file's path that are never created (None: create none; absent: create all).
    """

    endpoint: str
    policy: Policy
    verify: str = "size"
    temp_name: str = ".{name}.{attempt}.part"
    given_folders: Mapping[FileRole, int | None] = field(default_factory=dict)


def deliver(
    session: Session,
    delivery: Delivery,
    artifact: Artifact | Growing,
    agreement: Agreement,
    record: Recorder,
    *,
    attempt: str,
    resend: bool = False,
    progress: Progress | None = None,
    before_publish: Callable[[], None] = lambda: None,
) -> Evidence:
    """Bring every file of `delivery` to its final name, and say how the data file was proven.

    An artifact that is still growing is sent as it grows; no final name is made before it is released.
    `before_publish` is called before each file gets its final name; what it raises stops the delivery there.
    Raises AttemptError, OwnershipLost and TakenBack. May be called again after each, with the delivery as the ledger has it
    then.
    """
    data = stored(artifact) if isinstance(artifact, Artifact) else artifact
    proofs = []
    for file in delivery.files:
        content = content_of(file.role, data, delivery.path)
        publisher = Publisher(session, file, content, agreement, record, attempt, before_publish)
        proofs.append(publisher.publish(resend=resend, progress=progress if file.role is FileRole.DATA else None))
    how, detail = proofs[0]
    return Evidence(how=how, detail=detail, server_key=session.server_key)


Proof = tuple[str, str | None]


class _NotFree(Exception):
    """The final name is not free, or nobody could look, as was seen when the temporary file had been opened."""

    def __init__(self, error: AttemptError) -> None:
        super().__init__(error)
        self.error = error


class Publisher:
    """Brings one file to its final name."""

    def __init__(
        self,
        session: Session,
        file: DeliveryFile,
        content: Content,
        agreement: Agreement,
        record: Recorder,
        attempt: str,
        before_publish: Callable[[], None],
    ) -> None:
        self._before_publish = before_publish
        self._session = session
        self._file = file
        self._content = content
        self._agreement = agreement
        self._record = record
        self._attempt = attempt

    def publish(self, *, resend: bool, progress: Progress | None) -> Proof:
        if not resend and self._may_look_while_it_opens:
            return self._send(progress, looked=False)
        step = self._look(resend=resend)
        if step is Step.NOTHING:
            return self._agreement.verify, None
        if step in (Step.SEND, Step.SEND_OVER):
            return self._send(progress, over=step is Step.SEND_OVER)
        if step is Step.RENAME:
            return self._rename(self._file.temp_path or "", self._agreement.verify)
        if step is Step.COMPARE:
            return self._compare("equal" if self._file.status is FileStatus.PUBLISHED else "looked")
        if step is Step.INFER:
            self._published()
            return "inferred", "temporary and final name were both gone, and this partner takes files at once"
        raise self._held(step)

    # looking

    @property
    def _may_look_while_it_opens(self) -> bool:
        """Whether nothing but the final name decides, and a partner is waited for: the look and the open of the temporary file
        leave together then."""
        is_at_its_beginning = self._file.status in (FileStatus.PENDING, FileStatus.SENDING)
        return is_at_its_beginning and not self._agreement.policy.direct and self._session.at_once > 1

    def _check_free(self, looking: Looking) -> None:
        """Raises _NotFree where the final name, looked at meanwhile, is not free."""
        try:
            seen = self._heard(looking.look)
            step = resolve(self._file.status, Seen.ABSENT, seen, self._agreement.policy)
        except AttemptError as error:
            raise _NotFree(error) from error
        if step is not Step.SEND:
            raise _NotFree(self._held(step))

    def _look(self, *, resend: bool) -> Step:
        file = self._file
        if file.status is FileStatus.PUBLISHED and not resend:
            return Step.NOTHING
        temporary = self._seen(file.temp_path) if file.status is FileStatus.PUBLISHING else Seen.ABSENT
        return resolve(
            file.status,
            temporary,
            self._seen(file.path),
            self._agreement.policy,
            created=file.created,
            resend=resend,
        )

    def _seen(self, path: str | None) -> Seen:
        return Seen.ABSENT if path is None else self._heard(lambda: self._session.stat(path))

    def _heard(self, look: Callable[[], FileStat | None]) -> Seen:
        try:
            return Seen.ABSENT if look() is None else Seen.THERE
        except FolderMissing:
            return Seen.ABSENT
        except (PermissionRefused, NotSupported) as error:
            if self._agreement.verify != "reply":
                error.hint = 'where the partner lets nobody look, set verify = "reply" in the job\'s [file]'
                raise
            return Seen.UNKNOWN

    def _held(self, step: Step, temporary: str | None = None) -> HeldError:
        place = f"endpoint {self._agreement.endpoint!r}: {self._file.path}"
        if step is Step.HOLD_FOREIGN:
            return ForeignFile(
                f"{place} is there already, and it is not ours",
                hint=self._make_room(),
            )
        if step is Step.HOLD_VANISHED:
            return Vanished(
                f"{place}: the temporary name {temporary or self._file.temp_path} and the final name are both gone, "
                "so the file was taken, or deleted, while it was published",
                hint=f"{_ASK}. Where a partner takes files at once, vanished = 'delivered' says so",
            )
        return HeldError(
            f"{place}: this server lets nobody look, so it is not known whether the last rename happened",
            hint=_ASK,
        )

    def _make_room(self) -> str:
        """What lets both files be. What was begun keeps its path."""
        another = " or give the job another path," if self._file.status is FileStatus.PENDING else ""
        return f"on_exists = 'replace' would overwrite it; have it moved away,{another} then retry"

    def _compare(self, how: str) -> Proof:
        digest, size = hashlib.sha256(), 0
        try:
            for piece in self._session.read(self._file.path):
                digest.update(piece)
                size += len(piece)
        except (PermissionRefused, NotSupported) as exc:
            raise HeldError(
                f"{exc.message}. A file is at its final name, and it cannot be read back to see whether it is ours",
                hint="ask the partner. If it arrived: batchxfer accept RUN --why TEXT; if not, have it moved away, then: "
                "batchxfer retry RUN",
            ) from exc
        if digest.hexdigest() != self._content.sha256:
            raise ForeignFile(
                f"endpoint {self._agreement.endpoint!r}: at {self._file.path} is another file "
                f"({size:,} bytes, sha256 {digest.hexdigest()}; ours has {self._content.size:,} and {self._content.sha256})",
                hint="have it moved away, then: batchxfer retry RUN; or query again, under a new name: batchxfer rerun RUN",
            )
        if self._file.temp_path is not None:
            self._forget(self._file.temp_path)
        self._published()
        return how, f"read back at {self._file.path}: {size:,} bytes, the same sha256"

    # sending

    def _send(self, progress: Progress | None, *, over: bool = False, looked: bool = True) -> Proof:
        if self._file.status in (FileStatus.SENDING, FileStatus.PUBLISHING) and self._file.temp_path is not None:
            self._forget(self._file.temp_path)
        if self._agreement.policy.direct:
            return self._send_directly(progress, over=over)
        temporary = temporary_path(self._agreement.temp_name, self._file.path, self._attempt)
        self._record(self._file.role, FileStatus.SENDING, temp_path=temporary)
        try:
            if looked:
                self._upload(temporary, exclusive=True, created=None, progress=progress)
            else:
                self._upload_where_free(temporary, progress)
            how = self._verify(temporary)
        except ForeignFile as error:
            # No other attempt has this name: the server made the file, and said that it did not.
            self._drop(temporary)
            raise ServerError(error.message, hint="it is sent anew, under another temporary name") from error
        except TakenBack:
            self._take_back(temporary)
            raise
        except _NotFree as found:
            if self._file.role is FileRole.DATA and self._file.status is FileStatus.PENDING:
                self._take_back(temporary)
            else:
                self._drop(temporary)
            raise found.error from found
        except AttemptError:
            self._drop(temporary)
            raise
        return self._rename(temporary, how)

    def _upload_where_free(self, temporary: str, progress: Progress | None) -> None:
        """Write the file, and before its first byte hear what is at its final name. Raises _NotFree."""
        with contextlib.closing(self._session.begin_look(self._file.path)) as looking:
            self._upload(temporary, exclusive=True, created=lambda: self._check_free(looking), progress=progress)

    def _take_back(self, temporary: str) -> None:
        """Nothing of it was sent, once the temporary file is gone; where that is not sure, the next attempt sees to it."""
        with contextlib.suppress(AttemptError):
            self._session.remove(temporary)
            self._record(self._file.role, FileStatus.PENDING)

    def _send_directly(self, progress: Progress | None, *, over: bool) -> Proof:
        self._before_publish()
        path, exclusive = self._file.path, not over and not self._agreement.policy.replace
        self._record(self._file.role, FileStatus.SENDING)
        created = (lambda: self._record(self._file.role, FileStatus.SENDING, created=True)) if exclusive else None
        self._upload(path, exclusive=exclusive, created=created, progress=progress)
        how = self._verify(path)
        self._published()
        return how, "written directly to its final name"

    def _upload(self, path: str, *, exclusive: bool, created: object, progress: Progress | None) -> None:
        try:
            self._upload_once(path, exclusive, created, progress)
        except FolderMissing:
            if not self._make_folders(path):
                raise
            self._upload_once(path, exclusive, created, progress)

    def _upload_once(self, path: str, exclusive: bool, created: object, progress: Progress | None) -> None:
        with self._content.open() as content:
            self._session.upload(
                path,
                content,
                exclusive=exclusive,
                created=created if callable(created) else None,
                progress=progress,
            )

    def _make_folders(self, path: str) -> bool:
        given = self._agreement.given_folders.get(self._file.role, 0)
        folders = path.split("/")[:-1]
        if given is None or len(folders) <= given:
            return False
        for depth in range(given + 1, len(folders) + 1):
            self._session.make_folder("/".join(folders[:depth]))
        return True

    def _verify(self, path: str) -> str:
        how = self._agreement.verify
        if how == "readback":
            digest = hashlib.sha256()
            for piece in self._session.read(path):
                digest.update(piece)
            if digest.hexdigest() != self._content.sha256:
                raise self._damaged(path, f"the server gives back other bytes (sha256 {digest.hexdigest()})")
        elif how == "size":
            self._verify_size(path)
        return how

    def _verify_size(self, path: str) -> None:
        seen = self._session.stat(path)
        if seen is None:
            if self._agreement.policy.direct:
                self._taken_at_once(path)
                return
            raise self._damaged(path, "it is gone right after it was written")
        if seen.kind != "file":
            raise self._damaged(path, f"the server shows a {seen.kind} there")
        if seen.size < 0:
            raise NotSupported(
                f"endpoint {self._agreement.endpoint!r}: the server does not tell the size of {path}",
                hint='set verify = "readback" in the job\'s [file], or "reply" where files cannot be read back',
            )
        if seen.size != self._content.size:
            raise self._damaged(path, f"the server has {seen.size:,} bytes")

    def _taken_at_once(self, path: str) -> None:
        if not self._agreement.policy.taken_at_once:
            raise Vanished(
                f"endpoint {self._agreement.endpoint!r}: {path} is gone right after it was written",
                hint=f"{_ASK}. Where a partner takes files at once, vanished = 'delivered' says so",
            )

    def _damaged(self, path: str, what: str) -> ServerError:
        return ServerError(
            f"endpoint {self._agreement.endpoint!r}: {path} did not arrive whole: "
            f"{self._content.size:,} bytes were sent, and {what}",
            hint="it is written anew" if self._agreement.policy.direct else "nothing was published; it is sent anew",
        )

    # publishing

    def _rename(self, temporary: str, how: str) -> Proof:
        self._before_publish()
        self._record(self._file.role, FileStatus.PUBLISHING, temp_path=temporary)
        change = self._session.replace if self._agreement.policy.replace else self._session.rename
        try:
            change(temporary, self._file.path)
        except AttemptError as error:
            return self._after_refused_rename(error, temporary)
        self._check_moved(temporary)
        self._published()
        return how, None

    def _check_moved(self, temporary: str) -> None:
        """A partner may take the final name at once; the temporary one must be gone, whatever the server said."""
        if self._agreement.verify != "reply" and self._seen(temporary) is Seen.THERE:
            raise ServerError(
                f"endpoint {self._agreement.endpoint!r}: the server says that it renamed {temporary} to "
                f"{self._file.path}, and {temporary} is still there",
                hint="it is renamed anew; if that goes on, ask the partner",
            )

    def _after_refused_rename(self, error: AttemptError, temporary: str) -> Proof:
        """Some servers rename and say that they did not: what is at both names decides, where the line still stands."""
        if not self._session.alive:
            raise error
        try:
            old, new = self._seen(temporary), self._seen(self._file.path)
        except AttemptError:
            raise error from None
        if old is not Seen.ABSENT:
            if isinstance(error, PermissionRefused | NotSupported):
                raise type(error)(
                    f"{error.message}. The file was uploaded and left at {temporary}", hint=error.hint
                ) from error
            raise error
        if new is Seen.THERE:
            return self._compare("looked")
        raise self._held(Step.HOLD_VANISHED, temporary) from error

    def _published(self) -> None:
        self._record(self._file.role, FileStatus.PUBLISHED, size=self._content.size, sha256=self._content.sha256)

    def _forget(self, temporary: str) -> None:
        """Take away what an earlier attempt left, while the ledger still knows its name: a link that breaks here is an
        error, a server that forbids it is not."""
        with contextlib.suppress(PermanentError):
            self._session.remove(temporary)

    def _drop(self, temporary: str) -> None:
        """Take away a temporary file of ours; one that cannot be taken away does no harm."""
        if self._session.alive:
            with contextlib.suppress(AttemptError):
                self._session.remove(temporary)
