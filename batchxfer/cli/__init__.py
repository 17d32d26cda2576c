"""The command line: words in, words out. Nothing heavy is imported before a command asks for it."""

from __future__ import annotations

import sys


def main() -> int:
    """The `batchxfer` command; returns the exit status (DESIGN §5)."""
    from batchxfer.cli.process import run

    return run(sys.argv[1:])
