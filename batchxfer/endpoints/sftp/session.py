"""One conversation with one server: the operations of ports.Session, each refused or done."""

from __future__ import annotations

import contextlib
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from batchxfer.endpoints.sftp import failures, wire
from batchxfer.endpoints.sftp.attributes import file_stat
from batchxfer.endpoints.sftp.failures import Broken, Refused
from batchxfer.endpoints.sftp.hostkeys import HostKey
from batchxfer.endpoints.sftp.link import Link
from batchxfer.endpoints.sftp.looks import Look, Looks, Root
from batchxfer.endpoints.sftp.reading import Looking, Reading, Readings
from batchxfer.endpoints.sftp.transfer import FAR_SECONDS, LIMITS, Download, Limits, Upload, ask_limits, hear_limits
from batchxfer.endpoints.sftp.watchdog import Watchdog
from batchxfer.endpoints.sftp.wire import NO_ATTRIBUTES, Reader, Wire, raise_refusal, string, unpack
from batchxfer.errors import (
    AttemptError,
    DeadlineError,
    FolderMissing,
    ForeignFile,
    NetworkError,
    NotSupported,
    printable,
)
from batchxfer.ports import Entry, FileStat, Progress, Readable

POSIX_RENAME = "posix-rename@openssh.com"
_READ, _WRITE, _CREATE, _TRUNCATE, _EXCLUSIVE = 0x01, 0x02, 0x08, 0x10, 0x20
# A folder of half a million names; a server that is hostile, or ill, goes on for ever.
_MOST_REPLIES, _MOST_NAMES_BYTES = 1_000_000, 64 * 1024 * 1024
_LISTS_AHEAD = 8


@dataclass(frozen=True, kw_only=True)
class Server:
    """What was learned of the server while connecting.

    `in_order`: it is known to do one request after the other; `refuses_taken_names`: its plain rename is known to refuse a name
    that exists, whoever is faster.
    """

    key: HostKey
    methods: tuple[str, ...]
    version: int
    extensions: dict[str, bytes]
    in_order: bool = False
    refuses_taken_names: bool = False


class SftpSession:
    """A ports.Session over SFTP. `where` names the endpoint in messages; `root` is before every path."""

    at_once = 32

    def __init__(
        self,
        *,
        where: str,
        root: Root,
        deadline_seconds: float,
        link: Link,
        wire: Wire,
        watchdog: Watchdog,
        server: Server,
    ) -> None:
        self._where = where
        self._name, self._field = root.name, root.field
        self._deadline = deadline_seconds
        self._link = link
        self._wire = wire
        self._watchdog = watchdog
        self._server = server
        self._looks = Looks(wire, root)
        self._over: str | None = None
        self._limits: Limits | None = None
        self._limits_request: int | None = None
        self._looked: Look | None = None
        self._refuses_exclusive = False
        limits = self._limits_of_server
        self._readings = Readings(wire, root, self._looks, limits, self._step, in_order=server.in_order)

    @property
    def server_key(self) -> str:
        return self._server.key.fingerprint

    @property
    def alive(self) -> bool:
        return self._over is None and self._watchdog.verdict is None and self._link.alive

    def begin_attempt(self) -> None:
        self._watchdog.begin(self._deadline)

    def end_attempt(self) -> None:
        self._watchdog.end_deadline()

    def close(self) -> None:
        self._over = self._over or "it was closed"
        self._link.close()
        self._watchdog.close()

    def stat(self, path: str) -> FileStat | None:
        with self._step(f"look at {self._name(path)}"):
            fresh = self._fresh(path)
            return fresh.seen if fresh else self._looks.at(path)

    def begin_look(self, path: str) -> Looking:
        with self._step(f"look at {self._name(path)}"):
            return Looking(self._readings, path)

    def stat_all(self, paths: Sequence[str]) -> list[FileStat | None]:
        with self._step(f"look at {self._names(paths)}"):
            return self._looks.at_each(paths)

    def upload(
        self,
        path: str,
        content: Readable,
        *,
        exclusive: bool,
        created: Callable[[], None] | None = None,
        progress: Progress | None = None,
    ) -> int:
        with self._step(f"write {self._name(path)}"):
            self._ask_limits()
            handle = self._create(path) if exclusive else self._open(path, _WRITE | _CREATE | _TRUNCATE)
            limits = self._limits_of_server()
            upload = Upload(self._wire, handle, self._field(path), limits, progress, in_order=self._server.in_order)
            if created is not None:
                self._announce(created, upload)
            sent = upload.send(content)
            look = self._looks.hear_in_passing(upload.finish(), path)
            # Not every server has closed a file when it looks: what is not as it should be is looked at again.
            self._looked = look if look and look.seen and look.seen.size == sent else None
            return sent

    def read(self, path: str, *, offset: int = 0) -> Iterator[bytes]:
        with self._step(f"read {self._name(path)}"):
            self._ask_limits()
            began = time.monotonic()
            handle = self._open(path, _READ)
            far = time.monotonic() - began > FAR_SECONDS
            try:
                yield from Download(self._wire, handle, self._limits_of_server(), offset=offset, far=far).pieces()
            finally:
                self._close_quietly(handle)

    def begin_reading(self, path: str, *, size: int) -> Reading:
        with self._step(f"read {self._name(path)}"):
            self._ask_limits()
            return self._readings.begin(path, size)

    def rename(self, old: str, new: str) -> None:
        with self._step(f"rename {self._name(old)} to {self._name(new)}"):
            # Some servers overwrite on a plain rename, so look first; some let nobody look.
            if not self._server.refuses_taken_names and self._looks.finds(new):
                raise self._foreign(old, new)
            try:
                self._move(old, wire.RENAME, self._field(old), self._field(new))
            except Refused as refusal:
                # OpenSSH reports an existing target as a bare failure, others in their own ways: look again to tell.
                if self._looks.shows(new) and self._looks.shows(old):
                    raise self._foreign(old, new) from refusal
                raise self._rename_refused(refusal, old, new) from refusal

    def rename_all(self, pairs: Sequence[tuple[str, str]]) -> None:
        if not self._server.refuses_taken_names:
            for old, new in pairs:
                self.rename(old, new)
            return
        with self._step(f"rename {self._names([old for old, _ in pairs])}"):
            names = [(self._field(old), self._field(new)) for old, new in pairs]
            requests = [self._wire.send(wire.RENAME, *each, more=True) for each in names]
            for reply in list(map(self._wire.receive, requests)):
                raise_refusal(reply, named=True)

    def rename_without_looking(self, old: str, new: str) -> None:
        """The server's own plain rename, for `probe`: whether it refuses an existing name, or overwrites it."""
        with self._step(f"rename {self._name(old)} to {self._name(new)}"):
            self._wire.command(wire.RENAME, self._field(old), self._field(new))

    def replace(self, old: str, new: str) -> None:
        with self._step(f"rename {self._name(old)} over {self._name(new)}"):
            if POSIX_RENAME not in self._server.extensions:
                raise NotSupported(
                    f"{self._where}: cannot rename {self._name(old)} over {self._name(new)}: "
                    f"the server has no {POSIX_RENAME}, so it cannot replace a file atomically",
                    hint="set on_exists = 'fail' in the job's [file]",
                )
            self._move(old, wire.EXTENDED, string(POSIX_RENAME.encode()), self._field(old), self._field(new))

    def remove(self, path: str) -> None:
        self.remove_all([path])

    def remove_all(self, paths: Sequence[str]) -> None:
        with self._step(f"remove {self._names(paths)}"):
            requests = [self._wire.send(wire.REMOVE, self._field(path), more=True) for path in paths]
            for reply in list(map(self._wire.receive, requests)):
                try:
                    raise_refusal(reply, named=True)
                except Refused as refusal:
                    if refusal.code not in (failures.NO_SUCH_FILE, failures.NO_SUCH_PATH):
                        raise

    def make_folder(self, path: str) -> None:
        with self._step(f"make the folder {self._name(path)}"):
            try:
                self._wire.command(wire.MKDIR, self._field(path), NO_ATTRIBUTES)
            except Refused:
                # Which status says "it is there" differs from server to server.
                there = self._looks.beyond(path)
                if there is None:
                    raise
                if there.kind != "folder":
                    raise FolderMissing(
                        f"{self._where}: {self._name(path)} is a {there.kind}, where a folder is needed"
                    ) from None

    def list(self, path: str) -> Iterator[Entry]:
        with self._step(f"list {self._name(path)}"):
            handle = self._wire.get(wire.HANDLE, wire.OPENDIR, self._field(path)).string()
            try:
                yield from self._entries(handle)
            finally:
                self._close_quietly(handle)

    def describe(self) -> Mapping[str, object]:
        with self._step("ask what the server can do"):
            limits = self._limits_of_server()
            home = self._home()
        transport = self._link.transport
        return {
            "server": printable(transport.remote_version),
            "host_key": str(self._server.key),
            "key_exchange": transport.key_exchange,
            "cipher": transport.local_cipher,
            "mac": transport.local_mac if "gcm" not in transport.local_cipher else "in the cipher",
            "authentication": list(self._server.methods),
            "sftp_version": self._server.version,
            "extensions": sorted(map(printable, self._server.extensions)),
            "posix_rename": POSIX_RENAME in self._server.extensions,
            "exclusive_create": not self._refuses_exclusive,
            "write_bytes": limits.write_bytes,
            "read_bytes": limits.read_bytes,
            "home": home,
        }

    # one step, and what becomes of its failure

    @contextlib.contextmanager
    def _step(self, step: str) -> Iterator[None]:
        """Whatever goes wrong inside is translated, and ends the session where it must."""
        if not self.alive:
            raise self._ended(self._broken(Broken(self._over or "it is closed"), step))
        try:
            yield
        except Refused as refusal:
            raise self._ended(failures.from_refusal(refusal, where=self._where, step=step)) from refusal
        except AttemptError as error:
            raise self._ended(error) from error.__cause__
        except Exception as exc:
            if not failures.is_of_the_link(exc):
                raise
            raise self._ended(self._broken(exc, step)) from exc

    def _broken(self, exc: BaseException, step: str) -> AttemptError:
        return failures.from_break(exc, self._watchdog.verdict, where=self._where, step=step)

    def _ended(self, error: AttemptError) -> AttemptError:
        # A refusal leaves the conversation in step; a link that broke, or was closed because of the time, is over.
        if isinstance(error, NetworkError | DeadlineError):
            self._over = self._over or "it failed before"
            self.close()
        return error

    # parts of steps

    def _names(self, paths: Sequence[str]) -> str:
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        return "".join(map(self._name, paths[:1])) + more

    def _ask_limits(self) -> None:
        """With the next request, once a session."""
        if self._limits is None and self._limits_request is None and LIMITS in self._server.extensions:
            self._limits_request = ask_limits(self._wire)

    def _limits_of_server(self) -> Limits:
        if self._limits is None:
            self._ask_limits()
            self._limits = hear_limits(self._wire, self._limits_request)
        return self._limits

    def _fresh(self, path: str) -> Look | None:
        """The last look, where it was at `path` and nothing was asked since."""
        look = self._looked
        return look if look and look.path == path and look.request == self._wire.last_request else None

    def _move(self, old: str, kind: int, *fields: bytes) -> None:
        """Rename `old`, and look in the same round trip whether it is gone. Raises Refused."""
        moving = self._wire.send(kind, *fields, more=True)
        looking = self._wire.send(wire.LSTAT, self._field(old))
        try:
            raise_refusal(self._wire.receive(moving), named=True)
        except Refused:
            self._wire.forget(looking)
            raise
        look = self._looks.hear_in_passing(looking, old)
        self._looked = look if look and look.seen is None else None

    def _open(self, path: str, flags: int) -> bytes:
        return self._wire.get(
            wire.HANDLE, wire.OPEN, self._field(path), struct.pack(">I", flags), NO_ATTRIBUTES
        ).string()

    def _create(self, path: str) -> bytes:
        """Open a file that must not exist. Raises ForeignFile where it does."""
        plain = _WRITE | _CREATE | _TRUNCATE
        if self._refuses_exclusive:
            if self._looks.finds(path):
                raise self._taken(path)
            return self._open(path, plain)
        try:
            return self._open(path, plain | _EXCLUSIVE)
        except Refused as refusal:
            if self._looks.shows(path):
                raise self._taken(path) from refusal
            if refusal.code not in (failures.UNSUPPORTED, failures.BAD_MESSAGE):
                raise
        # This server knows no exclusive create; nothing was seen at the name, which is the best that can be known there.
        self._refuses_exclusive = True
        return self._open(path, plain)

    def _taken(self, path: str) -> ForeignFile:
        return ForeignFile(
            f"{self._where}: cannot create {self._name(path)}: it is there already",
            hint="see what is there; it was left as it is",
        )

    def _announce(self, created: Callable[[], None], upload: Upload) -> None:
        try:
            created()
        except Exception:
            upload.abandon()
            raise

    def _close_quietly(self, handle: bytes) -> None:
        """Close what was only read; an answer could change nothing."""
        if self.alive:
            with contextlib.suppress(Exception):
                self._wire.forget(self._wire.send(wire.CLOSE, string(handle)))

    def _foreign(self, old: str, new: str) -> ForeignFile:
        return ForeignFile(
            f"{self._where}: cannot rename {self._name(old)} to {self._name(new)}: that name exists already",
            hint="see what is there; both files were left as they are",
        )

    def _rename_refused(self, refusal: Refused, old: str, new: str) -> AttemptError:
        step = f"rename {self._name(old)} to {self._name(new)}"
        error = failures.from_refusal(refusal, where=self._where, step=step)
        if isinstance(error, NotSupported):
            error.hint = (
                "set publish = 'direct' on the endpoint (a weaker promise), or on_exists = 'replace' in the job"
            )
        return error

    def _entries(self, handle: bytes) -> Iterator[Entry]:
        names = 0
        for reader in self._replies(handle):
            for _ in range(reader.u32()):
                name, _long_name, stat = reader.string(), reader.string(), file_stat(reader)
                names += len(name)
                if name not in (b".", b".."):
                    yield Entry(name=name.decode("utf-8", "surrogateescape"), stat=stat)
            if names > _MOST_NAMES_BYTES:
                break
        else:
            return
        raise Broken("the server's list of names does not end")

    def _replies(self, handle: bytes) -> Iterator[Reader]:
        """The replies that hold a folder's names. Where there are many, some are asked for ahead."""
        waiting = deque([self._wire.send(wire.READDIR, string(handle))])
        try:
            for _ in range(_MOST_REPLIES):
                try:
                    yield unpack(self._wire.receive(waiting.popleft()), wire.NAME, named=True)
                except Refused as refusal:
                    if refusal.code == failures.EOF:
                        return
                    raise
                while len(waiting) < (_LISTS_AHEAD if self._server.in_order else 1):
                    waiting.append(self._wire.send(wire.READDIR, string(handle), more=True))
            raise Broken("the server's list of names does not end")
        finally:
            for request in waiting:
                self._wire.forget(request)

    def _home(self) -> str | None:
        try:
            reader = self._wire.get(wire.NAME, wire.REALPATH, string(b"."))
        except Refused:
            return None
        return printable(reader.string().decode("utf-8", "surrogateescape")) if reader.u32() else None
