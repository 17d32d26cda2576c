"""The URLs of databases and of the ledger: passwords kept out, relative SQLite files put below the project's folder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from urllib.parse import unquote, unquote_plus

from batchxfer.definitions import Complaint
from batchxfer.suggestions import did_you_mean

# What SQLAlchemy brings along.
DIALECTS = ("mariadb", "mssql", "mysql", "oracle", "postgresql", "sqlite")
LEDGERS = ("postgresql", "sqlite")
_SQLITE_FILE = re.compile(r"(sqlite(?:\+\w+)?:///)([^/?#:][^?#]*)(.*)", re.DOTALL)


def scheme_of(url: str) -> str:
    """`mysql` of `mysql+pymysql://…`."""
    return url.partition(":")[0].partition("+")[0].lower()


def absolute(url: str, folder: Path) -> str:
    """`url`, a relative SQLite file in it (`sqlite:///var/shop.db`) below `folder`."""
    match = _SQLITE_FILE.fullmatch(url)
    if match is None or match[2].startswith("file:"):
        return url
    return f"{match[1]}{folder / match[2]}{match[3]}"


def has_password(url: str) -> bool:
    """Whether a password stands in the text, as SQLAlchemy would read it or among its parameters."""
    address, _, parameters = url.partition("?")
    in_address = re.match(r"[^:/]+://[^:/@]*:[^@]*@", address) is not None
    words = unquote_plus(unquote_plus(parameters))
    return in_address or re.search(r"(?i)(^|[&;?])\s*(password|passwd|pwd|sslpassword)\s*=", words) is not None


def secrets_in(url: str) -> Iterator[str]:
    """What must not be said of a URL that is a secret itself: all of it, its password, and each piece of one.

    A password with an unescaped `@` or `/` is cut there by whoever reads the URL, and its pieces are taken for hosts and names.
    """
    yield url
    address, _, parameters = url.partition("?")
    match = re.match(r"[^:/]+://[^:/@]*:(.*)@", url if "@" in parameters else address, re.DOTALL)
    words = unquote_plus(unquote_plus(parameters))
    found = [match[1]] if match else []
    found += re.findall(r"(?i)(?:password|passwd|pwd|secret|token)\s*=\s*([^&;]+)", f"{parameters}&{words}")
    for password in found:
        yield from {password, unquote(password), unquote_plus(password), *re.split(r"[@/?#:]", password)}


def database_complaints(url: str) -> Iterator[Complaint]:
    """What is wrong with a database's URL; never shows the URL, which may hold a secret."""
    yield from _form_complaints(url, "url", 'like "postgresql://user@host/name" or "sqlite:///var/shop.db"')
    scheme = scheme_of(url)
    if "://" in url and scheme not in DIALECTS and not _installed(url.partition(":")[0], scheme):
        yield Complaint(
            key="url",
            problem=f"unknown database {scheme!r}",
            hint=did_you_mean(scheme, DIALECTS, what="databases") + "; others need their SQLAlchemy dialect installed",
        )
    if has_password(url):
        yield Complaint(
            key="url",
            problem="a password must not stand in the URL: everyone who reads this file, or its history, would have it",
            hint='take it out and write password = { env = "NAME" } or { file = "PATH" }; change it if it was ever shared',
        )
    if scheme == "sqlite" and not _names_a_file(url):
        yield Complaint(
            key="url", problem="names no file", hint='write "sqlite:///var/shop.db", or "sqlite:////abs/shop.db"'
        )


def ledger_complaints(url: str) -> Iterator[Complaint]:
    yield from _form_complaints(url, "ledger", 'like "sqlite:///var/ledger.db" or "postgresql://user@host/name"')
    scheme = scheme_of(url)
    if "://" in url and scheme not in LEDGERS:
        yield Complaint(
            key="ledger", problem=f"no ledger can be in {scheme!r}", hint=did_you_mean(scheme, LEDGERS, what="ledgers")
        )
    if has_password(url):
        yield Complaint(
            key="ledger",
            problem="a password must not stand in the URL: everyone who reads this file, or its history, would have it",
            hint='take it out and write ledger_password = { env = "NAME" }; change it if it was ever shared',
        )
    if scheme == "sqlite" and not _names_a_file(url):
        yield Complaint(
            key="ledger",
            problem="names no file, and a ledger must outlive the process",
            hint='write "sqlite:///var/ledger.db", or "sqlite:////abs/ledger.db"',
        )


def _form_complaints(url: str, key: str, examples: str) -> Iterator[Complaint]:
    if re.match(r"[A-Za-z][A-Za-z0-9_.+]*://", url) is None:
        yield Complaint(key=key, problem="is not a URL", hint=f"write one {examples}")


def _names_a_file(url: str) -> bool:
    if "://" not in url:
        return True
    address = url.partition("://")[2].partition("?")[0].partition("#")[0]
    return address.startswith("/") and address.strip("/") not in {"", ":memory:"}


def _installed(*names: str) -> bool:
    """Whether another package brings such a dialect."""
    wanted = {name.lower().replace("+", ".") for name in names}
    return any(found.name.lower() in wanted for found in entry_points(group="sqlalchemy.dialects"))
