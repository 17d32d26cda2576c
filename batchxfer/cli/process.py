"""From the words of a command to its exit status: every error becomes a message, or a JSON document."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
import threading
from collections.abc import Sequence
from typing import Any

import typer

from batchxfer.cli import signals
from batchxfer.cli.output import LostOutput, Output
from batchxfer.errors import BatchxferError, ErrorInfo, ExitCode, StorageError, UsageError
from batchxfer.redaction import redacted
from batchxfer.shortages import shortage

PROGRAM = "batchxfer"
COMPLETION_VARIABLE = "_BATCHXFER_COMPLETE"
BROKEN_PIPE = 141
"""What a shell reports for a program that SIGPIPE ended."""

# Typer brings its own copy of click or stands on the real one, by its version; the class is the same either way.
WordsError: type[Any] = typer.BadParameter.__mro__[1]

OTHERS_SAY = {
    "help": "--help",
    "version": "--version",
    "list": "runs, or plan",
    "ls": "runs, or plan",
    "jobs": "status",
    "logs": "runs, and show RUN",
    "history": "runs, and show RUN",
    "test": "run JOB --dry-run",
    "validate": "check",
    "lint": "check",
    "start": "serve",
    "daemon": "serve",
    "stop": "pause JOB --why TEXT",
    "cancel": "pause JOB --why TEXT, or exclude RUN --why TEXT",
    "disable": "pause JOB --why TEXT",
    "enable": "resume JOB",
    "send": "run JOB, or resend RUN",
    "backfill": "run JOB --from TIME --to TIME",
    "schedule": "plan",
    "restore": "reconcile",
}
"""Words that other programs have for it, and what is typed here."""


_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


class Interrupted(BatchxferError):
    """The process was asked to end."""

    kind = "interrupted"


class Unexpected(BatchxferError):
    """A fault of batchxfer."""

    kind = "unexpected"


def run(arguments: Sequence[str]) -> int:
    """Carry out one command and return its exit status; never raises."""
    # Closed by the caller (`>&-`): there is nobody to tell.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    known = _before_separator(arguments)
    output = Output(as_json="--json" in known)
    debug = "--debug" in known or os.environ.get("BATCHXFER_DEBUG", "") not in ("", "0")
    try:
        status = _guarded([word for word in arguments if word != "--debug"], output, debug)
        sys.stdout.flush()
    except BrokenPipeError:
        _silence()
        return BROKEN_PIPE
    except LostOutput as exc:
        _silence()
        with contextlib.suppress(OSError):
            output.failure(ErrorInfo(kind="output", message=f"cannot write to standard output: {exc.strerror}"))
        return int(ExitCode.FAILED)
    return status


def say_faults_without_secrets() -> None:
    """What ends a thread, or Python itself, unforeseen is told without secrets too."""

    def say(error: BaseException | None) -> None:
        if error is not None and not isinstance(error, SystemExit):
            Output(as_json=False).note(_traceback(error))

    sys.excepthook = lambda kind, error, trace: say(error)
    threading.excepthook = lambda fault: say(fault.exc_value)


def _traceback(error: BaseException) -> str:
    import traceback

    return redacted("".join(traceback.format_exception(error)).rstrip())


def _before_separator(arguments: Sequence[str]) -> Sequence[str]:
    return arguments[: arguments.index("--")] if "--" in arguments else arguments


def _guarded(arguments: Sequence[str], output: Output, debug: bool) -> int:
    try:
        with signals.ends_gracefully():
            return _invoke(arguments)
    except (BrokenPipeError, LostOutput):
        raise
    except signals.Ended as end:
        return _say_ended(end, output)
    except BatchxferError as error:
        output.error(error)
        return int(error.exit_code)
    except WordsError as error:
        output.error(_usage(error))
        return int(ExitCode.USAGE)
    except Exception as error:
        if (what := shortage(error)) is not None:
            hint = "look at this machine and its limits, then run the command again: it goes on where this one was"
            output.error(StorageError(what, hint=hint))
            return int(StorageError.exit_code)
        if isinstance(error, OSError) and error.errno in _FORBIDDEN and error.filename is not None:
            output.error(_forbidden(error))
            return int(ExitCode.USAGE)
        return _unexpected(error, output, debug)


def _invoke(arguments: Sequence[str]) -> int:
    from batchxfer.cli.app import app

    completes = COMPLETION_VARIABLE in os.environ
    command = typer.main.get_command(app() if completes else app(arguments))
    if completes:
        return int(command.main(list(arguments), prog_name=PROGRAM, standalone_mode=False) or 0)
    try:
        with command.make_context(PROGRAM, list(arguments)) as context:
            return int(command.invoke(context) or 0)
    except typer.Exit as end:
        return end.exit_code


def _usage(error: Any) -> UsageError:
    """A wrong word in the command, as ours."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else PROGRAM
    message = error.format_message().replace("Value error, ", "").rstrip(".") or "no command was given"
    meant = _meant(path, message)
    hint = f"perhaps: {PROGRAM} {meant}; see: {path} --help" if meant else f"see: {path} --help"
    return UsageError(message[:1].lower() + message[1:], hint=hint)


def _meant(path: str, message: str) -> str | None:
    """What is typed here for a word that other programs know."""
    if (word := re.match(r"No such command '([a-z-]+)'", message)) is not None:
        return OTHERS_SAY.get(word[1])
    if path == f"{PROGRAM} runs" and (extra := re.search(r"extra argument\(?s?\)? \((\S+)\)", message)) is not None:
        return f"runs --job {extra[1]}"
    return None


def _say_ended(end: signals.Ended, output: Output) -> int:
    output.error(
        Interrupted(
            f"stopped by {end.name}; the ledger knows how far it came, and nothing is sent twice",
            hint="see it with: batchxfer runs; go on with: batchxfer retry RUN",
        )
    )
    return end.status


def _forbidden(error: OSError) -> UsageError:
    """What this user may not do with a file, wherever that came to light."""
    path = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(error.filename)
    return UsageError(
        f"{path}: {error.strerror}",
        hint="look at its owner and mode, and those of the folders above it; or type this as the user that it belongs to",
    )


def _unexpected(error: Exception, output: Output, debug: bool) -> int:
    if debug:
        output.note(_traceback(error))
    said = str(error).strip().splitlines()
    output.error(
        Unexpected(
            f"unexpected {type(error).__name__}{': ' + said[0] if said else ''}",
            hint="this is a fault of batchxfer: please report it with what --debug (or BATCHXFER_DEBUG=1) shows",
        )
    )
    return int(ExitCode.FAILED)


def _silence() -> None:
    """Nobody reads any more: say nothing, also not when Python closes stdout at the end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
