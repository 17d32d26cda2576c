"""Folders of this machine, or mounted on it: the same steps as with a server, each durable before it is reported."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat as modes
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from batchxfer.definitions import EndpointOptions
from batchxfer.errors import (
    AttemptError,
    DeadlineError,
    FolderMissing,
    ForeignFile,
    NotSupported,
    PermissionRefused,
    StorageError,
    printable,
)
from batchxfer.fields import Line
from batchxfer.ports import Entry, FileStat, Progress, Readable
from batchxfer.writeback import Writeback

_PIECE_BYTES = 1024 * 1024


def _read_mode(text: str) -> str:
    if not text.isascii() or not text.isdigit() or len(text) > 4 or set(text) - set("01234567"):
        raise ValueError('a mode is an octal text like "0640"')
    if int(text, 8) & ~0o777:
        raise ValueError("a mode has no setuid, setgid or sticky bit here")
    return text


class Options(EndpointOptions):
    """A folder of this machine."""

    protocol: Literal["local"] = Field(default="local", description="local.")
    root: Line = Field(min_length=1, description="Folder that the jobs' paths are below.")
    mode: Annotated[str, AfterValidator(_read_mode)] | None = Field(
        default=None, description='Mode of the files, as octal text ("0640"); default: 0600 (umask 077).'
    )


class Endpoint:
    """A folder. Nothing is touched until `connect`."""

    def __init__(self, name: str, options: Options, base: Path) -> None:
        self._name = name
        self._options = options
        self._root = base / Path(options.root).expanduser()

    @property
    def place(self) -> str:
        return f"local:{os.path.realpath(self._root)}"

    def connect(self) -> LocalSession:
        return LocalSession(f"endpoint {self._name!r}", self._root, self._options)


class LocalReading:
    """A ports.Reading, and a ports.Looking, of a file that is near: nothing is gained by beginning early."""

    def __init__(self, session: LocalSession, path: str) -> None:
        self._session = session
        self._path = path
        self._seen: tuple[FileStat | None] | None = None

    def look(self) -> FileStat | None:
        if self._seen is None:
            self._seen = (self._session.stat(self._path),)
        return self._seen[0]

    def pieces(self, offset: int = 0) -> Iterator[bytes]:
        return self._session.read(self._path, offset=offset)

    def look_again(self) -> FileStat | None:
        return self._session.stat(self._path)

    def close(self) -> None:
        pass


class LocalSession:
    """A ports.Session on a folder. `where` names the endpoint in messages.

    Nothing is read or written outside the root: paths with `..` are refused, and so are links that lead out of it.
    """

    server_key = None
    at_once = 1

    def __init__(self, where: str, root: Path, options: Options) -> None:
        self._where = where
        self._root = root
        self._file_mode = 0o600 if options.mode is None else int(options.mode, 8)
        # Who may read a file must be able to enter its folder.
        self._folder_mode = self._file_mode | 0o700 | (self._file_mode & 0o444) >> 2
        self._deadline_seconds = options.deadline.total_seconds()
        self._deadline: float | None = None
        self._over = False
        self.begin_attempt()

    @property
    def alive(self) -> bool:
        return not self._over

    def begin_attempt(self) -> None:
        self._deadline = time.monotonic() + self._deadline_seconds

    def end_attempt(self) -> None:
        self._deadline = None

    def close(self) -> None:
        self._over = True

    def stat(self, path: str) -> FileStat | None:
        with self._step(f"look at {path}"):
            try:
                return _file_stat(os.lstat(self._inside(path)))
            except (FileNotFoundError, NotADirectoryError):
                return None

    def begin_look(self, path: str) -> LocalReading:
        return LocalReading(self, path)

    def stat_all(self, paths: Sequence[str]) -> list[FileStat | None]:
        return [self.stat(path) for path in paths]

    def upload(
        self,
        path: str,
        content: Readable,
        *,
        exclusive: bool,
        created: Callable[[], None] | None = None,
        progress: Progress | None = None,
    ) -> int:
        with self._step(f"write {path}"):
            target = self._inside(path)
            with self._create(target, path, exclusive=exclusive) as file:
                if created is not None:
                    # The name must survive a crash before the ledger says that it was created.
                    _sync_folder(target.parent)
                    created()
                size = self._copy(content, file, progress)
                os.fsync(file)
            _sync_folder(target.parent)
            return size

    def read(self, path: str, *, offset: int = 0) -> Iterator[bytes]:
        with self._step(f"read {path}"), self._opened(path) as file:
            os.lseek(file, offset, os.SEEK_SET)
            while piece := os.read(file, _PIECE_BYTES):
                yield piece
                self._check_deadline()

    def begin_reading(self, path: str, *, size: int) -> LocalReading:
        return LocalReading(self, path)

    def rename(self, old: str, new: str) -> None:
        with self._step(f"rename {old} to {new}"):
            source, target = self._inside(old), self._inside(new)
            try:
                _rename_exclusively(source, target)
            except FileExistsError as exc:
                raise ForeignFile(
                    f"{self._where}: cannot rename {printable(old)} to {printable(new)}: that name exists already",
                    hint="see what is there; both files were left as they are",
                ) from exc
            except _NoExclusiveRename as exc:
                raise NotSupported(
                    f"{self._where}: cannot rename {printable(old)} to {printable(new)}: "
                    "this file system has no rename that refuses an existing name",
                    hint="set publish = 'direct' on the endpoint (a weaker promise), or on_exists = 'replace' in the job",
                ) from exc
            _sync_folder(target.parent)
            if source.parent != target.parent:
                _sync_folder(source.parent)

    def rename_all(self, pairs: Sequence[tuple[str, str]]) -> None:
        for old, new in pairs:
            self.rename(old, new)

    def replace(self, old: str, new: str) -> None:
        with self._step(f"rename {old} over {new}"):
            source, target = self._inside(old), self._inside(new)
            source.replace(target)
            _sync_folder(target.parent)
            if source.parent != target.parent:
                _sync_folder(source.parent)

    def remove(self, path: str) -> None:
        with self._step(f"remove {path}"):
            try:
                target = self._inside(path)
                os.unlink(target)
            except (FileNotFoundError, NotADirectoryError):
                return
            _sync_folder(target.parent)

    def remove_all(self, paths: Sequence[str]) -> None:
        for path in paths:
            self.remove(path)

    def make_folder(self, path: str) -> None:
        with self._step(f"make the folder {path}"):
            target = self._inside(path)
            try:
                target.mkdir(mode=self._folder_mode)
            except FileExistsError:
                if not target.is_dir():
                    raise
                return
            target.chmod(self._folder_mode)
            _sync_folder(target.parent)

    def list(self, path: str) -> Iterator[Entry]:
        with self._step(f"list {path}"), os.scandir(os.fsencode(self._inside(path, follow=True))) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    yield Entry(name=os.fsdecode(entry.name), stat=_file_stat(entry.stat(follow_symlinks=False)))

    def describe(self) -> Mapping[str, object]:
        with self._step("look at the root"):
            space = os.statvfs(self._inside(".", follow=True))
        return {
            "root": str(self._root),
            "posix_rename": True,
            "exclusive_create": True,
            "free_bytes": space.f_bavail * space.f_frsize,
            "file_mode": f"{self._file_mode:04o}",
        }

    # one step, and what becomes of its failure

    @contextlib.contextmanager
    def _step(self, step: str) -> Iterator[None]:
        if self._over:
            raise StorageError(f"{self._where}: cannot {printable(step)}: the session is over")
        try:
            self._check_deadline()
            yield
        except AttemptError as error:
            raise self._ended(error) from error.__cause__
        except ValueError as exc:
            raise NotSupported(f"{self._where}: cannot {printable(step)}: {exc}") from exc
        except OSError as exc:
            raise self._ended(_translated(exc, self._where, printable(step))) from exc

    def _ended(self, error: AttemptError) -> AttemptError:
        self._over = self._over or isinstance(error, DeadlineError)
        return error

    def _check_deadline(self) -> None:
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise DeadlineError(
                f"{self._where}: the attempt took longer than its deadline of {self._deadline_seconds:g}s",
                hint="it is tried again; where the file is large, raise the endpoint's deadline",
            )

    # parts of steps

    def _inside(self, path: str, *, follow: bool = False) -> Path:
        """The real path of `path`. Raises PermissionRefused where it leads out of the root.

        The last part is not followed, unless `follow` says so.
        """
        if ".." in path.split("/") or path.startswith("/"):
            raise PermissionRefused(f"{self._where}: {printable(path)} leads out of {self._root}")
        root = self._real(self._root)
        whole = root / path
        real = self._real(whole) if follow or whole == root else self._real(whole.parent) / whole.name
        if real != root and root not in real.parents:
            raise PermissionRefused(
                f"{self._where}: {printable(path)} is a link that leads out of {self._root}",
                hint="point root at where the files are meant to go",
            )
        return real

    def _real(self, folder: Path) -> Path:
        try:
            return folder.resolve(strict=True)
        except (FileNotFoundError, NotADirectoryError) as exc:
            raise FileNotFoundError(errno.ENOENT, f"the folder {printable(str(folder))} does not exist") from exc
        except RuntimeError as exc:
            raise OSError(errno.ELOOP, f"{printable(str(folder))} is a link to itself") from exc

    @contextlib.contextmanager
    def _create(self, target: Path, path: str, *, exclusive: bool) -> Iterator[int]:
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_EXCL if exclusive else os.O_TRUNC)
        try:
            file = os.open(target, flags, self._file_mode & 0o700)
        except FileExistsError as exc:
            raise ForeignFile(
                f"{self._where}: cannot create {printable(path)}: it is there already",
                hint="see what is there; it was left as it is",
            ) from exc
        try:
            # The mode is the endpoint's, whatever umask this process was started with.
            with contextlib.suppress(PermissionError):
                os.fchmod(file, self._file_mode)
            yield file
        except OSError:
            # What is half written only takes room from a disk that may be full.
            if exclusive:
                target.unlink(missing_ok=True)
            raise
        finally:
            os.close(file)

    def _copy(self, content: Readable, file: int, progress: Progress | None) -> int:
        size = 0
        with Writeback(file) as writeback:
            while piece := content.read(_PIECE_BYTES):
                view = memoryview(piece)
                while view:
                    view = view[os.write(file, view) :]
                size += len(piece)
                writeback.wrote(len(piece))
                if progress is not None:
                    progress(size)
                self._check_deadline()
        return size

    @contextlib.contextmanager
    def _opened(self, path: str) -> Iterator[int]:
        file = os.open(self._inside(path, follow=True), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            yield file
        finally:
            os.close(file)


def _rename_exclusively(source: Path, target: Path) -> None:
    """Rename where the new name must not exist, in one step where the file system can; raises FileExistsError."""
    try:
        _rename_no_replace(source, target)
    except OSError as exc:
        if exc.errno not in _NO_SUCH_CALL:
            raise
        _link_and_unlink(source, target)


def _link_and_unlink(source: Path, target: Path) -> None:
    """A link, unlike a plain rename, refuses a name that exists."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as exc:
        if exc.errno not in (*_NO_SUCH_CALL, errno.EPERM):
            raise
        raise _NoExclusiveRename from exc
    source.unlink()


class _NoExclusiveRename(Exception):
    """This file system has no step that takes a name only where it is free."""


_NO_SUCH_CALL = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)
_AT_FDCWD, _RENAME_NOREPLACE = -100, 1


def _rename_no_replace(source: Path, target: Path) -> None:
    """renameat2(2) of Linux; OSError with ENOSYS elsewhere."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        raise OSError(errno.ENOSYS, "no renameat2")
    if call(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(source), None, str(target))


def _sync_folder(folder: Path) -> None:
    """Make names durable. Some file systems (shares) cannot, and then there is nothing more to be done."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    except OSError as exc:
        if exc.errno not in _NO_SUCH_CALL:
            raise
    finally:
        os.close(file)


def _file_stat(stat: os.stat_result) -> FileStat:
    return FileStat(size=stat.st_size, kind=_kind(stat.st_mode), modified=datetime.fromtimestamp(stat.st_mtime, UTC))


def _kind(mode: int) -> str:
    if modes.S_ISREG(mode):
        return "file"
    if modes.S_ISDIR(mode):
        return "folder"
    return "link" if modes.S_ISLNK(mode) else "other"


_KINDS: dict[int, type[AttemptError]] = {
    errno.ENOENT: FolderMissing,
    errno.ENOTDIR: FolderMissing,
    errno.EACCES: PermissionRefused,
    errno.EPERM: PermissionRefused,
    errno.EROFS: PermissionRefused,
    errno.EEXIST: ForeignFile,
    errno.EISDIR: ForeignFile,
    errno.ELOOP: ForeignFile,
    errno.ENOTEMPTY: ForeignFile,
    errno.ENAMETOOLONG: NotSupported,
    errno.EINVAL: NotSupported,
    errno.ENOTSUP: NotSupported,
    errno.EXDEV: NotSupported,
    errno.EMLINK: NotSupported,
}
_HINTS: dict[type[AttemptError], str] = {
    FolderMissing: "make the folder, or see create_folders, then retry",
    PermissionRefused: "give this user the right, then retry",
    ForeignFile: "see what is there; it was left as it is",
    StorageError: "check the disk; it is tried again",
}


def _translated(exc: OSError, where: str, step: str) -> AttemptError:
    """Whatever is not known to be permanent (a full or failing disk, a share that is away) may pass."""
    kind = _KINDS.get(exc.errno or 0, StorageError)
    return kind(f"{where}: cannot {step}: {exc.strerror or exc}", hint=_HINTS.get(kind))
