"""From keys in a file to a session: the socket, the server's key, the login, the sftp subsystem, in this order.

Nothing of ours is sent before the server's key was found among those that are pinned.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import paramiko

from batchxfer.credentials import path_of
from batchxfer.endpoints.sftp import failures
from batchxfer.endpoints.sftp.failures import Broken, Refused
from batchxfer.endpoints.sftp.hostkeys import HostKey, Judgement, Pins, read_known_hosts
from batchxfer.endpoints.sftp.link import Link, open_socket
from batchxfer.endpoints.sftp.login import Credentials, log_in, read_credentials
from batchxfer.endpoints.sftp.looks import Root
from batchxfer.endpoints.sftp.options import Options
from batchxfer.endpoints.sftp.session import Server, SftpSession
from batchxfer.endpoints.sftp.watchdog import Verdict, Watchdog
from batchxfer.endpoints.sftp.wire import Wire
from batchxfer.errors import AlgorithmError, AttemptError, CredentialError, HostKeyError, NotSupported, printable

# The protocol asks every server to do the requests for a file in order; of this one it is known.
IN_ORDER = "SSH-2.0-OpenSSH"
# Behind OpenSSH's sshd there may be another SFTP server (MySecureShell, whose rename overwrites). OpenSSH's own has had both of
# these since 2014, and makes a plain rename by a link, which refuses a name that exists.
REFUSES_TAKEN_NAMES = frozenset({"posix-rename@openssh.com", "fsync@openssh.com"})


def connect(name: str, options: Options, base: Path, key_types: Sequence[str]) -> tuple[SftpSession, str]:
    """A session that is logged in, and the type of the server's key. `key_types`: those that were right before."""
    where = f"endpoint {name!r}"
    pins = read_pins(options, base, where)
    credentials = read_credentials(options, base, where)
    connection = _Connection(where, options)
    try:
        shown = connection.find_server(pins, key_types)
        session = connection.open_session(credentials, shown)
    except BaseException:
        connection.close()
        raise
    return session, shown.type or ""


def read_pins(options: Options, base: Path, where: str) -> Pins:
    """The keys that the server may show. Raises CredentialError where known_hosts cannot be read."""
    pins = Pins(keys=tuple(HostKey(type=None, fingerprint=text) for text in options.host_key))
    if options.known_hosts is None:
        return pins
    path = path_of(os.path.expanduser(options.known_hosts), base)
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise CredentialError(
            f"{where}: known_hosts {path} cannot be read: {exc.strerror}",
            hint=f"check the path, or make the file: ssh-keyscan -p {options.port} {options.host} > {path}, "
            "then compare the fingerprints",
        ) from exc
    return pins | read_known_hosts(content, options.host, options.port)


class _Connection:
    """A connection on its way. One watchdog sees to it from the first packet."""

    def __init__(self, where: str, options: Options) -> None:
        self._where = where
        self._options = options
        self._address = f"{options.host}:{options.port}"
        self._step_seconds = options.connect_timeout.total_seconds()
        self._deadline_seconds = options.deadline.total_seconds()
        self._link: Link | None = None
        self._watchdog = Watchdog(stall_seconds=options.stall_timeout.total_seconds(), end=self._close_link)
        self._watchdog.begin(self._deadline_seconds)

    def close(self) -> None:
        self._close_link()
        self._watchdog.close()

    def _close_link(self) -> None:
        link = self._link
        if link is not None:
            link.close()

    def find_server(self, pins: Pins, key_types: Sequence[str]) -> HostKey:
        """Exchange keys, and come back with a key that is pinned. Raises HostKeyError.

        A server shows the first type of key that both sides know, so where a fingerprint does not say of what type its key
        is, the server is asked for its other keys too.
        """
        order = pins.order()
        first = [*key_types, *(type_ for type_ in order if type_ not in key_types)]
        shown, offered = self._meet(first)
        judgement = pins.judge(shown)
        others = [type_ for type_ in order if type_ in offered and type_ != shown.type]
        if judgement is Judgement.UNKNOWN and pins.any_type_possible:
            for type_ in others:
                other, _ = self._meet([type_])
                if pins.judge(other) is Judgement.PINNED:
                    return other
        if judgement is Judgement.PINNED:
            return shown
        raise _unpinned(shown, pins, judgement, self._where, self._options)

    def _meet(self, key_types: Sequence[str]) -> tuple[HostKey, tuple[str, ...]]:
        """The key that the server shows when asked for these types, and the types that it has."""
        self._close_link()
        link = self._open_link(key_types)
        with self._step("agree on keys", "the key exchange"):
            shown = link.exchange_keys()
        return shown, link.transport.offered_key_types or ()

    def _open_link(self, key_types: Sequence[str]) -> Link:
        limit = min(self._step_seconds, self._watchdog.seconds_left())
        try:
            sock = open_socket(self._options.host, self._options.port, limit)
        except OSError as exc:
            raise self._unreachable(exc, limit) from exc
        try:
            link = self._link = Link(sock, key_types, legacy=self._options.legacy)
        except BaseException:
            sock.close()
            raise
        if self._watchdog.verdict is not None:
            # The deadline passed while there was no link to close.
            link.close()
        return link

    def _unreachable(self, exc: OSError, limit: float) -> AttemptError:
        step = f"connect to {self._address}"
        if self._watchdog.seconds_left() <= 0:
            verdict = Verdict(what="the attempt", seconds=self._deadline_seconds, deadline=True)
            return failures.from_break(exc, verdict, where=self._where, step=step)
        return failures.unreachable(exc, limit, where=self._where, step=step)

    def open_session(self, credentials: Credentials, shown: HostKey) -> SftpSession:
        link = self._link
        if link is None:
            raise AssertionError("no link")
        with self._step("log in", "the login"):
            methods = log_in(link.transport, credentials, self._where)
        with self._step("start SFTP", "the sftp subsystem"):
            wire, version, extensions = self._start_sftp(link)
        in_order = link.transport.remote_version.startswith(IN_ORDER)
        return SftpSession(
            where=self._where,
            root=Root(self._options.root),
            deadline_seconds=self._deadline_seconds,
            link=link,
            wire=wire,
            watchdog=self._watchdog,
            server=Server(
                key=shown,
                methods=methods,
                version=version,
                extensions=extensions,
                in_order=in_order,
                refuses_taken_names=in_order and extensions.keys() >= REFUSES_TAKEN_NAMES,
            ),
        )

    def _start_sftp(self, link: Link) -> tuple[Wire, int, dict[str, bytes]]:
        try:
            wire = Wire(link.open_channel(), self._watchdog)
        except (paramiko.SSHException, Broken) as exc:
            if not link.alive or self._watchdog.verdict is not None:
                raise
            raise NotSupported(
                f"{self._where}: the server lets {self._options.user!r} log in, but has no SFTP for this user: {exc}",
                hint="ask the partner to enable SFTP for this user",
            ) from exc
        version, extensions = wire.start()
        return wire, version, extensions

    @contextlib.contextmanager
    def _step(self, step: str, what: str) -> Iterator[None]:
        try:
            with self._watchdog.step(what, self._step_seconds):
                yield
        except AttemptError:
            if (verdict := self._watchdog.verdict) is not None:
                raise failures.from_break(Broken("closed"), verdict, where=self._where, step=self._at(step)) from None
            raise
        except paramiko.IncompatiblePeer as exc:
            raise _incompatible(exc, self._where, self._address, legacy=self._options.legacy) from exc
        except Exception as exc:
            if not isinstance(exc, Refused) and not failures.is_of_the_link(exc):
                raise
            verdict = self._watchdog.verdict
            raise failures.from_break(exc, verdict, where=self._where, step=self._at(step)) from exc

    def _at(self, step: str) -> str:
        return f"{step} at {self._address}"


def _incompatible(exc: Exception, where: str, address: str, *, legacy: bool) -> AlgorithmError:
    reason = printable(str(exc)).removeprefix("Incompatible ssh peer ").strip("()")
    known = "every algorithm that paramiko has" if legacy else "every algorithm that is not weak"
    return AlgorithmError(
        f"{where}: {address} and this machine have no common algorithm: {reason}; {known} was offered",
        hint="SHA-1 needs paramiko 4: pip install 'paramiko<5'"
        if legacy
        else "ask the partner for stronger algorithms, or set legacy = true (SHA-1 also needs paramiko 4: "
        "pip install 'paramiko<5')",
    )


def _unpinned(shown: HostKey, pins: Pins, judgement: Judgement, where: str, options: Options) -> HostKeyError:
    address = options.host if options.port == 22 else f"{options.host}:{options.port}"
    hint = (
        f"compare with what the partner says by another way: batchxfer hostkey {address}. "
        "If they changed their key, change the pin; if not, somebody may be in between"
    )
    start = f"{where}: {address} shows the key {shown}"
    if judgement is Judgement.REVOKED:
        return HostKeyError(f"{start}, which {options.known_hosts} marks as revoked; nothing was sent", hint=hint)
    if pins.keys:
        pinned = ", ".join(dict.fromkeys(map(str, pins.keys)))
        return HostKeyError(f"{start}, and pinned is {pinned}; nothing was sent", hint=hint)
    reason = f"{options.known_hosts} has no key of it"
    if pins.authorities:
        reason = (
            f"{options.known_hosts} has only a certificate authority for it, and host certificates are not supported"
        )
    return HostKeyError(f"{start}, and {reason}; nothing was sent", hint=hint)
