"""One push after another through the installed command, each to its own place at a partner, with a fault on its way; and the
next attempt, on a way without one."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.e2e.command import Project, Said, make_project
from tests.servers.openssh import OpenSSH
from tests.servers.partner import PASSWORD, Partner

FIRST = datetime(2026, 1, 1, 5, tzinfo=UTC)
SOON = 30.0
"""Far more than any limit that is set here, even on a busy machine; far less than for ever."""

LIMITS = {"connect_timeout": "30s", "stall_timeout": "30s", "deadline": "60s"}

JOB = """
[schedule]
cron = "0 5 * * *"
[source]
database = "shop"
query = "{query}"
[file]
format = "psv"
endpoint = "partner"
path = "{{business_date:%Y%m%d}}/orders.psv"
checksum_file = "{{path}}.sha256"
done_file = "{{path}}.done"
{more}
"""
CONFIG = """
[databases.shop]
url = "sqlite:///shop.db"
[endpoints.partner]
protocol = "sftp"
"""


def keys_for_openssh(server: OpenSSH, root: Path) -> dict[str, Any]:
    return {
        "host": server.host,
        "port": server.port,
        "user": server.user,
        "private_key": str(server.private_key),
        "host_key": [server.host_key()],
        "root": str(root),
    }


def keys_for_partner(partner: Partner) -> dict[str, Any]:
    return {
        "host": partner.host,
        "port": partner.port,
        "user": partner.user,
        "password": {"env": "PARTNER_PASSWORD"},
        "host_key": [partner.fingerprint],
    }


@dataclass
class Journeys:
    """A project whose every slot is a file of its own; `root` is the partner's folder on this machine.

    `row_bytes` and `rows` make the file: writes are of 255 KiB, so 600 KB are three of them.
    """

    folder: Path
    root: Path
    keys: dict[str, Any]
    row_bytes: int = 200_000
    rows: int = 3
    more: str = ""
    seen: int = 0
    project: Project = field(init=False)

    def __post_init__(self) -> None:
        self.project = make_project(self.folder, config=CONFIG)
        (self.folder / "jobs/by-hand.toml").unlink()
        self.project.environment["PARTNER_PASSWORD"] = PASSWORD
        self.write_job()
        self.reach()

    def write_job(self) -> None:
        query = f"with recursive c(i) as (select 1 union all select i + 1 from c where i < {self.rows})"
        query += f" select i, printf('%0{self.row_bytes}d', i) as n from c"
        self.project.job("daily", JOB.format(query=query, more=self.more))

    @property
    def content(self) -> bytes:
        return ("i|n\n" + "".join(f"{i}|{i:0{self.row_bytes}d}\n" for i in range(1, self.rows + 1))).encode()

    def reach(self, **keys: Any) -> None:
        """Reach the partner as these keys of the endpoint say."""
        lines = [f"{key} = {_toml(value)}" for key, value in {**LIMITS, **self.keys, **keys}.items()]
        self.project.write("config.toml", CONFIG + "\n".join(lines) + "\n")

    def begin(self) -> Journey:
        self.seen += 1
        return Journey(self, FIRST + timedelta(days=self.seen))


@dataclass
class Journey:
    """The file of one slot."""

    journeys: Journeys
    slot: datetime

    @property
    def place(self) -> Path:
        return self.journeys.root / f"{self.slot:%Y%m%d}"

    @property
    def expected(self) -> dict[str, bytes]:
        content = self.journeys.content
        line = f"{hashlib.sha256(content).hexdigest()}  orders.psv\n".encode()
        return {"orders.psv": content, "orders.psv.sha256": line, "orders.psv.done": b""}

    def there(self) -> dict[str, bytes]:
        """What the partner has, temporary names too."""
        return {path.name: path.read_bytes() for path in self.place.iterdir()} if self.place.exists() else {}

    def final(self) -> dict[str, bytes]:
        """What the partner takes to be finished."""
        return {name: content for name, content in self.there().items() if not name.startswith(".")}

    def run(self) -> Said:
        with in_time():
            return self.journeys.project("run", "daily", "--slot", self.slot.isoformat(), "--json")

    def retry(self, said: Said) -> Said:
        with in_time():
            return self.journeys.project("retry", said.run["run"], "--json")

    def check_whole_and_in_order(self, what: object) -> None:
        """Whatever happened: nothing partial under a final name, the done file last."""
        final, expected = self.final(), self.expected
        in_order = list(expected)[: len(final)]
        assert sorted(final) == sorted(in_order), f"{what}: {sorted(final)}"
        for name in in_order:
            assert final[name] == expected[name], f"{what}: {name} is not what was to be sent"

    def check_delivered(self, said: Said, what: object) -> None:
        assert said.code == 0, f"{what}: {said}"
        assert said.run["status"] == "delivered", f"{what}: {said}"
        assert self.there() == self.expected, f"{what}: {sorted(self.there())}"


@contextmanager
def in_time() -> Iterator[None]:
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < SOON


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)
