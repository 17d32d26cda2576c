"""Secrets that are easily recognised, and a search for them in everything that batchxfer says or writes."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from pathlib import Path

KINDS = (
    "password",
    "wrongpassword",
    "passphrase",
    "databasepassword",
    "url",
    "brokenurl",
    "mysqlurl",
    "ledgerpassword",
)
AWKWARD = "p@ss/w:rd %\"'\\é "
"""What URLs, JSON, Python, libpq and SQL each write in their own way."""


def core(kind: str) -> str:
    """The part of a canary that stays the same in URLs, JSON, Python and SQL."""
    return f"Canary{kind.title()}X9"


def canary(kind: str) -> str:
    return AWKWARD + core(kind)


def base64_forms(text: str) -> Iterator[str]:
    """What is the same in every base64 of a text that has `text` in it, for each place where it may begin."""
    content = text.encode()
    for before in range(3):
        for code in (base64.b64encode, base64.urlsafe_b64encode):
            whole = code(b"x" * before + content + b"x" * (-(before + len(content)) % 3)).decode()
            yield whole[4 if before else 0 : -4]


def forms(secret: str) -> set[str]:
    return {secret, secret.encode().hex(), *base64_forms(secret)}


def found(content: bytes | str, secrets: Iterable[str]) -> list[str]:
    """Those of `secrets` that are in `content`, in clear or encoded."""
    text = content if isinstance(content, str) else content.decode("utf-8", "replace")
    return [secret for secret in secrets if any(form in text for form in forms(secret))]


def found_below(folder: Path, secrets: Iterable[str]) -> list[tuple[str, str]]:
    """(file, secret) of every file below `folder`: its name, and its bytes, also as UTF-16."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    said = [(path, path.name + "\n" + path.read_bytes().decode("latin-1")) for path in files]
    return [(str(path), secret) for path, text in said for secret in found(text, secrets)]
