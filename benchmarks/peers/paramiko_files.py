"""Every file of a folder with `SFTPClient.put` or `get`, over one login.

python -m benchmarks.peers.paramiko_files put|get FROM TO HOST PORT USER KEY
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from benchmarks.peers.paramiko_login import login


def main(what: str, source: str, target: str, *server: str) -> None:
    began = time.perf_counter()
    with login(*server) as client:
        sftp = client.open_sftp()
        if what == "put":
            for path in sorted(Path(source).iterdir()):
                sftp.put(str(path), f"{target}/{path.name}")
        else:
            for name in sorted(sftp.listdir(source)):
                sftp.get(f"{source}/{name}", f"{target}/{name}")
    print(json.dumps({"seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main(*sys.argv[1:])
