"""Secrets by value: what was once read as a secret is taken out of whatever is said afterwards.

The last line of defence, below every error and every log line. A driver, a database or a server repeats what it was given in
its own way, so each secret is also looked for as URLs, JSON, Python, shells and base64 write it.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote, quote_plus

HIDDEN = "…"
SHORTEST = 4
"""Characters of the shortest text that is looked for: anything shorter is a part of most words."""
_LONG, _LINE, _IN_BASE64 = 9, 16, 8


class _Hidden:
    """The secrets of this process, and every form of them by its first characters, made when something is said."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._secrets: set[str] = set()
        self._forms: Mapping[str, Sequence[str]] | None = None

    def add(self, secret: str) -> None:
        with self._lock:
            if secret not in self._secrets:
                self._secrets.add(secret)
                self._forms = None

    def clear(self) -> None:
        with self._lock:
            self._secrets.clear()
            self._forms = None

    def forms(self) -> Mapping[str, Sequence[str]]:
        """The longest first: a secret may begin with another."""
        with self._lock:
            if self._forms is None:
                texts = {text for secret in self._secrets for text in _texts(secret)}
                forms = {form for text in texts for form in _written(text) if len(form) >= SHORTEST}
                found: dict[str, list[str]] = defaultdict(list)
                for form in sorted(forms, key=len, reverse=True):
                    found[form[:SHORTEST]].append(form)
                self._forms = dict(found)
            return self._forms


_hidden = _Hidden()


def hide(secret: str) -> None:
    """Say `secret` no more, from now on; of a text of several lines (a private key) none of its longer lines either."""
    _hidden.add(secret)


def redacted(text: str) -> str:
    """`text` with every secret in it, however written, replaced by HIDDEN."""
    forms = _hidden.forms()
    if not forms:
        return text
    said, at, kept = [], 0, 0
    while at <= len(text) - SHORTEST:
        found = next((form for form in forms.get(text[at : at + SHORTEST], ()) if _is_at(form, text, at)), None)
        if found is None:
            at += 1
            continue
        said += [text[kept:at], HIDDEN]
        at = kept = at + len(found)
    return "".join([*said, text[kept:]])


def _is_at(form: str, text: str, at: int) -> bool:
    """A short word is looked for as a whole word only: `postgres` may be a password, and stands in `postgresql`."""
    if not text.startswith(form, at):
        return False
    end = at + len(form)
    return not _is_word(form) or not (_is_word(text[max(at - 1, 0) : at]) or _is_word(text[end : end + 1]))


def _is_word(text: str) -> bool:
    return len(text) < _LONG and re.fullmatch(r"\w+", text) is not None


def forget() -> None:
    """Know of no secret, as a new process does."""
    _hidden.clear()


def _texts(secret: str) -> Iterator[str]:
    yield secret
    # "-----BEGIN OPENSSH PRIVATE KEY-----" is no secret.
    yield from (line for line in map(str.strip, secret.splitlines()) if len(line) >= _LINE and line[:5] != "-----")


def _written(text: str) -> Iterator[str]:
    """The ways in which a text may come back."""
    content = text.encode("utf-8", "surrogateescape")
    yield text
    yield " ".join(text.split())
    yield content.decode("utf-8", "backslashreplace")
    yield content.decode("latin-1")
    for encoded in (quote(content, safe=""), quote(content), quote_plus(content)):
        yield encoded
        yield re.sub("%..", lambda code: code[0].lower(), encoded)
        yield quote(encoded, safe="")
    # repr, JSON, unicode_escape (as errors.printable), and what of them stands between the quotes.
    yield from (repr(text)[1:-1], ascii(text)[1:-1], repr(content)[2:-1])
    yield from (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])
    yield text.encode("unicode_escape", "backslashreplace").decode()
    yield "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    yield from (re.sub(r"(['\\])", r"\\\1", text), re.sub(r"([\"\\])", r"\\\1", text), text.replace("'", "''"))
    yield content.hex()
    yield from _in_base64(content)


def _in_base64(content: bytes) -> Iterator[str]:
    """What base64 makes of it, also where it stands behind something else (`user:password`)."""
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + content).decode()
        whole = encoded[(8 * before + 5) // 6 : 8 * (before + len(content)) // 6]
        if len(whole) >= _IN_BASE64:
            yield whole
            yield whole.replace("+", "-").replace("/", "_")
