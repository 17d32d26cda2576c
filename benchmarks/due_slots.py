"""1,000 tiny slots of 1,000 jobs that are due at once: plan, claim, build, deliver."""

from __future__ import annotations

from benchmarks.measuring import Contender, Measured, peer, run, side_by_side
from benchmarks.projects import Project, database, local, partner
from benchmarks.report import Table
from benchmarks.stage import Stage
from benchmarks.starting import SCHEDULED

SLOTS = 1_000


def measure(stage: Stage, rounds: int) -> Table:
    (stage.folder / "tiny.db").touch()
    shop = database("shop", f"sqlite:///{stage.folder / 'tiny.db'}")
    out = stage.folder / "due-out"
    out.mkdir(exist_ok=True)
    places = {"to SFTP": partner(stage), "to a folder": local(out)}

    def due(place: str) -> Measured:
        jobs = {f"job-{number:04}": SCHEDULED.format(minute=0, hour=3) for number in range(SLOTS)}
        project = Project(stage.folder / "due", shop + places[place], jobs)
        taken = run(peer("due_at_once", project.folder / "config.toml", SLOTS))
        project.forget_files(stage.partner, out)
        return taken

    return Table(
        title="Many slots due at once",
        about=f"{SLOTS:,} tiny slots of {SLOTS:,} jobs, through `run --due`'s own code on the SQLite ledger, SQLite to one "
        "endpoint, `workers` and `connections` as they come (4 and 2).",
        reference="to SFTP",
        results=side_by_side([Contender(name=place, act=lambda place=place: due(place)) for place in places], rounds),
    )
