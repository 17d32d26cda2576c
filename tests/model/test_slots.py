"""Whatever happens in whatever order, the ledger and the partner agree with a model that is a set of slots.

The machine plans, claims, builds and sends one job's slots; the line breaks, the database is away, a process is killed before
or after any call, or stands still while another takes over, the clock steps, and a person types commands. `make soak` goes on
for long.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from batchxfer.errors import DatabaseUnavailable
from batchxfer.model import Column, ColumnType, DeliveryStatus, Outcome, Run, RunStatus, TypeName
from batchxfer.ports import Query
from tests.faults.partner import MemorySession, Partner
from tests.ledgers import HandClock
from tests.model.machine import NOW, Machine, World, new_project, steps  # noqa: F401
from tests.soak import examples

PUSH = """
[schedule]
cron = "0 * * * *"
catch_up = "all"
catch_up_window = "365d"
[source]
database = "shop"
query = "select :slot as slot"
[guard]
max_rows = 1
[file]
format = "csv"
endpoint = "bank"
path = "{slot_utc:%Y%m%dT%H}.csv"
done_file = "{path}.done"
[retry]
after = ["5m", "30m", "2h"]
"""


class ShopAndBank(World):
    """A shop that is queried, and a bank that takes files."""

    def __init__(self) -> None:
        super().__init__()
        self.partner = Partner()
        self.rows = 1
        self.queries: list[str] = []

    @contextmanager
    def read(self, query: Query) -> Iterator[Any]:
        if self.database_is_away:
            self.database_is_away -= 1
            raise DatabaseUnavailable("database 'shop' is restarting")
        self.queries.append(str(query.parameters["slot"]))
        yield _Answer(f"{query.parameters['slot']} {len(self.queries)}", self.rows)

    def connect(self) -> MemorySession:
        return MemorySession(self.partner, self.pending_breaks())

    def mend(self) -> None:
        super().mend()
        self.rows = 1


class _Answer:
    """Each query's rows are others, so that one that runs twice is seen."""

    columns = (Column("slot", ColumnType(TypeName.TEXT)),)

    def __init__(self, text: str, rows: int) -> None:
        self._text, self._rows = text, rows

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        yield pa.RecordBatch.from_pydict({"slot": [self._text] * self._rows})


class Slots(Machine):
    words = ("retry", "resend", "release", "rerun", "accept", "exclude")
    world: ShopAndBank

    @initialize()
    def begin(self) -> None:
        self.bytes: dict[str, str] = {}
        self.begin_with(PUSH, ShopAndBank(), HandClock(NOW))

    @rule(rows=st.integers(0, 2))
    def the_query_finds(self, rows: int) -> None:
        self.world.rows = rows

    # --- what holds ------------------------------------------------------------------------------

    def check(self, runs: list[Run]) -> None:
        self.nothing_is_published_twice_or_in_part()
        self.what_is_delivered_is_there(runs)
        self.what_was_begun_to_be_sent_keeps_its_bytes(runs)
        self.what_was_built_is_not_built_again_by_itself(runs)

    def nothing_is_published_twice_or_in_part(self) -> None:
        published = Counter(path for path, _ in self.world.partner.published)
        assert not [path for path, count in published.items() if count > 1], published
        for path, content in self.world.partner.published:
            assert self.world.partner.files.get(path) == content, "what the partner has does not change"
            if not path.endswith(".done"):
                assert content.startswith(b"slot\n")
                assert content.endswith(b"\n")

    def what_is_delivered_is_there(self, runs: list[Run]) -> None:
        for run in runs:
            for delivery in run.deliveries:
                if delivery.status is not DeliveryStatus.DELIVERED or (
                    delivery.evidence is not None and delivery.evidence.how == "accepted"
                ):
                    continue
                content = self.world.partner.files.get(delivery.path)
                assert content is not None, f"{delivery.path} is delivered, and not there"
                assert hashlib.sha256(content).hexdigest() == delivery.sha256

    def what_was_begun_to_be_sent_keeps_its_bytes(self, runs: list[Run]) -> None:
        for run in runs:
            if run.artifact is None or not any(delivery.delivered_at for delivery in run.deliveries):
                continue
            known = self.bytes.setdefault(run.id, run.artifact.sha256)
            assert known == run.artifact.sha256

    def what_was_built_is_not_built_again_by_itself(self, runs: list[Run]) -> None:
        for run in runs:
            # Nobody takes artifacts away here.
            assert "the artifact" not in (run.reason or "")
            # What was never begun takes today's definition with a retry.
            if not self.typed[run.due.slot.isoformat()] & {"retry", "rerun"}:
                assert [attempt.outcome for attempt in run.attempts].count(Outcome.BUILT) <= 1

    def come_to_rest(self) -> None:
        super().come_to_rest()
        self.what_holds()
        told = Counter(self.world.queries)
        for run in self.newest().values():
            if not self.typed[run.due.slot.isoformat()] and run.status is RunStatus.DELIVERED:
                assert told[str(run.due.slot)] >= 1 or run.artifact is None


@pytest.mark.soak
class TestSlots(Slots.TestCase):  # type: ignore[name-defined,misc]
    settings = steps(examples(5, 20_000))
