"""`check` and `schema`: is the configuration right, and what may it say."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from batchxfer.cli import project
from batchxfer.cli.collisions import collisions
from batchxfer.cli.options import AsJson, ConfigPath, Context, context_of
from batchxfer.cli.sharing import shared_files
from batchxfer.cli.words import counted
from batchxfer.errors import ConfigError, ExitCode, Problem, UserError

if TYPE_CHECKING:
    from batchxfer.config import Project
    from batchxfer.definitions import EndpointOptions

OTHERS = stat.S_IRWXG | stat.S_IRWXO


# --- check ---------------------------------------------------------------------------------------


def check(context: typer.Context, config: ConfigPath = None, as_json: AsJson = False) -> int:
    """Validate every file; prove that no two deliveries collide.

    Connects to nothing and resolves no secret. Every problem is told at once, with file, key and what to do.
    """
    words = context_of(context, config, as_json)
    loaded, problems = _problems(words)
    for warning in warnings(loaded) if loaded is not None else ():
        words.output.warn(f"{warning.file}: {warning.where}: {warning.problem}", warning.hint)
    if words.output.as_json:
        from batchxfer.cli.documents import check_document

        words.output.document(check_document(problems))
    elif problems:
        words.output.problems(problems)
        words.output.note(counted(len(problems), "problem"))
    elif loaded is not None:
        words.output.say(_summary(loaded))
    return ExitCode.USAGE if problems else ExitCode.DONE


def _problems(words: Context) -> tuple[Project | None, list[Problem]]:
    try:
        loaded = project.load(words)
    except ConfigError as error:
        return None, list(error.problems)
    except UserError as error:
        return None, [Problem(file=str(words.config), where="", problem=error.message, hint=error.hint)]
    return loaded, collisions(loaded)


def _summary(loaded: Project) -> str:
    counts = [
        (len(loaded.jobs), "job"),
        (len(loaded.formats), "format"),
        (len(loaded.config.endpoints), "endpoint"),
    ]
    return "ok: " + ", ".join(counted(count, noun) for count, noun in counts)


# --- what is allowed, and yet to be thought about ------------------------------------------------


def warnings(loaded: Project) -> Iterator[Problem]:
    """Weaker promises, files that two jobs want, and secrets that others may read."""
    for name, endpoint in loaded.config.endpoints.items():
        if endpoint.publish == "direct":
            yield Problem(
                file="config.toml",
                where=f"endpoints.{name}.publish",
                problem="direct: the partner can see a half-written file, and a crash may leave one there",
                hint="use rename where the server can: batchxfer probe " + name,
            )
        yield from _private_key_warnings(loaded, name, endpoint)
    yield from shared_files(loaded)
    yield from _holiday_warnings(loaded)
    for where, path in _secret_files(loaded):
        if _others_may_read(path):
            yield Problem(
                file="config.toml", where=where, problem=f"{path} can be read by others", hint=f"chmod 600 {path}"
            )


def _holiday_warnings(loaded: Project) -> Iterator[Problem]:
    """Where an upgrade of the holidays package moves or drops slots."""
    from batchxfer import holidays_seen
    from batchxfer.cli.clock import SystemClock

    for change in holidays_seen.changed(loaded, SystemClock().now().date()):
        yield Problem(
            file="jobs",
            where="schedule.calendar",
            problem=str(change),
            hint="see what is due with: batchxfer plan; own days go into the calendar's open and closed",
        )


def _private_key_warnings(loaded: Project, name: str, endpoint: EndpointOptions) -> Iterator[Problem]:
    key = getattr(endpoint, "private_key", None)
    if isinstance(key, str) and key.endswith(".pub"):
        yield Problem(
            file="config.toml",
            where=f"endpoints.{name}.private_key",
            problem=f"{key} looks like the public key: it will be refused",
            hint="give the private key, not the .pub file beside it",
        )
    elif isinstance(key, str) and _others_may_read(loaded.folder / key):
        yield Problem(
            file="config.toml",
            where=f"endpoints.{name}.private_key",
            problem=f"{key} can be read by others: it will be refused",
            hint=f"chmod 600 {key}",
        )


def _secret_files(loaded: Project) -> Iterator[tuple[str, Path]]:
    """The `{ file = … }` secrets of the configuration, with where they stand."""
    from batchxfer.definitions import SecretRef

    config = loaded.config
    tables = [("", config), *((f"databases.{name}.", table) for name, table in config.databases.items())]
    tables += [(f"endpoints.{name}.", table) for name, table in config.endpoints.items()]
    for prefix, table in tables:
        for key, value in table:
            if isinstance(value, SecretRef) and value.file is not None and key != "environment":
                yield f"{prefix}{key}", loaded.folder / value.file


def _others_may_read(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & OTHERS)
    except OSError:
        return False


# --- schema --------------------------------------------------------------------------------------


class Which(StrEnum):
    CONFIG = "config"
    JOB = "job"
    FORMAT = "format"


def schema(
    context: typer.Context,
    which: Annotated[
        Which | None, typer.Argument(metavar="config|job|format", help="One of them; default: all.")
    ] = None,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> int:
    """Print JSON Schemas, for editors that check the files."""
    from batchxfer.schemas import config_schema, format_schema, job_schema
    from batchxfer.wiring import option_models

    models = option_models()
    makers = {Which.CONFIG: config_schema, Which.JOB: job_schema, Which.FORMAT: format_schema}
    output = context_of(context, config, as_json).output
    if which is not None:
        output.document(makers[which](models))
    else:
        output.document({name.value: make(models) for name, make in makers.items()})
    return ExitCode.DONE
