"""1,000 tiny slots of 1,000 jobs that are due at once: plan, claim, build, deliver."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from benchmarks.measuring import Contender, Measured, peer, run, side_by_side
from benchmarks.projects import Project, database, local, partner
from benchmarks.report import Table
from benchmarks.stage import Stage
from benchmarks.starting import SCHEDULED

SLOTS = 1_000
THREE = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
REFERENCE = "SQLite ledger, to SFTP"


def measure(stage: Stage, rounds: int) -> Table:
    (stage.folder / "tiny.db").touch()
    shop = database("shop", f"sqlite:///{stage.folder / 'tiny.db'}")
    out = stage.folder / "due-out"
    out.mkdir(exist_ok=True)
    ways = {
        REFERENCE: ("", partner(stage)),
        "SQLite ledger, to a folder": ("", local(out)),
        "PostgreSQL ledger, to SFTP": ("ledger", partner(stage)),
    }

    def due(ledger: str, place: str) -> Measured:
        own = f'ledger = "{stage.new_database(ledger)}"\n' if ledger else ""
        at = (datetime.now(UTC) + timedelta(seconds=100)).replace(second=0, microsecond=0) if ledger else THREE
        job = SCHEDULED.format(minute=at.minute, hour=at.hour)
        project = Project(
            stage.folder / "due", own + shop + place, {f"job-{number:04}": job for number in range(SLOTS)}
        )
        waited_for = [at.isoformat()] if ledger else []
        taken = run(peer("due_at_once", project.folder / "config.toml", SLOTS, *waited_for))
        project.forget_files(stage.partner, out)
        return taken

    return Table(
        title="Many slots due at once",
        about=f"{SLOTS:,} tiny slots of {SLOTS:,} jobs, through `run --due`'s own code, SQLite to one endpoint, `workers` and "
        "`connections` as they come (4 and 2).",
        reference=REFERENCE,
        results=side_by_side(
            [Contender(name=name, act=lambda way=way: due(*way)) for name, way in ways.items()], rounds
        ),
    )
