"""Logging in: keys, password, keyboard-interactive, several of them where a server wants that."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import paramiko
from paramiko.auth_handler import AuthHandler
from paramiko.common import cMSG_USERAUTH_INFO_RESPONSE

from batchxfer.credentials import Secret, path_of, resolve
from batchxfer.definitions import SecretRef
from batchxfer.endpoints.sftp.failures import Broken
from batchxfer.endpoints.sftp.keys import load_key, read_key_file
from batchxfer.endpoints.sftp.link import Transport
from batchxfer.endpoints.sftp.options import Options
from batchxfer.errors import AlgorithmError, CredentialError, LoginRefused, printable

KEY, PASSWORD, QUESTIONS = "publickey", "password", "keyboard-interactive"
_MOST_AGENT_KEYS = 5


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """What there is to log in with, read and ready; the repr shows no secret."""

    user: str
    key: paramiko.PKey | None
    password: Secret | None
    agent: bool


def read_credentials(options: Options, base: Path, where: str) -> Credentials:
    """Resolve the secrets of an endpoint. Raises CredentialError."""
    return Credentials(
        user=options.user,
        key=_read_key(options, base, where),
        password=_secret(options.password, base, where) if options.password else None,
        agent=options.agent,
    )


def _read_key(options: Options, base: Path, where: str) -> paramiko.PKey | None:
    if options.private_key is None:
        return None
    if isinstance(options.private_key, str):
        path = path_of(os.path.expanduser(options.private_key), base)
        content, what = read_key_file(path, where), str(path)
    else:
        content = _secret(options.private_key, base, where).reveal().encode("utf-8", "surrogateescape")
        what = f"in the environment variable {options.private_key.env}"
    passphrase = _secret(options.passphrase, base, where).reveal() if options.passphrase else None
    return load_key(content, passphrase, what=what, where=where)


def _secret(ref: SecretRef, base: Path, where: str) -> Secret:
    try:
        return resolve(ref, base)
    except CredentialError as error:
        raise CredentialError(f"{where}: {error.message}", hint=error.hint) from error


class _Refusal(Exception):
    """The server did not take one method; `allowed` are those that may go on, None where it did not say."""

    def __init__(self, allowed: Sequence[str] | None) -> None:
        super().__init__(allowed)
        self.allowed = allowed


class _Handler(AuthHandler):  # type: ignore[misc]
    """Asks for the service once, then tries methods: a second service request makes some servers hang up.

    Methods are sent from the caller's thread, so that what goes wrong while signing is raised there.
    """

    def __init__(self, transport: Transport) -> None:
        super().__init__(transport)
        self.password_expired = False
        self._accepted = threading.Event()

    def request_service(self) -> None:
        super()._request_auth()
        while not self._accepted.wait(0.05):
            if not self.transport.is_active():
                raise self.transport.get_exception() or Broken("the server closed the connection")

    def _parse_service_accept(self, m: paramiko.Message) -> None:
        self._accepted.set()

    def _request_auth(self) -> None:
        accepted = paramiko.Message()
        accepted.add_string("ssh-userauth")
        accepted.rewind()
        super()._parse_service_accept(accepted)

    def _parse_userauth_info_request(self, m: paramiko.Message) -> None:
        if self.auth_method == PASSWORD:
            # The same message number asks for a new password (RFC 4252, 8).
            self.password_expired = True
            self.authenticated = False
            self.auth_event.set()
            return
        # Title, instructions and language are for people; a prompt may be in any encoding.
        m.get_string(), m.get_string(), m.get_string()
        prompts = [(m.get_string(), m.get_boolean()) for _ in range(m.get_int())]
        answers = self.interactive_handler("", "", prompts)
        reply = paramiko.Message()
        reply.add_byte(cMSG_USERAUTH_INFO_RESPONSE)
        reply.add_int(len(answers))
        for answer in answers:
            reply.add_string(answer)
        self.transport._send_message(reply)


@dataclass(frozen=True, kw_only=True)
class _Method:
    name: str
    send: Callable[[_Handler, threading.Event], None]


def log_in(transport: Transport, credentials: Credentials, where: str) -> tuple[str, ...]:
    """Log in, and return the methods that it took. Raises LoginRefused, CredentialError, AlgorithmError; Broken and what
    paramiko raises where the link is gone."""
    transport.auth_handler = handler = _Handler(transport)
    handler.request_service()
    tried: list[str] = []
    with contextlib.closing(_Agent() if credentials.agent else _NoAgent()) as agent:
        methods = list(_methods(credentials, agent.keys(), where))
        return _try(transport, handler, methods, tried, credentials, where)


def _try(
    transport: Transport,
    handler: _Handler,
    methods: list[_Method],
    tried: list[str],
    credentials: Credentials,
    where: str,
) -> tuple[str, ...]:
    allowed: Sequence[str] | None = None
    taken: list[str] = []
    while method := _next(methods, allowed):
        methods.remove(method)
        tried.append(method.name)
        try:
            allowed = _attempt(transport, handler, method, where)
        except _Refusal as refusal:
            if refusal.allowed is not None:
                allowed = refusal.allowed
            elif method.name == PASSWORD:
                # The password is wrong: asking again by questions would only count as one more failure.
                methods[:] = [other for other in methods if other.name != QUESTIONS]
            if not transport.is_active():
                raise _refused(transport, handler, tried, allowed, credentials, where) from refusal
            continue
        taken.append(method.name)
        if not allowed:
            return tuple(taken)
    raise _refused(transport, handler, tried, allowed, credentials, where)


def _next(methods: Sequence[_Method], allowed: Sequence[str] | None) -> _Method | None:
    return next((method for method in methods if allowed is None or method.name in allowed), None)


def _attempt(transport: Transport, handler: _Handler, method: _Method, where: str) -> Sequence[str]:
    """The methods that must follow; none when logged in. Raises _Refusal."""
    event = threading.Event()
    try:
        method.send(handler, event)
        return tuple(handler.wait_for_response(event))
    except paramiko.BadAuthenticationType as exc:
        raise _Refusal(exc.allowed_types) from exc
    except paramiko.AuthenticationException as exc:
        if "agree on a pubkey algorithm" in str(exc):
            raise AlgorithmError(
                f"{where}: the server takes signatures of this key only with algorithms that are refused here as weak",
                hint="log in with an ed25519 key, or set legacy = true (SHA-1 also needs paramiko 4: "
                "pip install 'paramiko<5')",
            ) from exc
        if not transport.is_active() and not _said_no(transport):
            said = f": {transport.hung_up[1]}" if transport.hung_up else ""
            raise Broken(f"the server hung up during the login{said}") from exc
        raise _Refusal(None) from exc


def _said_no(transport: Transport) -> bool:
    """Whether the server hung up because of the login itself, as OpenSSH does after too many failures."""
    if transport.hung_up is None:
        return False
    code, text = transport.hung_up
    return code == 14 or "authenticat" in text.lower()


def _refused(
    transport: Transport,
    handler: _Handler,
    tried: Sequence[str],
    allowed: Sequence[str] | None,
    credentials: Credentials,
    where: str,
) -> LoginRefused | CredentialError:
    if not tried:
        return CredentialError(f"{where}: the ssh-agent has no key to log in with", hint="ssh-add KEY, then retry")
    message = f"{where}: the server refused the login of {printable(credentials.user)!r} (tried: {', '.join(tried)}"
    others = [printable(method) for method in allowed or () if method]
    message += f"; it takes: {', '.join(others)})" if others else ")"
    if handler.password_expired:
        return LoginRefused(f"{message}: it asks for a new password", hint="change the password there, then retry")
    if transport.hung_up is not None and transport.hung_up[1]:
        message += f": {printable(transport.hung_up[1])}"
    return LoginRefused(message, hint="check user, key and password with the partner")


def _methods(credentials: Credentials, agent_keys: Sequence[paramiko.PKey], where: str) -> Iterator[_Method]:
    user = credentials.user
    keys = ([credentials.key] if credentials.key else []) + list(agent_keys)
    for key in keys:
        yield _Method(name=KEY, send=lambda handler, event, key=key: handler.auth_publickey(user, key, event))  # type: ignore[misc]
    password = credentials.password
    if password is not None:
        text = password.reveal()
        yield _Method(name=PASSWORD, send=lambda handler, event: handler.auth_password(user, text, event))
        answers = _Answers(text)
        yield _Method(name=QUESTIONS, send=lambda handler, event: handler.auth_interactive(user, answers, event))


class _Answers:
    """Answers the hidden question of a server with the password, once: a wrong one must not lock the account."""

    def __init__(self, password: str) -> None:
        self._password = password
        self._told = False

    def __call__(self, title: str, instructions: str, prompts: Sequence[tuple[bytes, bool]]) -> list[str]:
        answers = []
        for _, shown in prompts:
            hidden = not shown or len(prompts) == 1
            answers.append(self._password if hidden and not self._told else "")
            self._told = self._told or hidden
        return answers


class _NoAgent:
    def keys(self) -> list[paramiko.PKey]:
        return []

    def close(self) -> None:
        pass


class _Agent(_NoAgent):
    """The running ssh-agent; none running has no keys. Servers count keys as failures, so few are tried."""

    def __init__(self) -> None:
        self._agent: paramiko.Agent | None = None
        if _agent_answers():
            with contextlib.suppress(paramiko.SSHException, OSError):
                self._agent = paramiko.Agent()

    def keys(self) -> list[paramiko.PKey]:
        return [] if self._agent is None else list(self._agent.get_keys())[:_MOST_AGENT_KEYS]

    def close(self) -> None:
        if self._agent is not None:
            self._agent.close()


def _agent_answers() -> bool:
    """Asked beforehand, since paramiko leaves its socket open where nobody answers."""
    address = os.environ.get("SSH_AUTH_SOCK")
    if not address:
        return False
    with socket.socket(socket.AF_UNIX) as sock, contextlib.suppress(OSError):
        sock.connect(address)
        return True
    return False
