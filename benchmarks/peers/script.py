"""The script that people write: rows from psycopg, `csv.writer`, `SFTPClient.put`.

python -m benchmarks.peers.script URL QUERY FILE REMOTE HOST PORT USER KEY
"""

from __future__ import annotations

import csv
import sys

import psycopg

from benchmarks.peers.paramiko_login import login


def main(url: str, query: str, file: str, remote: str, *server: str) -> None:
    # A cursor with a name is what keeps the result from being read into memory at once.
    with psycopg.connect(url) as connection, connection.cursor("rows") as cursor, open(file, "w", newline="") as out:
        cursor.itersize = 10_000
        cursor.execute(query.encode())
        writer = csv.writer(out)
        writer.writerow(column.name for column in cursor.description or ())
        writer.writerows(cursor)
    with login(*server) as client:
        client.open_sftp().put(file, remote)


if __name__ == "__main__":
    main(*sys.argv[1:])
