"""lineitem from PostgreSQL to a file on an SFTP server: the whole way, in each format, beside what people use."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from benchmarks.measuring import Contender, Measured, peer, run, side_by_side
from benchmarks.projects import KINDS, Project, by_hand, database, partner
from benchmarks.report import Table
from benchmarks.stage import Stage

REFERENCE = "`psql \\copy` to a file, then `sftp put`"
QUERY = "select * from lineitem"


def measure(stage: Stage, rounds: int) -> Table:
    ways = [Contender(name=REFERENCE, act=lambda: _by_hand(stage)), *_batchxfer(stage)]
    ways.append(Contender(name="script: psycopg rows, `csv.writer`, `SFTPClient.put`", act=lambda: _script(stage)))
    if sling := _sling():
        ways.append(Contender(name="Sling 1.4.11", act=lambda: _by_sling(stage, sling)))
    return Table(
        title="From PostgreSQL to SFTP",
        about=f"{stage.rows:,} rows × 16 columns of lineitem. batchxfer: `batchxfer run` with everything that it checks and "
        "records; the files of key-value and JSON lines are 2.5–3 × as large.",
        reference=REFERENCE,
        results=side_by_side(ways, rounds),
    )


def _batchxfer(stage: Stage) -> list[Contender]:
    jobs = {f"lineitem-{kind}": by_hand("warehouse", QUERY, format=kind) for kind in KINDS}
    tiny = by_hand("warehouse", "select 1 as id")
    config = database("warehouse", stage.postgresql) + partner(stage)
    project = Project(stage.folder / "end-to-end", config, {**jobs, "tiny": tiny})
    project.run("tiny")

    def deliver(job: str) -> Measured:
        taken = project.run(job)
        _require(stage, f"{job}-*")
        project.forget_files(stage.partner)
        return taken

    return [Contender(name=f"batchxfer, {kind}", act=lambda job=f"lineitem-{kind}": deliver(job)) for kind in KINDS]


def _by_hand(stage: Stage) -> Measured:
    file = stage.folder / "lineitem-by-hand.csv"
    taken = run(stage.psql(f"\\copy ({QUERY}) to '{file}' (format csv, header)"))
    taken += run(stage.sftp(f"put {file} {stage.partner}/by-hand.csv"))
    return _cleaned(stage, taken, "by-hand.csv", file)


def _script(stage: Stage) -> Measured:
    file = stage.folder / "lineitem-script.csv"
    words = [stage.postgresql, QUERY, file, f"{stage.partner}/script.csv", *stage.login()]
    return _cleaned(stage, run(peer("script", *words)), "script.csv", file)


def _sling() -> Path | None:
    """The program of the package for this machine; the other package's wrapper would fetch a newer one."""
    package = find_spec("sling_linux_amd64")
    return Path(package.origin or "").parent / "bin" / "sling-linux-amd64" if package else None


def _by_sling(stage: Stage, sling: Path) -> Measured:
    server = stage.sshd
    place = f"sftp://{server.user}@{server.host}:{server.port}"
    environment = {
        "SLING_DISABLE_TELEMETRY": "true",
        "WAREHOUSE": stage.postgresql + "&sslmode=disable",
        "PARTNER": f'{{"type": "sftp", "host": "{server.host}", "port": "{server.port}", "user": "{server.user}", '
        f'"private_key": "{server.private_key}"}}',
    }
    words = ["run", "--src-conn", "WAREHOUSE", "--src-stream", QUERY, "--tgt-conn", "PARTNER"]
    taken = run([sling, *words, "--tgt-object", f"{place}/{stage.partner}/sling.csv"], environment=environment)
    return _cleaned(stage, taken, "sling.csv")


def _cleaned(stage: Stage, taken: Measured, arrived: str, *others: Path) -> Measured:
    _require(stage, arrived)
    for path in (*stage.partner.rglob("*"), *others):
        if path.is_file():
            path.unlink()
    return taken


def _require(stage: Stage, pattern: str) -> None:
    """What was not delivered was not measured."""
    sizes = [path.stat().st_size for path in stage.partner.rglob(pattern) if path.is_file()]
    if not sizes or sum(sizes) < stage.rows * 50:
        raise SystemExit(f"{pattern} did not arrive whole: {sizes}")
