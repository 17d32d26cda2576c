"""One part by itself: a codec without a database, a source without a file."""

from __future__ import annotations

from benchmarks.measuring import Contender, Measured, peer, run, side_by_side
from benchmarks.report import Table
from benchmarks.stage import SQLITE_ROWS, Stage

QUERY = "select * from lineitem"
CODECS = ("delimited", "key-value", "json-lines", "fixed-width", "csv.writer", "orjson")
ROWS = 1_000_000


def codecs(stage: Stage, rounds: int) -> Table:
    def encode(kind: str) -> Measured:
        return run(peer("codec_alone", kind, stage.lineitem, ROWS))

    names = {kind: f"batchxfer, {kind}" for kind in CODECS[:4]} | {
        "csv.writer": "`csv.writer`, rows of Python's values",
        "orjson": "`orjson.dumps` a row, a dict each",
    }
    return Table(
        title="Codecs alone",
        about=f"{ROWS:,} rows × 16 columns of lineitem that are in memory already, in batches of 65,536: as columns for "
        "batchxfer, as Python's values for the others. The time is that of encoding alone; the processor time is not.",
        reference=names["delimited"],
        results=side_by_side(
            [Contender(name=names[kind], act=lambda kind=kind: encode(kind)) for kind in CODECS], rounds
        ),
    )


def postgresql(stage: Stage, rounds: int) -> Table:
    return _sources("PostgreSQL", "psycopg", stage.postgresql, stage.rows, rounds)


def sqlite(stage: Stage, rounds: int) -> Table:
    return _sources("SQLite", "SQLAlchemy", f"sqlite:///{stage.sqlite}", min(stage.rows, SQLITE_ROWS), rounds)


def _sources(database: str, driver: str, url: str, rows: int, rounds: int) -> Table:
    reference = "batchxfer, columns"
    ways = [
        Contender(name=reference, act=lambda: run(peer("source_alone", url, QUERY))),
        Contender(name=f"{driver}, rows", act=lambda: run(peer("rows_alone", url, QUERY))),
    ]
    return Table(
        title=f"From {database}, the source alone",
        about=f"{rows:,} rows × 16 columns of lineitem, read to the end and dropped. Starting Python counts.",
        reference=reference,
        results=side_by_side(ways, rounds),
    )
