"""TPC-H's orders from a file into PostgreSQL: a pull job from beginning to end, beside psql's \\copy of the same file."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from benchmarks.measuring import Contender, Measured, run, side_by_side
from benchmarks.projects import Project, database, local, partner
from benchmarks.report import Table
from benchmarks.stage import Stage, tool

REFERENCE = "`psql \\copy` from the file"
ORDERS = """
o_orderkey bigint not null, o_custkey bigint not null, o_orderstatus varchar(1), o_totalprice numeric(15,2), o_orderdate date,
o_orderpriority varchar(15), o_clerk varchar(15), o_shippriority integer, o_comment varchar(79)
"""
JOB = """
direction = "pull"
[file]
format = "delimited"
endpoint = "partner"
path = "orders.csv"
done_file = "{path}.done"
then = "delete"
[load]
database = "warehouse"
table = "orders"
"""


def measure(stage: Stage, rounds: int) -> Table:
    file = _orders(stage)
    prepare(stage, "drop table if exists orders", f"create table orders ({ORDERS})")
    folder = stage.folder / "load-in"
    folder.mkdir(exist_ok=True)
    near, far = _project(stage, "load-local", local(folder)), _project(stage, "load-sftp", partner(stage))

    def by_hand() -> Measured:
        prepare(stage, "truncate orders")
        os.sync()
        return _whole(stage, run(stage.psql(f"\\copy orders from '{file}' (format csv, header)")))

    def own(project: Project, place: Path) -> Measured:
        prepare(stage, "truncate orders")
        shutil.copyfile(file, place / "orders.csv")
        (place / "orders.csv.done").touch()
        # The partner's file has been there for a while: what it still owes the disk is not ours.
        os.sync()
        taken = _whole(stage, project.run("orders"))
        project.forget_files(project.folder / "var" / "in")
        return taken

    ways = [
        Contender(name=REFERENCE, act=by_hand),
        Contender(name="batchxfer, from a folder", act=lambda: own(near, folder)),
        Contender(name="batchxfer, over SFTP", act=lambda: own(far, stage.partner)),
    ]
    return Table(
        title="From a partner's file into PostgreSQL",
        about=f"{stage.rows:,} rows × 9 columns of orders, {file.stat().st_size / 1e6:.0f} MB of CSV, into a table without "
        "an index. batchxfer: `batchxfer run` of a pull job: fetched with its sha256, made durable, read, checked against "
        "the table's types, loaded with the record of it in one transaction, and removed at the partner's.",
        reference=REFERENCE,
        results=side_by_side(ways, rounds),
    )


def _orders(stage: Stage) -> Path:
    """orders as CSV with a header, cut to the rows that were asked for."""
    data = stage.folder / "orders"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir()
    words = ["csv", "-s", f"{stage.rows / 1_500_000 * 1.005:.6f}", "--tables", "orders", "--output-dir", str(data)]
    subprocess.run([tool("tpchgen-cli"), *words], check=True, stdout=subprocess.DEVNULL)
    file = data / "cut.csv"
    with (data / "orders.csv").open("rb") as whole, file.open("wb") as cut:
        cut.writelines(line for _, line in zip(range(stage.rows + 1), whole, strict=False))
    return file


def _project(stage: Stage, name: str, endpoint: str) -> Project:
    return Project(stage.folder / name, database("warehouse", stage.empty_postgresql) + endpoint, {"orders": JOB})


def prepare(stage: Stage, *statements: str) -> None:
    subprocess.run(stage.psql("set client_min_messages = error", *statements, "checkpoint"), check=True)


def _whole(stage: Stage, taken: Measured) -> Measured:
    """What was not loaded was not measured."""
    words = [*stage.psql("select count(*) from orders"), "-At"]
    count = int(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    if count != stage.rows:
        raise SystemExit(f"{count:,} rows are in the table, and not {stage.rows:,}")
    return taken
