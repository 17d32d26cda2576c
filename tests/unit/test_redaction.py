"""A secret is found however it is written, and nothing else is taken for one."""

from __future__ import annotations

import base64
import json
import logging
import sys
import urllib.parse
from collections.abc import Callable

import pytest

from batchxfer import redaction
from batchxfer.cli.logs import JsonLines, Sentences
from batchxfer.errors import PermanentError, printable
from batchxfer.redaction import hide, redacted
from batchxfer.urls import secrets_in

SECRET = "p@ss/w:rd %\"'\\é\tEnd"


@pytest.mark.parametrize(
    "write",
    [
        str,
        urllib.parse.quote,
        urllib.parse.quote_plus,
        lambda text: urllib.parse.quote(text, safe="").lower(),
        lambda text: urllib.parse.quote(urllib.parse.quote_plus(text)),
        repr,
        ascii,
        json.dumps,
        lambda text: json.dumps(text, ensure_ascii=False),
        lambda text: repr(text.encode()),
        lambda text: text.encode().decode("latin-1"),
        lambda text: text.encode().hex(),
        lambda text: base64.b64encode(text.encode()).decode(),
        lambda text: base64.b64encode(f"user:{text}@host".encode()).decode(),
        lambda text: base64.urlsafe_b64encode(f"me:{text}@host".encode()).decode(),
        lambda text: text.replace("'", "''"),
        lambda text: text.replace("\\", "\\\\").replace("'", "\\'"),
        lambda text: " ".join(text.split()),
        printable,
    ],
)
def test_a_secret_is_hidden_however_it_is_written(write: Callable[[str], str]) -> None:
    hide(SECRET)
    said = redacted(f"before {write(SECRET)} after")
    assert said.startswith("before ")
    assert said.endswith(" after")
    assert "End" not in said
    assert base64.b64encode(b"End").decode() not in said


def test_the_lines_of_a_private_key_are_hidden_one_by_one() -> None:
    lines = [
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "b3BlbnNzaC1rZXktdjEAAAAA",
        "QyNTUxOQAAACBLbnNzaC1r",
        "-----END x-----",
    ]
    hide("\n".join(lines))
    assert redacted("line 2: QyNTUxOQAAACBLbnNzaC1r") == "line 2: …"
    assert redacted("no -----BEGIN OPENSSH PRIVATE KEY----- here") == "no -----BEGIN OPENSSH PRIVATE KEY----- here"


def test_a_short_word_is_hidden_only_as_a_word_and_one_of_three_letters_never() -> None:
    hide("postgres")
    hide("abc")
    assert redacted("postgresql://postgres:postgres@db/abc") == "postgresql://…:…@db/abc"


def test_a_secret_within_another_leaves_nothing_of_either() -> None:
    hide("correct horse")
    hide("correct horse battery staple")
    assert redacted("said correct horse battery staple") == "said …"


def test_every_error_is_without_secrets_from_the_moment_it_is_made() -> None:
    hide(SECRET)
    error = PermanentError(f"cannot use {SECRET}", hint=f"not {SECRET}")
    assert (str(error), error.message, error.hint, error.info.message) == (
        "cannot use …",
        "cannot use …",
        "not …",
        "cannot use …",
    )


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:p%40ss-W0rd%2F@db/shop",
        "postgresql://me:p@ss-W0rd/@db/shop",
        "postgresql://me@db/shop?password=p%40ss-W0rd%2F",
        "mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3BPWD%3Dp%40ss-W0rd%2F",
    ],
)
@pytest.mark.parametrize("said", ["p@ss-W0rd/", "p%40ss-W0rd%2F", "me:p@ss-W0rd/@"])
def test_the_password_of_a_url_that_is_a_secret_is_hidden_too(url: str, said: str) -> None:
    for part in secrets_in(url):
        hide(part)
    assert "W0rd" not in redacted(f"no such user {said}")
    assert redacted(f"cannot open {url}") == "cannot open …"


@pytest.mark.parametrize("formatter", [JsonLines(), Sentences(timed=True)])
def test_a_log_line_shows_no_secret_in_message_facts_or_traceback(formatter: logging.Formatter) -> None:
    hide(SECRET)
    try:
        raise ValueError(SECRET, {"password": SECRET})
    except ValueError:
        record = logging.LogRecord("batchxfer", logging.ERROR, "x.py", 1, "said %r", (SECRET,), sys.exc_info())
    record.reason = [SECRET, "x"]
    record.server = f"https://{urllib.parse.quote(SECRET)}"
    record.job = "daily"
    line = formatter.format(record)
    assert "ValueError" in line
    assert "End" not in line


def test_names_in_a_json_log_line_stay_what_they_are() -> None:
    """A password of a desk may be `daily`; programs still find the line of the job by its name."""
    hide("daily")
    record = logging.LogRecord("batchxfer", logging.INFO, "x.py", 1, "daily begins", (), None)
    record.job = "daily"
    line = json.loads(JsonLines().format(record))
    assert (line["job"], line["message"]) == ("daily", "… begins")


def test_nothing_is_hidden_before_there_is_a_secret() -> None:
    redaction.forget()
    assert redacted(SECRET) == SECRET
