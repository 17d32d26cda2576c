"""A large file is sent while it is built: whatever comes between, the partner sees the whole file or nothing."""

from __future__ import annotations

import hashlib
import signal
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from batchxfer import growing, headstart, spool
from batchxfer.runner import Runner
from tests.e2e.command import FORMAT, Project, end, make_project, until
from tests.servers.openssh import OpenSSH, openssh_fixture  # noqa: F401

SLOT = "2026-01-05T06:00"
NAME = "daily_20260105.psv"
ROWS = 20_000
QUERY = "with recursive c(i) as (select 1 union all select i + 1 from c where i < {rows}) select i, {value} as n from c"
JOB = """
[schedule]
cron = "0 6 * * *"
[source]
database = "shop"
query = "{query}"
[file]
format = "psv"
{endpoint}
path = "{path}"
{more}
"""
CONTENT = "i|n\n" + "".join(f"{i}|name {i}\n" for i in range(1, ROWS + 1))
PLAIN = "'name ' || i"
# Latin-1 has no Korean: the last value cannot be written.
FAILS = f"case when i < {ROWS} then 'name ' || i else '김서연' end"


def write_job(
    project: Project,
    value: str = PLAIN,
    rows: int = ROWS,
    path: str = "{job}_{business_date:%Y%m%d}.psv",
    more: str = "",
    endpoint: str = 'endpoint = "out"',
) -> None:
    query = QUERY.format(rows=rows, value=value)
    project.job("daily", JOB.format(query=query, path=path, more=more, endpoint=endpoint))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setattr(headstart, "WORTH_BYTES", 1)
    monkeypatch.setattr(spool, "TELL_BYTES", 1)
    made = make_project(tmp_path / "project")
    made.write("formats/psv.toml", FORMAT + 'encoding = "latin-1"\n')
    write_job(made)
    return made


def run(project: Project) -> Any:
    return project("run", "daily", "--slot", SLOT, "--json").run


def attempts(run: Any) -> list[tuple[str | None, str]]:
    return [(attempt["endpoint"], attempt["outcome"]) for attempt in run["attempts"]]


def test_the_delivery_begins_before_the_build_has_ended(project: Project) -> None:
    done = run(project)
    build, sending = done["attempts"]
    assert (done["status"], attempts(done)) == ("delivered", [(None, "built"), ("out", "delivered")])
    assert build["started_at"] <= sending["started_at"] < build["ended_at"] <= sending["ended_at"]
    assert project.delivered() == {NAME: CONTENT}
    (delivery,) = done["deliveries"]
    assert (delivery["verified"], delivery["bytes"]) == ("size", len(CONTENT))
    assert delivery["sha256"] == done["artifact"]["sha256"] == hashlib.sha256(CONTENT.encode()).hexdigest()


@pytest.mark.parametrize("compress", ["gzip", "zstd"])
def test_a_compressed_file_arrives_as_it_was_built(project: Project, compress: str) -> None:
    write_job(project, more=f'compress = "{compress}"\nverify = "readback"')
    done = run(project)
    assert attempts(done) == [(None, "built"), ("out", "delivered")]
    sent = (project.folder / "out" / NAME).read_bytes()
    assert hashlib.sha256(sent).hexdigest() == done["artifact"]["sha256"]


def test_a_small_file_is_sent_when_it_is_built(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headstart, "WORTH_BYTES", len(CONTENT) + 1)
    build, sending = run(project)["attempts"]
    assert build["ended_at"] <= sending["started_at"]


def test_a_query_that_fails_half_way_leaves_nothing_and_nothing_is_begun(project: Project) -> None:
    write_job(project, FAILS, more='checksum_file = "{path}.sha256"')
    failed = run(project)
    assert failed["status"] == "failed"
    assert "latin-1" in failed["reason"]
    assert attempts(failed) == [(None, "permanent"), ("out", "permanent")]
    assert failed["attempts"][1]["error"]["kind"] == "value"
    assert project.delivered() == {}
    assert list((project.folder / "out").rglob("*")) == []
    # As if it had not begun: the mended job may name another path.
    write_job(project, path="mended_{business_date:%Y%m%d}.psv")
    assert project("retry", failed["run"], "--json").run["status"] == "delivered"
    assert project.delivered() == {"mended_20260105.psv": CONTENT}


def test_what_the_guard_holds_is_not_with_the_partner(project: Project) -> None:
    write_job(project, more=f"[guard]\nmax_rows = {ROWS - 1}")
    held = run(project)
    # Not even under a temporary name.
    assert (held["status"], attempts(held)) == ("held", [(None, "built")])
    assert held["reason"].startswith(f"{ROWS:,} rows")
    assert project.delivered() == {}
    assert project("release", held["run"], "--json").run["status"] == "delivered"
    assert project.delivered() == {NAME: CONTENT}


def test_an_endpoint_that_is_paused_meanwhile_gets_nothing(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = Runner._guard

    def pauses_first(*words: Any) -> Any:
        assert project("pause", "@out", "--why", "maintenance").code == 0
        return looks(*words)

    monkeypatch.setattr(Runner, "_guard", pauses_first)
    waiting = run(project)
    assert (waiting["status"], attempts(waiting)) == ("pending", [(None, "built"), ("out", "transient")])
    assert waiting["attempts"][1]["error"]["message"] == "endpoint 'out' was paused while the file was built"
    assert waiting["reason"] == "@out is paused: maintenance"
    assert project.delivered() == {}


def test_a_slow_query_gives_the_connection_back_and_the_file_is_sent_when_it_is_built(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing, "PATIENCE_SECONDS", 0.01)
    grow = headstart.HeadStart.grow

    def slowly(self: headstart.HeadStart, path: Path, stretch: spool.Stretch) -> None:
        grow(self, path, stretch)
        if self._thread is not None:
            self._thread.join()

    monkeypatch.setattr(headstart.HeadStart, "grow", slowly)
    done = run(project)
    assert attempts(done) == [(None, "built"), ("out", "transient"), ("out", "delivered")]
    assert "the query gave nothing for" in done["attempts"][1]["error"]["message"]
    assert project.delivered() == {NAME: CONTENT}


def test_a_foreign_file_holds_it_and_the_artifact_is_kept(project: Project) -> None:
    project.write(f"out/{NAME}", "theirs")
    held = run(project)
    assert (held["status"], held["artifact"]["rows"]) == ("held", ROWS)
    assert project.delivered() == {NAME: "theirs"}
    (project.folder / "out" / NAME).unlink()
    assert project("retry", held["run"], "--json").run["status"] == "delivered"
    assert project.delivered() == {NAME: CONTENT}


def test_an_endpoint_that_fails_is_tried_again_and_the_query_does_not_run_twice(project: Project) -> None:
    project.write("config.toml", (project.folder / "config.toml").read_text().replace('"out"', '"gone/deep"'))
    waiting = run(project)
    assert waiting["artifact"]["rows"] == ROWS
    assert waiting["status"] in ("failed", "retrying")
    assert attempts(waiting)[0] == (None, "built")
    (project.folder / "gone/deep").mkdir(parents=True)
    write_job(project, FAILS)
    assert project("retry", waiting["run"], "--json").run["status"] == "delivered"
    assert (project.folder / "gone/deep" / NAME).read_text() == CONTENT


def test_of_several_endpoints_the_first_gets_it_ahead_and_all_get_the_same(project: Project) -> None:
    config = (project.folder / "config.toml").read_text()
    project.write("config.toml", config + '[endpoints.archive]\nprotocol = "local"\nroot = "archive"\n')
    (project.folder / "archive").mkdir()
    write_job(project, endpoint='endpoints = ["out", "archive"]')
    done = run(project)
    assert attempts(done) == [(None, "built"), ("out", "delivered"), ("archive", "delivered")]
    assert (project.folder / "archive" / NAME).read_text() == (project.folder / "out" / NAME).read_text() == CONTENT


def test_where_the_final_name_is_written_directly_nothing_is_sent_ahead(project: Project) -> None:
    project.write("config.toml", (project.folder / "config.toml").read_text() + 'publish = "direct"\n')
    build, sending = run(project)["attempts"]
    assert build["ended_at"] <= sending["started_at"]


def test_a_machine_that_starts_no_more_threads_sends_afterwards(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refused(headstart.threading.Thread):  # type: ignore[name-defined,misc]
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    begin = headstart.HeadStart._begin

    def refused(self: headstart.HeadStart, send: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(headstart.threading, "Thread", Refused)  # type: ignore[attr-defined]
            begin(self, send)

    monkeypatch.setattr(headstart.HeadStart, "_begin", refused)
    build, sending = run(project)["attempts"]
    assert build["ended_at"] <= sending["started_at"]
    assert project.delivered() == {NAME: CONTENT}


# --- the installed command -----------------------------------------------------------------------

LARGE_ROWS = 400_000
LARGE = "printf('%0200d', i)"
MORE_THAN_EVER = 10_000_000


@pytest.fixture
def large(tmp_path: Path, openssh: OpenSSH) -> Project:
    """A project whose query takes long enough, and whose partner is an SSH server."""
    project = make_project(tmp_path / "large")
    config = (project.folder / "config.toml").read_text().partition("[endpoints.out]")[0]
    project.write("config.toml", config + "[endpoints.out]" + openssh.endpoint(project.folder / "out"))
    write_job(project, LARGE, rows=LARGE_ROWS)
    return project


def partial(project: Project) -> list[Path]:
    return [path for path in (project.folder / "out").rglob("*.part") if path.stat().st_size]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_command_that_is_asked_to_end_takes_back_what_was_sent(
    large: Project, number: signal.Signals, code: int
) -> None:
    write_job(large, LARGE, rows=MORE_THAN_EVER)
    with large.begin("run", "daily", "--slot", SLOT) as process:
        until(lambda: partial(large) or process.poll() is not None, 60)
        said = end(process, number)
    assert said.code == code
    assert "Traceback" not in said.err, said.err
    assert list((large.folder / "out").rglob("*")) == []
    (left,) = large("runs", "--json").document["runs"]
    assert (left["status"], left["deliveries"][0]["status"]) == ("pending", "pending")
    assert {attempt["outcome"] for attempt in left["attempts"]} == {"abandoned"}


def test_a_command_that_is_killed_half_way_is_finished_by_the_next(large: Project) -> None:
    with large.begin("run", "daily", "--slot", SLOT) as process:
        until(lambda: partial(large) or process.poll() is not None, 60)
        process.kill()
    left = partial(large)
    assert len(left) == 1
    done = large("run", "daily", "--slot", SLOT, "--json").run
    assert done["status"] == "delivered"
    assert [path.name for path in (large.folder / "out").iterdir()] == [NAME]
    sent = (large.folder / "out" / NAME).read_bytes()
    assert (len(sent), hashlib.sha256(sent).hexdigest()) == (done["artifact"]["bytes"], done["artifact"]["sha256"])
    with sqlite3.connect(large.folder / "var/ledger.db") as ledger:
        assert ledger.execute("select retries from deliveries").fetchall() == [(1,)]
    ledger.close()
