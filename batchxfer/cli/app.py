"""The commands and their order in `batchxfer --help`."""

from __future__ import annotations

from typing import Annotated

import typer

from batchxfer.cli import (
    again,
    backup,
    checking,
    doctor,
    dueplan,
    housekeeping,
    partners,
    pausing,
    reconcile,
    run,
    runs,
    serving,
    starting,
    status,
)
from batchxfer.cli.options import AsJson, Chosen, ConfigPath, Debug

EPILOG = (
    "Exit status: 0 done, 1 failed, 2 wrong usage or configuration, 3 will be retried or is late, 4 held, 5 busy, "
    "130 Ctrl-C."
)

# Without rich's markup: its import alone would take half of the time that --help may take.
app = typer.Typer(
    name="batchxfer",
    help="Query a database, write the file, deliver it over SFTP, and prove it.",
    epilog=EPILOG,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

COMMANDS = (
    *(starting.init, starting.demo),
    *(checking.check, partners.probe, partners.hostkey, dueplan.plan),
    *(run.run, serving.serve, status.status, runs.runs, runs.show),
    *(again.retry, again.resend, again.rerun, again.release, again.accept, again.exclude),
    *(pausing.pause, pausing.resume),
    *(doctor.doctor, backup.backup, reconcile.reconcile, housekeeping.prune, checking.schema),
)
for command in COMMANDS:
    app.command()(command)


@app.callback(invoke_without_command=True)
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
