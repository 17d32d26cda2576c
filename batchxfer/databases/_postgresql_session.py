"""How a session with PostgreSQL begins, whatever the driver: where to, and what it is set to."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import psycopg
from psycopg import conninfo

from batchxfer.errors import NotSupported

if TYPE_CHECKING:
    from batchxfer.credentials import Secret
    from batchxfer.definitions import DatabaseOptions

_LONGEST = timedelta(milliseconds=2**31 - 1)
_LINK = {
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "fallback_application_name": "batchxfer",
}


def address(
    name: str, options: DatabaseOptions, *, url: str, password: Secret | None, tcp_user_timeout: int = 60_000
) -> str:
    """What libpq connects with. Raises NotSupported where the url is none of its."""
    scheme, colon, rest = url.partition(":")
    timeout = max(2, round(options.connect_timeout.total_seconds()))
    link = {**_LINK, "connect_timeout": str(timeout), "tcp_user_timeout": str(tcp_user_timeout)}
    if password is not None:
        link["password"] = password.reveal()
    try:
        said = conninfo.conninfo_to_dict(f"postgresql{colon}{rest}")
        return conninfo.make_conninfo("", **{**link, **said, "password": link.get("password", said.get("password"))})
    except psycopg.ProgrammingError:
        # The driver's words may repeat a part of the url, and that may be secret.
        message = f"database {name!r}: PostgreSQL does not understand the url ({scheme}:…)"
        raise NotSupported(message, hint="parameters after ? are libpq's; %-encode what is special") from None


def settings(options: DatabaseOptions, *, read_only: bool) -> dict[str, str]:
    """What every session is set to, whatever the server or the role says."""
    timeout = min(options.statement_timeout, _LONGEST)
    return {
        "default_transaction_read_only": "on" if read_only else "off",
        "statement_timeout": str(max(1, round(timeout.total_seconds() * 1000))),
        "TimeZone": options.timezone.key,
        "client_encoding": "UTF8",
        "client_min_messages": "error",
        "standard_conforming_strings": "on",
        "DateStyle": "ISO, YMD",
        "IntervalStyle": "iso_8601",
        "extra_float_digits": "3",
        "bytea_output": "hex",
        "xmlbinary": "base64",
    }
