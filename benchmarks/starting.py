"""How long it takes until something happens: --help, a tiny job, a check of 1,000 jobs."""

from __future__ import annotations

from benchmarks.measuring import Contender, side_by_side
from benchmarks.projects import Project, by_hand, database, partner
from benchmarks.report import Table
from benchmarks.stage import Stage

JOBS = 1_000
SCHEDULED = """
[schedule]
cron = "{minute} {hour} * * *"
[source]
database = "shop"
query = "select 1 as id where :interval_start < :interval_end"
[file]
format = "delimited"
endpoint = "partner"
path = "{{job}}-{{business_date:%Y%m%d}}.csv"
"""


def measure(stage: Stage, rounds: int) -> Table:
    shop = f"sqlite:///{stage.folder / 'tiny.db'}"
    (stage.folder / "tiny.db").touch()
    databases = database("shop", shop) + database("warehouse", stage.postgresql)
    query = "select 1 as id, 'Ana' as name"
    jobs = {"from-sqlite": by_hand("shop", query), "from-postgresql": by_hand("warehouse", query)}
    tiny = Project(stage.folder / "tiny", databases + partner(stage), jobs)
    tiny.run("from-sqlite")
    many_jobs = {f"job-{n:04}": SCHEDULED.format(minute=n % 60, hour=n // 60 % 24) for n in range(JOBS)}
    many = Project(stage.folder / "many", databases + partner(stage), many_jobs)
    ways = [
        Contender(name="`batchxfer --help`", act=lambda: tiny.batchxfer("--help")),
        Contender(name="`run` of a tiny job, SQLite to SFTP", act=lambda: tiny.run("from-sqlite")),
        Contender(name="`run` of a tiny job, PostgreSQL to SFTP", act=lambda: tiny.run("from-postgresql")),
        Contender(name="`status` of 2 jobs", act=lambda: tiny.batchxfer("status")),
        Contender(name=f"`check` of {JOBS:,} jobs", act=lambda: many.batchxfer("check")),
    ]
    return Table(
        title="Starting up",
        about="The installed command from its start to its end.",
        reference="`batchxfer --help`",
        results=side_by_side(ways, rounds),
    )
