"""Which algorithms are offered to a server: strong ones, the fastest first; weak ones only where `legacy` allows them."""

from __future__ import annotations

from collections.abc import Sequence

import paramiko

CIPHERS = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
)
MACS = (
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
    "hmac-sha2-256",
    "hmac-sha2-512",
)
KEY_EXCHANGES = (
    "mlkem768x25519-sha256",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group-exchange-sha256",
    "diffie-hellman-group14-sha256",
)
SIGNATURES = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}
"""The signature algorithms of a key type; a type that is not here is its own."""

WEAK_SIGNATURES = ("ssh-rsa", "ssh-dss")


def restrict(transport: paramiko.Transport, key_types: Sequence[str], *, legacy: bool) -> None:
    """Offer only what is allowed, host keys of `key_types` in that order."""
    offered = transport.get_security_options()
    offered.ciphers = _choose(CIPHERS, offered.ciphers, legacy=legacy)
    offered.digests = _choose(MACS, offered.digests, legacy=legacy)
    offered.kex = _choose(KEY_EXCHANGES, offered.kex, legacy=legacy)
    offered.key_types = _signatures(key_types, offered.key_types, legacy=legacy)


def disabled(*, legacy: bool) -> dict[str, tuple[str, ...]]:
    """What paramiko must not sign a login with."""
    return {} if legacy else {"pubkeys": WEAK_SIGNATURES}


def key_type(signature: str) -> str:
    """The type of the key that a signature algorithm is made with."""
    return next((type_ for type_, algorithms in SIGNATURES.items() if signature in algorithms), signature)


def _choose(strong: Sequence[str], known: Sequence[str], *, legacy: bool) -> tuple[str, ...]:
    chosen = tuple(name for name in strong if name in known)
    return chosen + tuple(name for name in known if name not in chosen) if legacy else chosen


def _signatures(key_types: Sequence[str], known: Sequence[str], *, legacy: bool) -> tuple[str, ...]:
    wanted = [name for type_ in key_types for name in (*SIGNATURES.get(type_, ()), type_)]
    return tuple(name for name in wanted if name in known and (legacy or name not in WEAK_SIGNATURES))
