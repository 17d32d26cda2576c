"""MariaDB to a file in a folder: no network."""

from __future__ import annotations

import getpass
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measuring import Contender, Measured, peer, run, side_by_side
from benchmarks.projects import Project, by_hand, database, local
from benchmarks.report import Table
from benchmarks.stage import COLUMNS, Stage, say, tool

REFERENCE = "batchxfer, delimited"
QUERY = "select * from lineitem"
START_SECONDS = 60


def measure(stage: Stage, rounds: int) -> Table:
    out = stage.folder / "mariadb-out"
    out.mkdir(exist_ok=True)
    with _mariadb(stage) as url:
        jobs = {"lineitem": by_hand("shop", QUERY), "tiny": by_hand("shop", "select 1 as id")}
        project = Project(stage.folder / "mariadb", database("shop", url) + local(out), jobs)
        project.run("tiny")

        def own() -> Measured:
            taken = project.run("lineitem")
            project.forget_files(out)
            return taken

        def alone() -> Measured:
            return run(peer("source_alone", url, QUERY))

        def script() -> Measured:
            return run(peer("sqlalchemy_script", url, QUERY, out / "script.csv"))

        ways = [
            Contender(name=REFERENCE, act=own),
            Contender(name="batchxfer, the source alone: columns, no file", act=alone),
            Contender(name="script: SQLAlchemy rows from PyMySQL, `csv.writer`", act=script),
        ]
        results = side_by_side(ways, rounds)
    return Table(
        title="From MariaDB to a folder",
        about=f"{stage.rows:,} rows × 16 columns of lineitem, through the server's socket; batchxfer also writes to the spool, "
        "copies and verifies. Starting Python counts.",
        reference=REFERENCE,
        results=results,
    )


@contextmanager
def _mariadb(stage: Stage) -> Iterator[str]:
    """The URL of a MariaDB that holds the table lineitem, and ends with the context."""
    # A socket's path has at most 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="mariadb-"))
    server = None
    try:
        server = _started(folder)
        url = f"mysql+pymysql://root@/mysql?unix_socket={folder / 'socket'}"
        _fill(url, stage)
        yield url
    finally:
        if server is not None:
            server.terminate()
            server.wait(START_SECONDS)
        shutil.rmtree(folder)


def _started(folder: Path) -> subprocess.Popen[bytes]:
    words = [f"--user={getpass.getuser()}", f"--datadir={folder / 'data'}"]
    install = [tool("mariadb-install-db"), "--no-defaults", *words, "--auth-root-authentication-method=normal"]
    subprocess.run(install, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    more = [f"--socket={folder / 'socket'}", "--skip-networking", "--local-infile=1", "--innodb-buffer-pool-size=512M"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([tool("mariadbd"), "--no-defaults", *words, *more], stdout=log, stderr=log)
    deadline = time.monotonic() + START_SECONDS
    while not (folder / "socket").exists():
        if server.poll() is not None or time.monotonic() > deadline:
            server.kill()
            raise SystemExit((folder / "log").read_text())
        time.sleep(0.1)
    return server


def _fill(url: str, stage: Stage) -> None:
    say(f"filling MariaDB with {stage.rows:,} rows of lineitem")
    columns = COLUMNS.replace("numeric", "decimal").replace("\n", " ")
    load = f"LOAD DATA LOCAL INFILE '{stage.lineitem}' INTO TABLE mysql.lineitem FIELDS TERMINATED BY ','"
    statements = [
        f"CREATE TABLE mysql.lineitem ({columns})",
        f"{load} OPTIONALLY ENCLOSED BY '\"' IGNORE 1 LINES",
        f"DELETE FROM mysql.lineitem LIMIT {_too_many(stage)}",
        "ANALYZE TABLE mysql.lineitem",
    ]
    program = (
        "import sys, pymysql\n"
        "c = pymysql.connect(unix_socket=sys.argv[1], user='root', local_infile=True, autocommit=True).cursor()\n"
        "for s in sys.argv[2:]: c.execute(s)\n"
    )
    # In a process of its own: the peak that is measured is only right while this one is small.
    subprocess.run([sys.executable, "-c", program, url.rpartition("=")[2], *statements], check=True)


def _too_many(stage: Stage) -> int:
    with stage.lineitem.open("rb") as file:
        return max(0, sum(1 for _ in file) - 1 - stage.rows)
