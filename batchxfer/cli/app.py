"""The commands and their order in `batchxfer --help`."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from batchxfer.cli.options import AsJson, Chosen, ConfigPath, Debug

EXIT_STATUS = (
    "Exit status: 0 done, 1 failed, 2 wrong usage or configuration, 3 will be retried or is late, 4 held, 5 busy, "
    "130 Ctrl-C."
)


def documentation() -> str | None:
    """The folder of the pages: beside what is installed, or of the checkout that this is."""
    checkout = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    for folder in (os.path.join(sys.prefix, "share", "doc", "batchxfer"), checkout):
        if os.path.isfile(os.path.join(folder, "docs", "runbook.md")):
            return os.path.join(folder, "docs")
    return None


_COMMANDS = (
    *("starting.init", "starting.demo"),
    *("checking.check", "partners.probe", "partners.hostkey", "dueplan.plan"),
    *("run.run", "serving.serve", "status.status", "runs.runs", "runs.show"),
    *("again.retry", "again.resend", "again.rerun", "again.release", "again.accept", "again.exclude"),
    *("pausing.pause", "pausing.resume"),
    *("doctor.doctor", "backup.backup", "reconcile.reconcile", "housekeeping.prune", "checking.schema"),
)
MODULES: Mapping[str, str] = {name: module for module, _, name in (path.partition(".") for path in _COMMANDS)}
"""The module of each command, whose function has its name."""


def app(arguments: Sequence[str] = ()) -> typer.Typer:
    """The program with the one command that the arguments name; with all of them where there is none: for the help, and for
    what is said of a typing error. Each costs its imports, and a look at its options."""
    # Without rich's markup: its import alone would take half of the time that --help may take.
    made = typer.Typer(
        name="batchxfer",
        help="Query a database, write the file, deliver it over SFTP, and prove it.",
        epilog="\n\n".join([EXIT_STATUS, *([f"\b\nDocumentation: {where}"] if (where := documentation()) else [])]),
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    made.callback(invoke_without_command=True)(root)
    named = _named(arguments)
    for name in [named] if named else MODULES:
        made.command()(getattr(importlib.import_module(f"batchxfer.cli.{MODULES[name]}"), name))
    return made


def _named(arguments: Sequence[str]) -> str | None:
    """The command, where nothing stands before it but what changes no other command."""
    words = iter(arguments)
    for word in words:
        if word == "--config":
            next(words, None)
        elif word not in ("--json", "--debug") and not word.startswith("--config="):
            return word if word in MODULES else None
    return None


def root(
    context: typer.Context,
    config: ConfigPath = None,
    as_json: AsJson = False,
    debug: Debug = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> int:
    context.obj = Chosen(config=config, as_json=as_json)
    if version:
        _print_version(as_json)
        raise typer.Exit
    if context.invoked_subcommand is None:
        if as_json:
            from batchxfer.errors import UsageError

            raise UsageError("no command was given", hint="see: batchxfer --help")
        typer.echo(context.get_help(), err=True)
        return 2
    return 0


def _print_version(as_json: bool) -> None:
    from batchxfer import __version__
    from batchxfer.cli.output import Output

    output = Output(as_json=as_json)
    if as_json:
        output.document({"batchxfer": __version__})
    output.say(f"batchxfer {__version__}")
