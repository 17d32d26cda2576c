"""The script that people write for any database: SQLAlchemy rows, `csv.writer`.

python -m benchmarks.peers.sqlalchemy_script URL QUERY FILE
"""

from __future__ import annotations

import csv
import sys

import sqlalchemy as sa


def main(url: str, query: str, file: str) -> None:
    with sa.create_engine(url).connect() as connection, open(file, "w", newline="") as out:
        rows = connection.execution_options(stream_results=True).execute(sa.text(query))
        writer = csv.writer(out)
        writer.writerow(rows.keys())
        for part in rows.partitions(20_000):
            writer.writerows(part)


if __name__ == "__main__":
    main(*sys.argv[1:])
