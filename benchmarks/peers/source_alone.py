"""batchxfer's source by itself: reads a query to its end, as columns, and writes nothing.

python -m benchmarks.peers.source_alone URL QUERY
"""

from __future__ import annotations

import sys
from importlib import import_module

from batchxfer.definitions import DatabaseOptions
from batchxfer.ports import Query


def main(url: str, query: str) -> None:
    module = import_module(f"batchxfer.databases.{'postgresql' if url.startswith('postgresql') else 'sqlalchemy'}")
    source = module.Source("shop", DatabaseOptions(url=url), url=url, password=None)
    with source.read(Query(text=query, parameters={})) as rows:
        for _ in rows:
            pass


if __name__ == "__main__":
    main(*sys.argv[1:])
