"""What a driver's rows take by themselves: psycopg's for PostgreSQL, SQLAlchemy's for others; nothing is written.

python -m benchmarks.peers.rows_alone URL QUERY
"""

from __future__ import annotations

import sys


def main(url: str, query: str) -> None:
    if url.startswith("postgresql"):
        import psycopg

        with psycopg.connect(url) as connection, connection.cursor("rows") as cursor:
            cursor.itersize = 10_000
            cursor.execute(query.encode())
            for _ in cursor:
                pass
        return
    import sqlalchemy as sa

    with sa.create_engine(url).connect() as connection:
        for _ in connection.execution_options(stream_results=True).execute(sa.text(query)).partitions(20_000):
            pass


if __name__ == "__main__":
    main(*sys.argv[1:])
