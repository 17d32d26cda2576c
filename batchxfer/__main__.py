"""`python -m batchxfer` is `batchxfer`."""

from __future__ import annotations

import sys

from batchxfer.cli import main

if __name__ == "__main__":
    sys.exit(main())
