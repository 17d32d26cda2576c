"""Commands of the demo: typed as a person would type them, with what they print, or asked for their JSON."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batchxfer.errors import BatchxferError, ExitCode

Command = Callable[[Sequence[str]], int]
"""Carries out `batchxfer WORDS` as the installed command does, and returns its exit status."""


class DemoError(BatchxferError):
    """A command of the demo did not end as it should."""

    kind = "demo"


@dataclass(kw_only=True)
class Shell:
    """Runs commands; `typed` is what was run so far, with the exit statuses. `quiet` ones print nothing."""

    command: Command
    quiet: bool
    typed: list[dict[str, object]] = field(default_factory=list)

    def run(self, *words: str, expect: ExitCode = ExitCode.DONE) -> None:
        """One command with its output. Raises DemoError when it ends in another way than `expect`."""
        status = self._quietly(words, expect) if self.quiet else self.command(words)
        self.typed.append({"command": ["batchxfer", *words], "exit_code": status})
        if status == ExitCode.INTERRUPTED:
            raise KeyboardInterrupt
        if status != expect:
            raise DemoError(
                f"`batchxfer {' '.join(words)}` ended with {status}, and the demo expected {int(expect)}",
                hint="this is a fault of the demo or of this machine: please report it with what stands above",
            )

    def ask(self, *words: str) -> Any:
        """What a command says to a program."""
        return self._captured([*words, "--json"])[1]

    def _quietly(self, words: Sequence[str], expect: ExitCode) -> int:
        """What goes wrong on purpose is not for stderr; what goes wrong by accident is."""
        complaints = io.StringIO()
        with redirect_stderr(complaints):
            status = self._captured([*words, "--json"])[0]
        if status != expect:
            sys.stderr.write(complaints.getvalue())
        return status

    def _captured(self, words: Sequence[str]) -> tuple[int, Any]:
        said = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        with redirect_stdout(said):
            status = self.command(words)
            said.flush()
        return status, json.loads(said.buffer.getvalue() or b"null")


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """As if one had typed `cd FOLDER`: its config.toml is found without being named."""
    named = os.environ.pop("BATCHXFER_CONFIG", None)
    try:
        with chdir(folder):
            yield
    finally:
        if named is not None:
            os.environ["BATCHXFER_CONFIG"] = named
