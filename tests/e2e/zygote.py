"""Begins commands from a process that has everything imported already, so that a test can begin, and kill, many.

Speaks lines of JSON: in `{"words": […], "log": PATH}`, out the process's id. The command is the installed one in all else.
With a `"gate"` the command waits for a signal before it begins, and may be traced. With `"ahead"` it sends
any file while it is built, as it does with large ones.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys

AT_GATE = "at-gate"
OPENS = signal.SIGUSR1


def main() -> None:
    import_all()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            be_the_command(order)
        print(pid, flush=True)


def import_all() -> None:
    import adbc_driver_postgresql.dbapi  # noqa: F401
    import apscheduler.schedulers.background  # noqa: F401
    import psycopg  # noqa: F401

    import batchxfer.cli.app
    import batchxfer.cli.run
    import batchxfer.codec._read_delimited
    import batchxfer.codec._write_delimited
    import batchxfer.databases.sqlalchemy
    import batchxfer.decoding
    import batchxfer.endpoints.local
    import batchxfer.endpoints.sftp
    import batchxfer.headstart
    import batchxfer.layout
    import batchxfer.ledger.opening
    import batchxfer.ledger.postgresql
    import batchxfer.scheduler
    import batchxfer.wiring

    batchxfer.cli.app.app()


def wait_at_gate() -> None:
    """Let any process trace this one (PR_SET_PTRACER_ANY), and wait; its name (PR_SET_NAME) says so meanwhile.

    For a signal: a call that waits is begun anew when a tracer attaches itself, which then takes it for one of the command's.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {OPENS})
    prctl = ctypes.CDLL(None).prctl
    prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0)
    prctl(15, AT_GATE.encode(), 0, 0, 0)
    signal.sigwait({OPENS})
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {OPENS})


def be_the_command(order: dict[str, object]) -> None:
    from batchxfer import headstart, spool
    from batchxfer.cli.process import run

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(str(order["log"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if order.get("gate"):
        wait_at_gate()
    if order.get("ahead"):
        headstart.WORTH_BYTES = spool.TELL_BYTES = 1
    words = order["words"]
    assert isinstance(words, list)
    os._exit(run(words))


if __name__ == "__main__":
    main()
