"""Private keys: read from a path or a text, of every type and format that OpenSSH writes, encrypted ones too."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_ssh_private_key,
)

from batchxfer.errors import CredentialError
from batchxfer.redaction import hide

_CLASSES = (
    (rsa.RSAPrivateKey, paramiko.RSAKey),
    (ec.EllipticCurvePrivateKey, paramiko.ECDSAKey),
    (ed25519.Ed25519PrivateKey, paramiko.Ed25519Key),
)


def read_key_file(path: Path, where: str) -> bytes:
    """The text of a private key that nobody else can read. Raises CredentialError; `where` is the endpoint."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(1024 * 1024)
    except OSError as exc:
        raise CredentialError(
            f"{where}: the private key {path} cannot be read: {exc.strerror}",
            hint="check the path in private_key, and that this user may read it",
        ) from exc
    if mode & 0o077 and _is_public_key(content):
        raise _not_private(str(path), where)
    if mode & 0o077:
        raise CredentialError(
            f"{where}: the private key {path} can be read or changed by others (mode {mode:04o}), so it is not used",
            hint=f"chmod 600 {path}",
        )
    hide(content.decode("utf-8", "surrogateescape"))
    return content


def load_key(content: bytes, passphrase: str | None, *, what: str, where: str) -> paramiko.PKey:
    """The key in `content`; `what` names where it came from. Raises CredentialError, which never shows the content."""
    try:
        key = _decrypt(content, passphrase.encode("utf-8", "surrogateescape") if passphrase else None)
    except TypeError as exc:
        raise CredentialError(
            f"{where}: the private key {what} is encrypted, and there is no passphrase",
            hint='set passphrase = { env = "NAME" } or { file = "PATH" }',
        ) from exc
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise _unreadable(content, passphrase, what, where) from exc
    for kind, paramiko_class in _CLASSES:
        if isinstance(key, kind):
            # Written again in the one format that paramiko reads for every type; it stays in memory.
            text = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
            return paramiko_class.from_private_key(io.StringIO(text))
    raise CredentialError(
        f"{where}: the private key {what} is of a type that cannot be used",
        hint="use an ed25519, ecdsa or rsa key: ssh-keygen -t ed25519",
    )


def _decrypt(content: bytes, passphrase: bytes | None) -> object:
    """Raises TypeError where a passphrase is missing, ValueError where the key is damaged or the passphrase wrong."""
    content = content.strip() + b"\n"
    load = load_ssh_private_key if b"BEGIN OPENSSH PRIVATE KEY" in content else load_pem_private_key
    try:
        return load(content, passphrase)
    except TypeError:
        if passphrase is None:
            raise
        # A passphrase that is not needed does no harm.
        return load(content, None)


def _unreadable(content: bytes, passphrase: str | None, what: str, where: str) -> CredentialError:
    if content.startswith(b"PuTTY-User-Key-File"):
        return CredentialError(
            f"{where}: the private key {what} is in PuTTY's format",
            hint="write it as OpenSSH does: puttygen KEY.ppk -O private-openssh -o KEY",
        )
    if b"PRIVATE KEY" not in content:
        return _not_private(what, where)
    reason = "is damaged, or the passphrase is wrong" if passphrase else "is damaged, or of an unknown kind"
    return CredentialError(f"{where}: the private key {what} {reason}", hint="try: ssh-keygen -y -f KEY")


def _is_public_key(content: bytes) -> bool:
    return b"PRIVATE KEY" not in content and content.lstrip().startswith(
        (b"ssh-", b"ecdsa-", b"sk-", b"-----BEGIN PUBLIC")
    )


def _not_private(what: str, where: str) -> CredentialError:
    said = f"what is {what}" if what.startswith("in ") else what
    return CredentialError(
        f"{where}: {said} is not a private key", hint="give the private key, not the .pub file beside it"
    )
