"""Where words go: results to stdout, all else to stderr; with `--json` one document on stdout and nothing beside it."""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TextIO

from batchxfer.errors import BatchxferError, ConfigError, ErrorInfo, Problem, visible, visible_json
from batchxfer.redaction import redacted

_BOLD_RED, _BOLD_YELLOW, _DIM, _PLAIN = "\x1b[1;31m", "\x1b[1;33m", "\x1b[2m", "\x1b[0m"
_STYLES = {"bold": "\x1b[1m", "red": "\x1b[1;31m", "green": "\x1b[32m", "yellow": "\x1b[33m", "cyan": "\x1b[36m"}

_SIGNS = {"·": "|", "→": "->", "←": "<-", "…": "...", "│": "|", "–": "-", "×": "x"}


def on_one_line(text: str) -> str:
    """`text` made visible, its line breaks too: what it says must not look like a line of ours."""
    return visible(text).replace("\n", "\\n")


def is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:
        return False


def is_coloured(stream: TextIO) -> bool:
    return is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class LostOutput(OSError):
    """What a command had to say could not be written."""


class Output:
    """The two streams of one command."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def document(self, value: Mapping[str, object]) -> None:
        """The one JSON document."""
        from batchxfer.cli.documents import dump

        text = visible_json(dump(value, indent=is_terminal(sys.stdout))) + b"\n"
        with _written():
            sys.stdout.buffer.write(text)
            sys.stdout.flush()

    def say(self, text: str = "") -> None:
        """A line for people, on stdout; silent where a program reads."""
        if not self.as_json:
            _write(sys.stdout, visible(text))

    def note(self, text: str) -> None:
        """A line on stderr."""
        _write(sys.stderr, visible(text))

    def warn(self, text: str, hint: str | None = None) -> None:
        self._tell("warning", _BOLD_YELLOW, text, hint)

    def error(self, error: BatchxferError) -> None:
        """The message and what to do now, on stderr; with `--json` the error's document, on stdout."""
        if self.as_json:
            from batchxfer.cli.documents import error_document

            self.document(error_document(error))
        elif isinstance(error, ConfigError):
            self.problems(error.problems)
        else:
            self.failure(error.info)

    def problems(self, problems: Sequence[Problem]) -> None:
        """What is wrong with the configuration, each with its place and what to do."""
        for problem in problems:
            where = f"{problem.file}: {problem.where}: " if problem.where else f"{problem.file}: "
            self._tell("error", _BOLD_RED, where + problem.problem, problem.hint)

    def failure(self, error: ErrorInfo) -> None:
        """An error beside results: on stderr always."""
        self._tell("error", _BOLD_RED, error.message, error.hint)

    def _tell(self, label: str, style: str, text: str, hint: str | None) -> None:
        text, hint = redacted(text), redacted(hint) if hint else hint
        coloured = is_coloured(sys.stderr)
        start = f"{style}{label}:{_PLAIN}" if coloured else f"{label}:"
        lines = [f"{start} {on_one_line(text)}"]
        if hint:
            lines.append(f"{_DIM}→{_PLAIN} {on_one_line(hint)}" if coloured else f"→ {on_one_line(hint)}")
        _write(sys.stderr, "\n".join(lines))

    def say_drawn(self, text: str) -> None:
        """A line that is drawn already: made visible, perhaps coloured."""
        if not self.as_json:
            _write(sys.stdout, text)

    def styled(self, text: str, style: str | None) -> str:
        """`text` in a colour of _STYLES, on a terminal that wants colours."""
        return f"{_STYLES[style]}{text}{_PLAIN}" if style and text and is_coloured(sys.stdout) else text


def _write(stream: TextIO, text: str) -> None:
    """Characters that the stream's encoding lacks are written plainly, or escaped: they are no error."""
    encoding = stream.encoding or "utf-8"
    with _written():
        stream.write(text.encode(encoding, "batchxfer-plain").decode(encoding) + "\n")
        stream.flush()


def _plain(error: UnicodeError) -> tuple[str, int]:
    """Our own signs have plain forms; what else is lacking is escaped."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    plain = (_SIGNS.get(sign) or sign.encode("ascii", "backslashreplace").decode() for sign in lacking)
    return "".join(plain), error.end


codecs.register_error("batchxfer-plain", _plain)


@contextlib.contextmanager
def _written() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as exc:
        raise LostOutput(exc.errno, exc.strerror) from exc
