"""The options that every command takes, and how a command comes to know them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from batchxfer.cli.output import Output

CONFIG_VARIABLE = "BATCHXFER_CONFIG"
DEFAULT_CONFIG = "config.toml"

ConfigPath = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="PATH",
        help=f"The project's configuration; default: ${CONFIG_VARIABLE}, else ./{DEFAULT_CONFIG}.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, for programs.", show_default=False)]
Debug = Annotated[bool, typer.Option("--debug", help="Show where an unexpected error happened.", show_default=False)]


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What was said before the command's name."""

    config: Path | None = None
    as_json: bool = False


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a command works with: where the configuration is, and where its words go."""

    config: Path
    output: Output


def context_of(context: typer.Context, config: Path | None, as_json: bool) -> Context:
    """The options of one command, those before its name included; the ones after it come first."""
    before = context.obj if isinstance(context.obj, Chosen) else Chosen()
    chosen = config or before.config or Path(os.environ.get(CONFIG_VARIABLE) or DEFAULT_CONFIG)
    return Context(config=chosen, output=Output(as_json=as_json or before.as_json))
