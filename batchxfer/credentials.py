"""Secrets: found where the configuration says, and hidden wherever a value could be shown."""

from __future__ import annotations

import hmac
import logging
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn

from batchxfer.definitions import SecretRef, Table
from batchxfer.errors import CredentialError
from batchxfer.redaction import hide

log = logging.getLogger("batchxfer")

_LARGEST = 64 * 1024
_EXPANDED = "CREDENTIALS_DIRECTORY"
_warned: set[Path] = set()


class Secret:
    """A text that shows itself only to `reveal()`.

    Not a dataclass on purpose: JSON writers would look inside one.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"

    def __str__(self) -> str:
        return "…"

    def __format__(self, spec: str) -> str:
        return "…"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not written anywhere")


def resolve(
    ref: SecretRef, base: Path, *, environment: Mapping[str, str] | None = None, public: bool = False
) -> Secret:
    """The secret that `ref` points to; a relative file is below `base`. Raises CredentialError.

    From now on it is taken out of every error and log, and a file that others can read is warned about; unless what it holds
    is `public` (a machine's name).
    """
    environment = os.environ if environment is None else environment
    if ref.env is not None:
        secret = _from_environment(ref.env, environment)
    else:
        secret = _from_file(path_of(ref.file or "", base, environment=environment), public)
    if not public:
        hide(secret.reveal())
    return secret


def without_secrets(config: Table, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment that a command of the configuration is given: without the variables that `config` names as secrets."""
    environment = os.environ if environment is None else environment
    hidden = {ref.env for ref in secrets_of(config)}
    return {name: value for name, value in environment.items() if name not in hidden}


def peek(ref: SecretRef, base: Path) -> str | None:
    """The secret where it can be read, without a word where not: so that it can be hidden before anybody uses it.

    A pipe is left alone: what is read from it is gone.
    """
    try:
        if ref.env is not None:
            return _from_environment(ref.env, os.environ).reveal()
        path = path_of(ref.file or "", base)
        return _from_file(path, public=True).reveal() if path.is_file() else None
    except (CredentialError, OSError, ValueError):
        return None


def secrets_of(value: object, key: str = "") -> Iterator[SecretRef]:
    """Every secret that a configuration, or a table of it, refers to; a machine's name is none."""
    if isinstance(value, SecretRef) and key != "environment":
        yield value
    elif isinstance(value, Table):
        for inner_key, inner in value:
            yield from secrets_of(inner, inner_key)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from secrets_of(inner)


def path_of(text: str, base: Path, *, environment: Mapping[str, str] | None = None) -> Path:
    """The path of a file, below `base` where it is relative; `$CREDENTIALS_DIRECTORY` in it is systemd's.

    Raises CredentialError where that is not set.
    """
    environment = os.environ if environment is None else environment
    if re.search(rf"\$({_EXPANDED}\b|\{{{_EXPANDED}\}})", text):
        folder = environment.get(_EXPANDED)
        if not folder:
            raise CredentialError(
                f"{text} cannot be read: {_EXPANDED} is not set",
                hint="it is set by systemd for a unit with LoadCredential=; by hand: export it, or name a file",
            )
        text = re.sub(rf"\$(?:{_EXPANDED}\b|\{{{_EXPANDED}\}})", lambda _: folder, text)
    return base / text


def _from_environment(name: str, environment: Mapping[str, str]) -> Secret:
    value = environment.get(name)
    if not value:
        state = "not set" if value is None else "empty"
        raise CredentialError(
            f"the environment variable {name} is {state}", hint=f"set {name} in the environment of batchxfer"
        )
    return Secret(value)


def _from_file(path: Path, public: bool) -> Secret:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_LARGEST + 1)
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "no such path"
        raise CredentialError(
            f"the secret file {path} cannot be read: {why}", hint="check the path, and that this user may read it"
        ) from exc
    if not public:
        _warn_about_readers(path, mode)
    return Secret(_text_of(path, content))


def _text_of(path: Path, content: bytes) -> str:
    if len(content) > _LARGEST:
        raise CredentialError(f"the secret file {path} is larger than {_LARGEST // 1024} KiB", hint="check the path")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        # `from None`: the exception carries the bytes.
        raise CredentialError(f"the secret file {path} is not UTF-8 text", hint="check the path") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise CredentialError(f"the secret file {path} is empty", hint="write the secret into it")
    return text


def _warn_about_readers(path: Path, mode: int) -> None:
    """Once a file: containers mount secrets so that others can read them, and that is no reason to stop."""
    if not mode & (stat.S_IRWXG | stat.S_IRWXO) or path in _warned:
        return
    _warned.add(path)
    log.warning(
        "the secret file %s can be read by others (mode %04o); chmod 600 it where that is not meant",
        path,
        stat.S_IMODE(mode),
        extra={"action": "secret_file_readable", "path": str(path)},
    )
