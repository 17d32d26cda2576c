"""Logs on stderr: sentences for people on a terminal, one JSON object a line elsewhere."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

from batchxfer.cli.output import is_coloured, is_terminal, on_one_line
from batchxfer.errors import visible, visible_json
from batchxfer.redaction import redacted

LOGGER = "batchxfer"
_STYLES = {logging.WARNING: "\x1b[1;33m", logging.ERROR: "\x1b[1;31m", logging.CRITICAL: "\x1b[1;31m"}
_NAMES = frozenset({"at", "level", "action", "job", "run", "slot", "endpoint", "notice"})
"""What a program finds a line by: never taken for a secret that happens to be the same word."""
_OWN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


def to_stderr(level: int, *, as_json: bool = False, of_libraries: bool = False) -> None:
    """Log what is `level` or graver, and with `of_libraries` their errors. With `as_json` a terminal gets JSON lines too."""
    handler = Stderr()
    for_people = is_terminal(sys.stderr) and not as_json
    handler.setFormatter(Sentences(timed=level < logging.WARNING) if for_people else JsonLines())
    ours = logging.getLogger(LOGGER)
    ours.handlers[:] = [handler]
    ours.setLevel(level)
    ours.propagate = False
    if not logging.root.handlers:
        # Else Python writes the warnings of libraries to stderr by itself.
        logging.root.addHandler(logging.NullHandler())
    if of_libraries:
        logging.basicConfig(handlers=[handler], level=logging.ERROR, force=True)


class Stderr(logging.StreamHandler[TextIO]):
    """Standard error as it is when something is logged, not as it was."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


class Sentences(logging.Formatter):
    """`11:14:43 orders is due: …`; the hour is this machine's, and stands only before the words of a daemon."""

    def __init__(self, *, timed: bool) -> None:
        super().__init__()
        self._timed = timed

    def format(self, record: logging.LogRecord) -> str:
        text = on_one_line(redacted(record.getMessage()))
        if record.levelno >= logging.WARNING:
            label = f"{record.levelname.lower()}:"
            style = _STYLES.get(record.levelno) if is_coloured(sys.stderr) else None
            text = f"{style}{label}\x1b[0m {text}" if style else f"{label} {text}"
        if self._timed:
            text = f"{_at(record).astimezone():%H:%M:%S} {text}"
        return f"{text}\n{visible(redacted(self.formatException(record.exc_info)))}" if record.exc_info else text


class JsonLines(logging.Formatter):
    """`{"at", "level", "action", "message", …}`: then whatever the record is about (job, run, endpoint, slot, …)."""

    def format(self, record: logging.LogRecord) -> str:
        import orjson

        about = {key: value for key, value in record.__dict__.items() if key not in _OWN}
        line: dict[str, Any] = {
            "at": _at(record).isoformat(),
            "level": record.levelname.lower(),
            "action": about.pop("action", None),
            "message": record.getMessage(),
            **about,
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        dumped = orjson.dumps({key: _sound(key, value) for key, value in line.items()}, default=_said)
        return visible_json(dumped).decode()


def _sound(key: str, value: object) -> object:
    """Text that UTF-8 can carry (a file's name may hold what it cannot), and without secrets where it is not a name."""
    if isinstance(value, Mapping):
        return {str(inner): _sound("", item) for inner, item in value.items()}
    if isinstance(value, list | tuple):
        return [_sound("", item) for item in value]
    if not isinstance(value, str):
        return value
    text = value.encode("utf-8", "backslashreplace").decode()
    return text if key in _NAMES else redacted(text)


def _said(value: object) -> str:
    return redacted(str(value))


def log_faults_of_threads() -> None:
    """A thread's unforeseen end is a line of the log too."""

    def log_fault(fault: threading.ExceptHookArgs) -> None:
        if fault.exc_value is not None and not isinstance(fault.exc_value, SystemExit):
            about = (type(fault.exc_value), fault.exc_value, fault.exc_traceback)
            logging.getLogger(LOGGER).error("an unforeseen error", exc_info=about, extra={"action": "fault"})

    threading.excepthook = log_fault


def _at(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)
