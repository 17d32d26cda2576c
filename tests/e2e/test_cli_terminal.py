"""What a person sees on a terminal: colours, widths, progress. And what they type: times."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import struct
import termios
from datetime import UTC, datetime, timedelta
from fcntl import ioctl
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from zoneinfo import ZoneInfo

import pytest
from rich.console import Console
from rich.progress import Progress

from batchxfer.activity import Activity
from batchxfer.cli import progress, words
from batchxfer.cli.times import parse_time, show_time
from batchxfer.errors import UsageError, visible
from batchxfer.model import Run
from tests.e2e.command import DAILY, PROGRAM, SLOW_QUERY, Project, clean, make_project

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 23, 10, 30, 15, 250_000, tzinfo=UTC)


def on_terminal(project: Project, *arguments: str, columns: int = 80, **environment: str) -> str:
    """What the command draws on a terminal that wide."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(project.folder)
        os.execve(PROGRAM, [str(PROGRAM), *arguments], {**clean(project.folder), "TERM": "xterm", **environment})
    ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    drawn = b""
    while True:
        ready, _, _ = select.select([terminal], [], [], 60)
        assert ready, "the command does not end"
        try:
            part = os.read(terminal, 65536)
        except OSError:  # Linux says so when the other end has gone
            break
        if not part:
            break
        drawn += part
    os.waitpid(pid, 0)
    os.close(terminal)
    return drawn.decode().replace("\r\n", "\n")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = make_project(tmp_path_factory.mktemp("terminal"))
    project.job("a-job-with-quite-a-long-name", DAILY)
    project.job("other", DAILY.replace("[source]", 'timezone = "Asia/Seoul"\n[source]'))
    project.write("out/daily_20260106.psv", "theirs")
    for job, slot in (
        ("daily", "2026-01-05T06:00"),
        ("daily", "2026-01-06T06:00"),
        ("a-job-with-quite-a-long-name", "2026-01-05T06:00"),
        ("other", "2026-01-05T06:00"),
    ):
        project("run", job, "--slot", slot)
    return project


@pytest.mark.parametrize(("command", "columns"), [("runs", 80), ("runs", 120), ("status", 80)])
def test_a_table_fits_the_terminal_and_says_the_state_in_words(project: Project, command: str, columns: int) -> None:
    drawn = on_terminal(project, command, columns=columns)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", drawn)
    assert plain != drawn, "no colours on a terminal"
    assert max(map(len, plain.splitlines())) <= columns, plain
    assert "held" in plain


@pytest.mark.parametrize(("command", "columns"), [("runs", 80), ("status", 80), ("status", 40)])
def test_why_something_is_not_delivered_is_never_cut_on_a_terminal(
    project: Project, command: str, columns: int
) -> None:
    held = project("runs", "--status", "held", "--json").run
    drawn = " ".join(on_terminal(project, command, columns=columns, NO_COLOR="1").split())
    assert "it is not ours" in held["reason"]
    assert held["reason"] in drawn


def test_where_a_slot_goes_is_never_cut_on_a_terminal(project: Project) -> None:
    drawn = on_terminal(project, "plan", "--from", "2026-01-05", "--days", "1", columns=60, NO_COLOR="1")
    assert "out: daily_20260105.psv" in " ".join(drawn.split())


def test_colours_are_left_out_where_nobody_wants_them(project: Project) -> None:
    assert "\x1b" not in on_terminal(project, "runs", NO_COLOR="1")
    assert "\x1b[" in on_terminal(project, "show", "nope")


def test_progress_is_drawn_while_it_takes_a_while_and_gone_at_the_end(tmp_path: Path) -> None:
    project = make_project(tmp_path / "large")
    query = SLOW_QUERY.format(rows=700_000)
    project.job("daily", DAILY.replace("select id, name from orders order by id", query))
    drawn = on_terminal(project, "run", "daily", "--slot", "2026-01-05T06:00", columns=140)
    assert "building daily" in drawn
    assert "rows" in drawn
    assert drawn.rstrip().splitlines()[-1].endswith("size checked")
    # The lines of the bar are erased before the result is told.
    assert "\x1b[2K" in drawn


@pytest.mark.parametrize(
    ("stage", "endpoint", "told"),
    [
        ("sending", "bank", "sending rates to bank"),
        ("fetching", "bank", "fetching rates from bank"),
        ("loading", None, "loading rates"),
    ],
)
def test_the_bar_says_which_way_a_file_goes(
    monkeypatch: pytest.MonkeyPatch, stage: str, endpoint: str | None, told: str
) -> None:
    monkeypatch.setattr(progress, "PATIENCE_SECONDS", -1.0)
    run = cast(Run, SimpleNamespace(id="01R", job="rates"))
    bar = progress.Bar()
    bar(Activity(stage=stage, run=run, bytes=1, endpoint=endpoint))
    assert bar._progress is not None
    assert [task.description for task in bar._progress.tasks] == [told]
    bar.clear()


@pytest.mark.parametrize("columns", [24, 40, 60, 80, 100, 200])
def test_the_bar_is_one_line_however_narrow_and_its_figures_are_whole(columns: int) -> None:
    """What wraps is not erased: each step of it would stay on the screen."""
    console = Console(file=io.StringIO(), width=columns, force_terminal=True, color_system=None)
    bar = Progress(*progress._columns(columns), console=console)
    task = bar.add_task("sending orders-of-the-northern-branches to the-bank", total=123_456_789_012, rows="")
    bar.update(task, completed=99_000_000_000, rows="1,234,567,890 rows")
    console.print(bar.get_renderable(), end="")
    (line,) = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(line) <= columns
    assert "99.0/123.5 GB" in line
    assert ("…" in line, "1,234,567,890 rows" in line, "━" in line) == (columns < 140, columns >= 60, columns >= 100)


# --- times ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-11-23T06:00", "2026-11-23T05:00:00+00:00"),
        ("2026-11-23 06:00:30", "2026-11-23T05:00:30+00:00"),
        (" 2026-11-23T06:00:00.000Z ", "2026-11-23T06:00:00+00:00"),
        ("2026-11-23t06:00z", "2026-11-23T06:00:00+00:00"),
        ("2026-11-23T06:00+0900", "2026-11-22T21:00:00+00:00"),
        ("2026-11-23T06:00:00-02:30", "2026-11-23T08:30:00+00:00"),
        ("2026-11-23", "2026-11-22T23:00:00+00:00"),
        ("2026-10-25T02:30", "2026-10-25T00:30:00+00:00"),
        ("2026-10-25T02:30+01:00", "2026-10-25T01:30:00+00:00"),
        ("now", "2026-11-23T10:30:15+00:00"),
    ],
)
def test_a_time_without_offset_is_in_the_jobs_zone_and_of_two_the_first(text: str, instant: str) -> None:
    assert parse_time(text, BERLIN, NOW, option="--slot").isoformat() == instant


@pytest.mark.parametrize("text", ["2026-03-29T02:00", "2026-03-29T02:59:59"])
def test_a_time_in_a_gap_is_refused_with_when_the_clock_goes_on(text: str) -> None:
    with pytest.raises(UsageError, match=r"does not exist in Europe/Berlin.*03:00"):
        parse_time(text, BERLIN, NOW, option="--slot")


def test_a_day_begins_at_its_first_instant_also_where_there_is_no_midnight() -> None:
    assert (
        parse_time("2024-04-26", ZoneInfo("Africa/Cairo"), NOW, option="--from").isoformat()
        == "2024-04-25T22:00:00+00:00"
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tomorrow",
        "06:00",
        "20261123",
        "2026-W48-1",
        "2026-11-23T6:00",
        "2026-13-01",
        "2026-11-23T25:00",
        "23.11.2026",
        *("2026-11-23T06:00+25:00", "2026-11-23T06:00 Europe/Berlin", "0001-01-01T00:00+14:00", "२०२६-११-२३"),
    ],
)
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_time(text, BERLIN, NOW, option="--slot")
    assert "2026-11-23T06:00" in str(caught.value.hint)


def test_a_time_is_shown_with_its_offset_only_where_the_clock_shows_it_twice() -> None:
    assert show_time(datetime(2026, 11, 23, 5, tzinfo=UTC), BERLIN) == "2026-11-23 06:00 Europe/Berlin"
    assert show_time(datetime(2026, 11, 23, 5, 0, 7, tzinfo=UTC), BERLIN) == "2026-11-23 06:00:07 Europe/Berlin"
    assert show_time(datetime(2026, 10, 25, 0, 30, tzinfo=UTC), BERLIN) == "2026-10-25 02:30+02:00 Europe/Berlin"
    assert show_time(datetime(2026, 10, 25, 1, 30, tzinfo=UTC), BERLIN) == "2026-10-25 02:30+01:00 Europe/Berlin"


# --- words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (56_700, "56.7 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (10**16, "10000.0 TB"),
    ],
)
def test_sizes_are_decimal(count: int, text: str) -> None:
    assert words.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (12, "12 s"),
        (59.6, "1 min"),
        (185, "3 min 5 s"),
        (7800, "2 h 10 min"),
        (-3, "0.0 s"),
    ],
)
def test_durations_have_two_units_at_most(seconds: float, text: str) -> None:
    assert words.duration(timedelta(seconds=seconds)) == text


def test_short_ids_are_as_long_as_it_takes_to_tell_them_apart() -> None:
    ids = ["01M840JWRXH3H4F8XDXAGSRBQA", "01M840JWRXH3H4F8XDXAGSRBQB", "01M8"]
    assert words.short_ids(ids) == {
        "01M840JWRXH3H4F8XDXAGSRBQA": "01M840JWRXH3H4F8XDXAGSRBQA",
        "01M840JWRXH3H4F8XDXAGSRBQB": "01M840JWRXH3H4F8XDXAGSRBQB",
        "01M8": "01M8",
    }
    assert words.short_ids(ids[:1]) == {ids[0]: "01M840JWRXH3"}


def test_control_characters_and_direction_overrides_are_written_out() -> None:
    assert visible("a\x1b[2J\x07\x9b\x7f\u202eb\n\tc") == "a\\x1b[2J\\x07\\x9b\\x7f\\u202eb\n\tc"
