"""SQLite to a file in a folder: no network, no PostgreSQL."""

from __future__ import annotations

from benchmarks.measuring import Contender, Measured, peer, run, side_by_side
from benchmarks.projects import Project, by_hand, database, local
from benchmarks.report import Table
from benchmarks.stage import SQLITE_ROWS, Stage

REFERENCE = "batchxfer, delimited"
QUERY = "select * from lineitem"


def measure(stage: Stage, rounds: int) -> Table:
    out = stage.folder / "sqlite-out"
    out.mkdir(exist_ok=True)
    jobs = {"lineitem": by_hand("shop", QUERY), "tiny": by_hand("shop", "select 1 as id")}
    project = Project(stage.folder / "sqlite", database("shop", f"sqlite:///{stage.sqlite}") + local(out), jobs)
    project.run("tiny")

    def own() -> Measured:
        taken = project.run("lineitem")
        project.forget_files(out)
        return taken

    def script() -> Measured:
        return run(peer("sqlalchemy_script", f"sqlite:///{stage.sqlite}", QUERY, out / "script.csv"))

    ways = [
        Contender(name=REFERENCE, act=own),
        Contender(name="script: SQLAlchemy rows, `csv.writer`", act=script),
    ]
    return Table(
        title="From SQLite to a folder",
        about=f"{min(stage.rows, SQLITE_ROWS):,} rows × 16 columns of lineitem; batchxfer, in two processes, also "
        "writes to the spool, copies and verifies.",
        reference=REFERENCE,
        results=side_by_side(ways, rounds),
    )
