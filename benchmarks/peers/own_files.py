"""Every file of a folder over one session of batchxfer's: only written (`plain`), or as a delivery does it (`published`).

python -m benchmarks.peers.own_files plain|published FOLDER REMOTE HOST PORT USER KEY HOST_KEY
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from batchxfer import push
from batchxfer.model import Artifact, Delivery, DeliveryFile, DeliveryStatus, FileRole, FileStatus
from batchxfer.ports import Session
from batchxfer.resolve import Policy
from benchmarks.peers.own_login import login


def main(how: str, folder: str, remote: str, *server: str) -> None:
    paths = sorted(Path(folder).iterdir())
    send = {"plain": plain, "published": published}[how]
    began = time.perf_counter()
    session = login(*server)
    for path in paths:
        send(session, path, f"{remote}/{path.name}".lstrip("/"))
    session.close()
    print(json.dumps({"seconds": time.perf_counter() - began}))


def plain(session: Session, path: Path, remote: str) -> None:
    with path.open("rb") as file:
        session.upload(remote, file, exclusive=True)


def published(session: Session, path: Path, remote: str) -> None:
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    artifact = Artifact(id=path.name, path=path, rows=0, bytes=len(data), sha256=digest, created_at=datetime.now(UTC))
    file = DeliveryFile(role=FileRole.DATA, path=remote, status=FileStatus.PENDING)
    delivery = Delivery(id=path.name, endpoint="partner", path=remote, status=DeliveryStatus.PENDING, files=(file,))
    policy = Policy(replace=False, direct=False, taken_at_once=False)
    agreement = push.Agreement(endpoint="partner", policy=policy)
    push.deliver(session, delivery, artifact, agreement, _record_nothing, attempt=path.name)


def _record_nothing(role: FileRole, status: FileStatus, **facts: object) -> None:
    pass


if __name__ == "__main__":
    main(*sys.argv[1:])
