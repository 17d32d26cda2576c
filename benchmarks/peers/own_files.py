"""Every file of a folder over one session of batchxfer's: only written (`plain`), or as a delivery does it (`published`);
`shared`: as deliveries do it over the two sessions that an endpoint has, from the pool that workers share.

python -m benchmarks.peers.own_files plain|published|shared FOLDER REMOTE HOST PORT USER KEY HOST_KEY
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from batchxfer import push
from batchxfer.connections import Connections
from batchxfer.model import Artifact, Delivery, DeliveryFile, DeliveryStatus, FileRole, FileStatus
from batchxfer.ports import Session
from batchxfer.resolve import Policy
from benchmarks.peers.own_login import endpoint


def main(how: str, folder: str, remote: str, *server: str) -> None:
    paths = sorted(Path(folder).iterdir())
    send = {"plain": plain, "published": published, "shared": published}[how]
    began = time.perf_counter()
    sessions = 2 if how == "shared" else 1
    with Connections(lambda name: endpoint(*server), lambda name: sessions) as connections:

        def deliver(path: Path) -> None:
            with connections.session("partner") as session:
                send(session, path, f"{remote}/{path.name}".lstrip("/"))

        if sessions == 1:
            for path in paths:
                deliver(path)
        else:
            with ThreadPoolExecutor(sessions) as workers:
                list(workers.map(deliver, paths))
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
