"""A configuration that is taken up while files go out: what a partner allows is not exceeded meanwhile."""

from __future__ import annotations

import asyncio
import signal
import threading
from pathlib import Path
from typing import Any, ClassVar

from tests.e2e.command import CONFIG, make_project
from tests.e2e.daemons import OFTEN, serving
from tests.servers import partner


class TakesItsTime(partner.Folder):
    """Answers no write before it may go on."""

    may_go_on: ClassVar[threading.Event] = threading.Event()

    async def write(self, file_obj: Any, offset: int, data: bytes) -> int:
        while not self.may_go_on.is_set():
            await asyncio.sleep(0.02)
        return super().write(file_obj, offset, data)


def test_a_reload_gives_no_endpoint_more_connections_than_it_allows(tmp_path: Path) -> None:
    """What the configuration before has begun still has one; nor is that idle one kept which nobody will use any more."""
    TakesItsTime.may_go_on.clear()
    with partner.serve(tmp_path / "partner", TakesItsTime) as server:
        bank = server.as_endpoint("connections = 1\n")
        project = make_project(tmp_path / "project", config=CONFIG + bank)
        for name in ("daily", "by-hand"):
            (project.folder / f"jobs/{name}.toml").unlink()
        project.write("password", partner.PASSWORD).chmod(0o600)
        project.job("first", OFTEN.replace('"out"', '"bank"'))
        with serving(project) as daemon:
            daemon.wait_for("begun", job="first")
            project.job("second", OFTEN.replace('"out"', '"bank"'))
            daemon.send(signal.SIGHUP)
            # After the second tick at the latest everything that may start has begun.
            daemon.wait_for("due", 2, job="second")
            assert daemon.said("begun", job="second") == []
            assert len(server.connections) == 1
            TakesItsTime.may_go_on.set()
            daemon.wait_for("delivered", job="first")
            daemon.wait_for("delivered", job="second")
            assert daemon.end() == 0
        assert len(server.connections) == 2
