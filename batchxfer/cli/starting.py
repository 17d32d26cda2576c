"""`init` and `demo`: how one begins."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from batchxfer.cli import project
from batchxfer.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Context, context_of
from batchxfer.errors import ExitCode, UsageError

DEMO_FOLDER = Path("var/demo")


def init(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where; default: here.", show_default=False)] = Path(),
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> int:
    """Begin a project: config, one job, one format, the ledger.

    All files are commented, and run as they are. Nothing that exists is overwritten.
    """
    from batchxfer.starter import write_project

    words = context_of(context, config, as_json)
    if config is not None:
        raise UsageError("init makes a project, so it takes no --config", hint="name the folder: batchxfer init DIR")
    written = write_project(folder)
    at = Context(config=folder / DEFAULT_CONFIG, output=words.output)
    with project.opened(at, project.load(at), create=True):
        pass
    if words.output.as_json:
        words.output.document({"folder": str(folder.absolute()), "files": [str(path) for path in written]})
        return ExitCode.DONE
    for path in written:
        words.output.say(f"made {path}")
    words.output.say()
    words.output.say("Next:")
    if folder != Path():
        words.output.say(f"  cd {folder}")
    words.output.say("  batchxfer check")
    words.output.say(f"  batchxfer run {_first_job(written)}")
    return ExitCode.DONE


def _first_job(written: list[Path]) -> str:
    return next(path.stem for path in written if path.parent.name == "jobs")


def demo(
    context: typer.Context,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where its project is made, anew each time.")
    ] = DEMO_FOLDER,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> int:
    """See the whole way on this machine, and what may go wrong.

    A shop's database, its partners' SFTP server on 127.0.0.1, and the example project: each format, an empty result, a wrong
    host key, a broken link, a rerun. Everything is made in DIR.
    """
    from batchxfer.cli.clock import SystemClock
    from batchxfer.cli.process import run
    from batchxfer.demo.story import tell

    words = context_of(context, config, as_json)
    told = tell(folder, run, SystemClock().now(), quiet=words.output.as_json)
    if words.output.as_json:
        words.output.document(told)
    return ExitCode.DONE
