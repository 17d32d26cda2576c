"""The command line: words in, words out. Nothing heavy is imported before a command asks for it."""

from __future__ import annotations

import gc
import sys

GARBAGE_AFTER_OBJECTS = 250_000
"""More than importing makes."""


def main() -> int:
    """The `batchxfer` command; returns the exit status (DESIGN §5)."""
    # Importing makes many objects and no garbage: Python's default looks through them all again and again, for a quarter of
    # the time that a command takes to start.
    gc.set_threshold(GARBAGE_AFTER_OBJECTS)
    from batchxfer.cli.process import run, say_faults_without_secrets

    say_faults_without_secrets()
    try:
        return run(sys.argv[1:])
    finally:
        # Else the interpreter looks for garbage in all of it once more before it ends.
        gc.freeze()
