"""What one endpoint can do, found out with temporary files of our own that are removed again."""

from __future__ import annotations

import io
import os
import statistics
import time
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from batchxfer.cli.documents import error_of
from batchxfer.cli.words import without_retry
from batchxfer.errors import AttemptError, BatchxferError, WrongEnvironment

if TYPE_CHECKING:
    from batchxfer.config import Project
    from batchxfer.definitions import EndpointOptions
    from batchxfer.ports import Session

CONTENT = b"batchxfer probe\n"
OTHER = b"batchxfer probe: the other file\n"
MOST_LISTED = 1000
ROUND_TRIPS = 5

T = TypeVar("T")


def probe_endpoint(loaded: Project, name: str, folder: str) -> dict[str, Any]:
    """`{endpoint, connected, found, advice, error}`: what is known after looking, and what to set."""
    answer: dict[str, Any] = {"endpoint": name, "connected": False, "found": {}, "advice": [], "error": None}
    try:
        _check_environment(loaded, name)
        started = time.monotonic()
        session = _connect(loaded, name)
    except AttemptError as error:
        error.hint = without_retry(error.hint)
        return {**answer, "error": error_of(error.info)}
    try:
        look = Look(session, loaded.config.endpoints[name], folder.strip("/"))
        look.found["connecting_ms"] = _milliseconds(started)
        look.at_everything()
    finally:
        session.close()
    return {**answer, "connected": True, "found": look.found, "advice": look.advice}


def _check_environment(loaded: Project, name: str) -> None:
    from batchxfer.wiring import environment

    wanted = loaded.config.endpoints[name].environment
    here = environment(loaded) if wanted is not None else None
    if wanted != here:
        raise WrongEnvironment(
            f"endpoint {name!r} is for environment {wanted!r}, and this machine "
            + (f"says {here!r}: " if here else "has none: ")
            + "nothing was connected to",
            hint="probe it where it belongs, or set `environment` in config.toml",
        )


def _connect(loaded: Project, name: str) -> Session:
    from batchxfer.wiring import Toolbox

    return Toolbox(loaded).endpoint(name).connect()


def _milliseconds(since: float) -> float:
    return round((time.monotonic() - since) * 1000, 1)


class Look:
    """One look at a server. `found` holds what was seen, `advice` what to set because of it."""

    def __init__(self, session: Session, options: EndpointOptions, folder: str) -> None:
        self.found: dict[str, Any] = {}
        self.advice: list[str] = []
        self._session = session
        self._options = options
        self._folder = folder
        self._token = os.urandom(6).hex()
        self._made: list[str] = []

    def at_everything(self) -> None:
        """Each step on its own: one that the server refuses says so, and the next is tried."""
        self.found.update(self._try("describe", lambda: dict(self._session.describe())) or {})
        self.found["root"] = self._options.root
        self._round_trip()
        self._listing()
        try:
            if self._write():
                self._look_back()
                self._rename()
                self._replace()
        finally:
            self._clean_up()

    # --- steps ---

    def _round_trip(self) -> None:
        times = []
        for _ in range(ROUND_TRIPS):
            started = time.monotonic()
            self._try("stat", lambda: self._session.stat(self._folder or "."))
            times.append(_milliseconds(started))
        self.found["round_trip_ms"] = statistics.median(times)

    def _listing(self) -> None:
        names = self._try("listing", lambda: list(islice(self._session.list(self._folder or "."), MOST_LISTED + 1)))
        if names is not None:
            self.found["listing"] = f"{MOST_LISTED}+ names" if len(names) > MOST_LISTED else f"{len(names)} names"

    def _write(self) -> bool:
        path = self._name("a")
        if self._try("write", lambda: self._upload(path, CONTENT, exclusive=True)) is None:
            self.advice.append(
                f"no file could be written into {self._folder or 'the root'}: name a folder that takes files with --folder"
            )
            return False
        self.found["write"] = True
        self.found["exclusive_create"] = self._is_refused(lambda: self._upload(path, CONTENT, exclusive=True))
        return True

    def _look_back(self) -> None:
        seen = self._try("stat", lambda: self._session.stat(self._name("a")))
        self.found["stat"] = seen is not None and seen.size == len(CONTENT)
        content = self._try("read_back", self._read_back)
        if content is not None:
            self.found["read_back"] = content == CONTENT
        if not self.found["stat"]:
            self.advice.append('the server does not show what was written: verify = "reply" in the job\'s [file]')
        elif self.found["read_back"] is not True:
            self.advice.append('files cannot be read back: verify = "size" (the default) is the most that is possible')

    def _read_back(self) -> bytes:
        """What the server gives back, no more of it than it takes to see that it is something else."""
        content = b""
        for piece in self._session.read(self._name("a")):
            content += piece
            if len(content) > len(CONTENT):
                break
        return content

    def _rename(self) -> None:
        old, new, other = self._name("a"), self._name("b"), self._name("c")
        self._made.append(new)
        if not self._works("rename", lambda: self._plain_rename(old, new)):
            self.advice.append(
                'the server has no rename: publish = "direct" (a weaker promise: half files can be seen)'
            )
            return
        if self._try("rename_over", lambda: self._upload(other, OTHER, exclusive=True)) is None:
            return
        refused = self._is_refused(lambda: self._plain_rename(other, new))
        self.found["rename_over"] = "refused" if refused else "overwrites"
        if not refused:
            self.advice.append(
                "a plain rename overwrites here: batchxfer looks first, but a file that the partner puts there in between "
                "would be lost; agree on names that only you write"
            )

    def _replace(self) -> None:
        if self.found.get("rename") is not True:
            return
        over, target = self._name("d"), self._name("b")
        if self._try("posix_rename", lambda: self._upload(over, OTHER, exclusive=True)) is None:
            return
        if not self._works("posix_rename", lambda: self._session.replace(over, target)):
            self.advice.append('no atomic replacing here: on_exists = "replace" cannot be used')

    def _clean_up(self) -> None:
        left = [path for path in self._made if not self._is_removed(path)]
        self.found["remove"] = not left
        if left:
            self.advice.append(f"these could not be removed, please do: {', '.join(left)}")

    # --- small steps ---

    def _name(self, letter: str) -> str:
        from batchxfer.paths import temporary_path

        whole = f"{self._folder}/batchxfer-probe" if self._folder else "batchxfer-probe"
        return temporary_path(self._options.temp_name, whole, f"{self._token}{letter}")

    def _upload(self, path: str, content: bytes, *, exclusive: bool) -> int:
        if path not in self._made:
            self._made.append(path)
        return self._session.upload(path, io.BytesIO(content), exclusive=exclusive)

    def _plain_rename(self, old: str, new: str) -> None:
        """The server's own rename; a port's rename looks first."""
        rename: Callable[[str, str], None] = getattr(self._session, "rename_without_looking", self._session.rename)
        rename(old, new)

    def _try(self, what: str, step: Callable[[], T]) -> T | None:
        """The step's answer; None where the server refused, which is then what was found."""
        try:
            return step()
        except BatchxferError as error:
            self.found[what] = f"no: {error.message}"
            return None

    def _works(self, what: str, step: Callable[[], None]) -> bool:
        """Whether the step went through, which is then what was found."""

        def done() -> bool:
            step()
            return True

        if self._try(what, done) is None:
            return False
        self.found[what] = True
        return True

    def _is_refused(self, step: Callable[[], object]) -> bool:
        try:
            step()
        except AttemptError:
            return True
        return False

    def _is_removed(self, path: str) -> bool:
        try:
            self._session.remove(path)
        except AttemptError:
            return False
        try:
            return self._session.stat(path) is None
        except AttemptError:
            # A mailbox that lets nobody look took the removal.
            return True
