"""Every file of a folder with `SFTPClient.put`, over one login.

python -m benchmarks.peers.paramiko_files FOLDER REMOTE HOST PORT USER KEY
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from benchmarks.peers.paramiko_login import login


def main(folder: str, remote: str, *server: str) -> None:
    began = time.perf_counter()
    with login(*server) as client:
        sftp = client.open_sftp()
        for path in sorted(Path(folder).iterdir()):
            sftp.put(str(path), f"{remote}/{path.name}")
    print(json.dumps({"seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main(*sys.argv[1:])
