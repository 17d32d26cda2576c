"""How long tests of random cases go on: a moment in the suite, hours with `make soak`.

BATCHXFER_SOAK=1 says so; BATCHXFER_SOAK=0.1 goes on for a tenth of that.
"""

from __future__ import annotations

import os
from datetime import timedelta

from hypothesis import HealthCheck, settings

SOAKING = float(os.environ.get("BATCHXFER_SOAK") or 0)
SLOW = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]


def examples(few: int, many: int) -> settings:
    """So many cases in the suite, so many by `make soak`; a case that takes ten seconds hangs."""
    return settings(
        max_examples=max(few, int(many * SOAKING)),
        deadline=timedelta(seconds=10),
        suppress_health_check=SLOW,
        derandomize=not SOAKING,
        database=None,
    )
