"""Whatever the text: a value, or an error with words. Never a traceback, and never no end."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from batchxfer import globs, paths, quantities, sql, templates, urls
from batchxfer.cli.times import parse_time
from batchxfer.cron import Cron
from batchxfer.endpoints.sftp.hostkeys import read_fingerprint, read_known_hosts
from batchxfer.endpoints.sftp.keys import load_key
from batchxfer.errors import CredentialError, QueryError, UsageError, visible
from batchxfer.ledger import typed
from batchxfer.redaction import hide, redacted
from tests.soak import examples

pytestmark = pytest.mark.soak

NAMES = ["slot", "slot_utc", "job", "run", "revision", "business_date", "interval_start", "amount", "path", "name", "x"]
PIECES = [
    "{",
    "}",
    "{{",
    "}}",
    ":",
    "%Y",
    "%m",
    "%d",
    "%H",
    "%",
    "%%",
    "08",
    ">15",
    "<",
    ".2f",
    "!r",
    "[0]",
    "/",
    "..",
    ".",
    "\0",
    "é",
]


def mixture(*words: str) -> st.SearchStrategy[str]:
    """Texts of the right words, in any order, with anything between them."""
    return st.lists(st.one_of(st.sampled_from(words), st.text(max_size=3)), max_size=12).map("".join)


# --- texts ---------------------------------------------------------------------------------------


@examples(70, 100_000)
@given(mixture(*NAMES, *PIECES))
def test_a_template_is_read_or_refused(text: str) -> None:
    readers: list[Callable[[str], object]] = [
        paths.parse_path,
        paths.parse_temp_name,
        paths.parse_sidecar,
        paths.parse_glob,
        paths.parse_taken,
    ]
    for read in readers:
        with suppress(templates.TemplateError):
            assert read(text) is not None


@examples(70, 100_000)
@given(
    mixture("*", "/", "-", ",", "0", "7", "59", "L", "W", "#", "MON", "jan", " ", "0 6 * * *", "15W", "5#3", "@daily")
)
@example("0 0 31 2 *")
@example("* * * * *#9")
@example("0-0/0 * * * *")
def test_a_cron_expression_is_read_or_refused(text: str) -> None:
    with suppress(ValueError):
        cron = Cron.parse(text)
        assert cron.times
        assert Cron.parse(cron.text) == cron


@examples(70, 100_000)
@given(mixture("0", "1", "99999999999", "w", "d", "h", "m", "s", "kB", "MiB", "GB", "B", " ", "-", ".", "٣", "²"))
def test_durations_and_sizes_are_read_or_refused(text: str) -> None:
    for read in (quantities.parse_duration, quantities.parse_size):
        with suppress(ValueError):
            assert read(text) is not None


URL_PIECES = [
    "postgresql",
    "sqlite",
    "mysql+pymysql",
    "://",
    "/",
    ":",
    "@",
    "?",
    "&",
    "=",
    "password",
    "%40",
    "%",
    "[::1]",
    "#",
    "h",
]


@examples(70, 100_000)
@given(mixture(*URL_PIECES))
def test_a_url_is_looked_at_without_showing_it(text: str) -> None:
    complaints = [*urls.database_complaints(text), *urls.ledger_complaints(text)]
    assert all(complaint.problem for complaint in complaints)
    urls.absolute(text, Path("/x"))
    parts = list(urls.secrets_in(text))
    assert parts[0] == text


@examples(50, 50_000)
@given(
    mixture("select", ":a", ":b", "'", '"', "`", "$$", "$x$", "--", "/*", "*/", "::", ";", "\\", "\n", "#", "E'", "q'[")
)
def test_a_query_is_taken_apart_or_refused(text: str) -> None:
    for dialect in (sql.GENERIC, sql.POSTGRESQL, sql.MYSQL, sql.SQLITE):
        names = [parameter.name for parameter in sql.find_parameters(text, dialect)]
        assert sql.bind(text, lambda name: f":{name}", dialect) == text
        assert sql.bind(text, lambda name: f"\0{name}\0", dialect).count("\0") >= 2 * len(names)
        with suppress(QueryError):
            sql.one_statement(text, dialect)


@examples(50, 50_000)
@given(st.one_of(mixture("2026", "-", "11", "T", ":", "Z", "+", "09:00", " ", "W", "now", "0"), st.text(max_size=30)))
def test_a_time_is_read_or_refused(text: str) -> None:
    with suppress(UsageError):
        at = parse_time(text, ZoneInfo("Europe/Berlin"), datetime(2026, 11, 24, tzinfo=UTC), option="--slot")
        assert at.tzinfo is not None


@examples(50, 50_000)
@given(st.binary(max_size=60), st.sampled_from(["", "in", "a/b"]))
@example(b"../x", "")
@example(b"a\x00b", "")
@example("..\u202e".encode(), "in")
def test_a_name_that_a_server_lists_is_used_only_where_it_stays_in_its_folder(name: bytes, folder: str) -> None:
    text = name.decode("utf-8", "surrogateescape")
    shown = globs.shown(text)
    assert shown == visible(shown)
    assert "\n" not in shown
    if globs.refusal(folder, text) is None:
        path = Path("/root", folder, text)
        assert path.parent == Path("/root", folder)
        assert Path(os.path.normpath(path)) == path
        assert text.isprintable()
        text.encode()


@examples(40, 20_000)
@given(mixture("*", "?", "[", "]", "!", "a", "-", "[a-", "[!", "\\", "."), st.text(max_size=20))
def test_a_glob_matches_in_the_end(pattern: str, name: str) -> None:
    with suppress(templates.TemplateError):
        paths.parse_glob(pattern)
        for segment in pattern.split("/"):
            globs.matches(segment, name)


@examples(50, 20_000)
@given(
    st.one_of(
        st.binary(max_size=200),
        mixture("host", "[host]:22", "*", "!", "|1|", "ssh-ed25519", " ", "\n", "AAAA", "@revoked", "=").map(
            str.encode
        ),
    )
)
def test_a_known_hosts_file_is_read_whatever_is_in_it(content: bytes) -> None:
    for port in (22, 2222):
        read_known_hosts(content, "host", port).order()
    with suppress(ValueError):
        read_fingerprint(content.decode("utf-8", "replace"))


KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n"


@examples(40, 20_000)
@given(
    st.binary(max_size=300),
    st.sampled_from(["", "EC ", "RSA ", "OPENSSH ", "ENCRYPTED "]),
    st.sampled_from([None, "pw"]),
)
def test_a_private_key_is_read_or_refused(content: bytes, kind: str, passphrase: str | None) -> None:
    body = base64.b64encode(content).decode()
    for text in (content, f"-----BEGIN {kind}PRIVATE KEY-----\n{body}\n-----END {kind}PRIVATE KEY-----\n".encode()):
        with pytest.raises(CredentialError) as raised:
            load_key(text, passphrase, what="key", where="endpoint 'x'")
        assert len(body) < 8 or body not in str(raised.value)


@examples(40, 20_000)
@given(st.text(min_size=4, max_size=30), st.text(max_size=10), st.text(max_size=10))
def test_a_secret_is_redacted_whatever_stands_around_it(secret: str, before: str, after: str) -> None:
    assume(len(secret) > 8 or not secret.isalnum())
    hide(secret)
    for written in (secret, repr(secret), json.dumps(secret), ascii(secret)):
        assert secret not in redacted(f"{before}|{written}|{after}")


# --- what the ledger keeps -----------------------------------------------------------------------

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(alphabet=st.characters(exclude_categories=["Cs"])),
    st.datetimes(timezones=st.just(UTC)),
    st.datetimes(),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.decimals(allow_nan=False),
)
KEYS = st.one_of(
    st.sampled_from(["$decimal", "$object", "$integer", "a"]), st.text(st.characters(exclude_categories=["Cs"]))
)
VALUES = st.recursive(SCALARS, lambda inner: st.one_of(st.lists(inner), st.dictionaries(KEYS, inner)), max_leaves=15)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False), st.text()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from([*typed._DECODERS, "a"]), inner, max_size=2),
    ),
    max_leaves=8,
)


@examples(70, 100_000)
@given(VALUES)
def test_the_ledgers_json_gives_back_what_went_in(value: object) -> None:
    back = typed.loads(typed.dumps(value))
    assert back == value
    assert type(back) is type(value)


@examples(70, 100_000)
@given(st.one_of(JSON.map(json.dumps), st.text(max_size=40), st.integers(100, 3000).map(lambda n: "[" * n + "]" * n)))
def test_a_damaged_value_of_the_ledger_is_an_error_with_words(text: str) -> None:
    with suppress(ValueError):
        typed.loads(text)
