"""Which host keys are pinned for a server: fingerprints from the configuration, keys from a known_hosts file.

Pure: bytes in, a judgement out. The rules of known_hosts are those of sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT".
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import hmac
import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

KEY_TYPES = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
)
"""The types of host keys that can be used, the preferred first."""


class Judgement(Enum):
    PINNED = "pinned"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class HostKey:
    """A server's key. `type` is as in KEY_TYPES, or None where only the fingerprint is known."""

    type: str | None
    fingerprint: str

    def __str__(self) -> str:
        return self.fingerprint if self.type is None else f"{self.type} {self.fingerprint}"


@dataclass(frozen=True, kw_only=True)
class Pins:
    """The keys that a server may show, and those that it must not. `authorities`: certificate authorities named for it."""

    keys: tuple[HostKey, ...] = ()
    revoked: frozenset[str] = frozenset()
    authorities: int = 0

    def __or__(self, other: Pins) -> Pins:
        return Pins(
            keys=self.keys + other.keys,
            revoked=self.revoked | other.revoked,
            authorities=self.authorities + other.authorities,
        )

    def judge(self, shown: HostKey) -> Judgement:
        if shown.fingerprint in self.revoked:
            return Judgement.REVOKED
        pinned = any(key.fingerprint == shown.fingerprint for key in self.keys)
        return Judgement.PINNED if pinned else Judgement.UNKNOWN

    def order(self) -> tuple[str, ...]:
        """All key types, those that are pinned first: a server shows the first of them that it has."""
        pinned = {key.type for key in self.keys if key.fingerprint not in self.revoked}
        return tuple(sorted(KEY_TYPES, key=lambda type_: type_ not in pinned))

    @property
    def any_type_possible(self) -> bool:
        """Whether a pin says nothing of the type of its key, so that every key of the server may be the one."""
        return any(key.type is None for key in self.keys)


def fingerprint(blob: bytes) -> str:
    """`SHA256:…` of a public key, as `ssh-keygen -l` prints it."""
    digest = hashlib.sha256(blob).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def read_fingerprint(text: str) -> str:
    """`text` as `fingerprint` writes it. Raises ValueError saying what a fingerprint looks like."""
    match = re.fullmatch(r"SHA256:([A-Za-z0-9+/]{43})=?", text.strip())
    if match is None:
        raise ValueError(
            f"{_short(text)!r} is not a fingerprint: SHA256: and 43 characters, as ssh-keygen -l prints it"
        )
    return "SHA256:" + base64.b64encode(base64.b64decode(match[1] + "=")).decode().rstrip("=")


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "…"


def read_known_hosts(content: bytes, host: str, port: int) -> Pins:
    """What a known_hosts file says of `host` at `port`.

    Where no line names the port, the lines of the host itself count, as with OpenSSH. Lines that cannot be read are passed
    over; several keys of one type all count.
    """
    lines = list(_lines(content))
    if port == 22:
        return _pins(lines, host.lower())
    named = _pins(lines, f"[{host.lower()}]:{port}")
    plain = _pins(lines, host.lower())
    if named.keys or named.authorities:
        return Pins(keys=named.keys, revoked=named.revoked | plain.revoked, authorities=named.authorities)
    return named | plain


@dataclass(frozen=True, kw_only=True)
class _Line:
    marker: bytes
    hosts: bytes
    type: str
    blob: bytes


def _lines(content: bytes) -> Iterator[_Line]:
    for text in content.splitlines():
        fields = text.split()
        if not fields or fields[0].startswith(b"#"):
            continue
        marker = fields.pop(0) if fields[0].startswith(b"@") else b""
        line = _line(marker, fields)
        if line is not None:
            yield line


def _line(marker: bytes, fields: list[bytes]) -> _Line | None:
    if len(fields) < 3:
        return None
    try:
        blob = base64.b64decode(fields[2], validate=True)
        (length,) = struct.unpack_from(">I", blob)
    except (binascii.Error, struct.error):
        return None
    if blob[4 : 4 + length] != fields[1]:
        return None
    return _Line(marker=marker, hosts=fields[0], type=fields[1].decode("ascii", "replace"), blob=blob)


def _pins(lines: Iterable[_Line], host: str) -> Pins:
    keys, revoked, authorities = [], set(), 0
    for line in lines:
        if not _names(line.hosts, host):
            continue
        if line.marker == b"":
            keys.append(HostKey(type=line.type, fingerprint=fingerprint(line.blob)))
        elif line.marker == b"@revoked":
            revoked.add(fingerprint(line.blob))
        elif line.marker == b"@cert-authority":
            authorities += 1
    return Pins(keys=tuple(keys), revoked=frozenset(revoked), authorities=authorities)


def _names(patterns: bytes, host: str) -> bool:
    """Whether a line's first field names `host`: a hashed name, or patterns with `*`, `?` and `!`."""
    if patterns.startswith(b"|1|"):
        return _is_hash_of(patterns, host)
    named = False
    for pattern in patterns.decode("utf-8", "surrogateescape").lower().split(","):
        if not _matches(pattern.removeprefix("!"), host):
            continue
        if pattern.startswith("!"):
            return False
        named = True
    return named


def _is_hash_of(hashed: bytes, host: str) -> bool:
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in hashed[3:].split(b"|"))
    except (binascii.Error, ValueError):
        return False
    # The file format is defined with SHA-1; what is protected by it is a host's name, not the key.
    return hmac.compare_digest(hmac.new(salt, host.encode(), hashlib.sha1).digest(), digest)


def _matches(pattern: str, host: str) -> bool:
    # fnmatch's expressions do not try every way to share out a text among many stars; brackets mean nothing to OpenSSH.
    return fnmatch.fnmatchcase(host, pattern.replace("[", "[[]"))
