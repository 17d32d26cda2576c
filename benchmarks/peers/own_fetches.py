"""Every file of a remote folder over one session of batchxfer's, as a pull fetches them.

python -m benchmarks.peers.own_fetches REMOTE FOLDER HOST PORT USER KEY HOST_KEY
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from batchxfer import pull
from batchxfer.inbox import Arrival
from batchxfer.model import FetchedFile, SeenFile
from benchmarks.peers.own_login import login


def main(remote: str, folder: str, *server: str) -> None:
    began = time.perf_counter()
    agreement = pull.Agreement(glob=f"{remote}/*.txt".lstrip("/"), max_bytes=1 << 32)
    with closing(login(*server)) as session:
        files = [_file(seen) for seen in pull.look(session, agreement).files.values()]
        with closing(pull.Ahead(session, files)) as ahead:
            for file in files:
                arrival = Arrival(Path(folder, Path(file.path).name), file.id)
                with closing(ahead.take(file)) as reading:
                    pull.fetch(session, "partner", file, agreement, arrival, reading)
                arrival.accept(lambda name: None)
    print(json.dumps({"seconds": time.perf_counter() - began}))


def _file(seen: SeenFile) -> FetchedFile:
    name = Path(seen.path).name
    return FetchedFile(
        id=name,
        file=name,
        run="",
        revision=1,
        job="",
        endpoint="partner",
        path=seen.path,
        size=seen.size,
        modified=seen.modified,
        seen_at=datetime.now(UTC),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
