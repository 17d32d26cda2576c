"""batchxfer's upload or download of one file, without a run around it.

python -m benchmarks.peers.own_transfer put|get FROM TO HOST PORT USER KEY HOST_KEY
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from batchxfer.ports import Session
from batchxfer.spool import VerifyingReader
from benchmarks.peers.own_login import login


def main(what: str, source: str, target: str, *server: str) -> None:
    began = time.perf_counter()
    session = login(*server)
    {"put": put, "get": get}[what](session, source, target)
    session.close()
    print(json.dumps({"seconds": time.perf_counter() - began}))


def put(session: Session, source: str, target: str) -> None:
    with Path(source).open("rb") as file:
        session.upload(target.lstrip("/"), VerifyingReader(file), exclusive=True)


def get(session: Session, source: str, target: str) -> None:
    with Path(target).open("wb") as file:
        for piece in session.read(source.lstrip("/")):
            file.write(piece)


if __name__ == "__main__":
    main(*sys.argv[1:])
