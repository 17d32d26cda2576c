"""`SFTPClient.put` or `get` as it comes.

python -m benchmarks.peers.paramiko_transfer put|get FROM TO HOST PORT USER KEY
"""

from __future__ import annotations

import json
import sys
import time

from benchmarks.peers.paramiko_login import login


def main(what: str, source: str, target: str, *server: str) -> None:
    began = time.perf_counter()
    with login(*server) as client:
        getattr(client.open_sftp(), what)(source, target)
    print(json.dumps({"seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main(*sys.argv[1:])
