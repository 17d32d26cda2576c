"""Ticks on a real ledger, with a clock that a test moves: each slot enters the ledger once, whatever the clock does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from batchxfer.config import Project
from batchxfer.model import Mark, Run, RunStatus
from batchxfer.ports import Ledger
from batchxfer.ticking import Ticker
from batchxfer.wiring import load_project
from tests.ledgers import SqlitePlace

HOUR, DAY, SECOND = timedelta(hours=1), timedelta(days=1), timedelta(seconds=1)
BEGIN = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)

CONFIG = """
[databases.shop]
url = "sqlite:///shop.db"
[endpoints.bank]
protocol = "local"
root = "bank"
"""
JOB = """
{top}
[schedule]
{schedule}
[source]
database = "shop"
query = "select {columns} from orders"
[file]
format = {{ kind = "delimited" }}
endpoint = "bank"
path = "{{job}}_{{slot_utc:%Y%m%dT%H%M%SZ}}.csv"
[retry]
{retry}
"""


def project(
    folder: Path, schedule: str = 'cron = "0 * * * *"', *, names: Sequence[str] = ("orders",), **parts: str
) -> Project:
    (folder / "jobs").mkdir(parents=True, exist_ok=True)
    (folder / "config.toml").write_text(CONFIG)
    texts = {"top": "", "columns": "1 as one, :interval_start as a", "retry": "", **parts}
    for name in names:
        (folder / "jobs" / f"{name}.toml").write_text(JOB.format(schedule=schedule, **texts))
    return load_project(folder / "config.toml")


@pytest.fixture
def place(sqlite_place: SqlitePlace) -> SqlitePlace:
    sqlite_place.clock.instant = BEGIN
    return sqlite_place


def hours(runs: Sequence[Run]) -> list[int]:
    """The slots, as whole hours since the one before BEGIN."""
    return sorted(round((run.due.slot - (BEGIN - HOUR / 2)) / HOUR) for run in runs)


def of(ledger: Ledger, status: RunStatus) -> list[Run]:
    return ledger.runs(status=status, limit=None)


def work(ticker: Ticker, ledger: Ledger) -> list[Run]:
    """Tick, and do all that may start, one after the other; the runs in the order in which they were done."""
    done = []
    waiting = list(ticker.tick().runs)
    while waiting:
        found = waiting.pop(0)
        claim = ledger.claim(found.id, ledger.owner)
        assert ticker.still_due(found.job, found.id)
        ledger.exclude(claim, "done")
        done.append(ledger.let_go(claim))
        waiting += ticker.next_of(found.job).runs
    return done


# --- the clock -----------------------------------------------------------------------------------


def test_a_job_owes_nothing_before_it_was_first_seen(place: SqlitePlace, tmp_path: Path) -> None:
    ledger = place.open()
    ticker = Ticker(project(tmp_path), ledger)
    first = ticker.tick()
    assert (first.runs, first.next_at) == ((), BEGIN + HOUR / 2)
    place.clock.instant = BEGIN + HOUR / 2
    (run,) = ticker.tick().runs
    assert run.slot == BEGIN + HOUR / 2


STEPS: dict[str, Sequence[timedelta]] = {
    "an hour back": [HOUR, HOUR, -HOUR, HOUR / 4, HOUR, HOUR],
    "an hour ahead": [HOUR, 2 * HOUR, HOUR / 4, HOUR],
    "a second back at the slot": [HOUR / 2, -SECOND, SECOND, -SECOND, SECOND, HOUR],
    "three days ahead": [HOUR, 3 * DAY, HOUR],
    "three days ahead and back": [HOUR, 3 * DAY, -3 * DAY, HOUR, DAY, 2 * DAY],
}


@pytest.mark.parametrize("restarted", [False, True], ids=["one daemon", "restarted at each step"])
@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
def test_a_clock_that_steps_loses_no_slot_and_doubles_none(
    place: SqlitePlace, tmp_path: Path, steps: Sequence[timedelta], restarted: bool
) -> None:
    loaded, ledger = project(tmp_path, 'cron = "0 * * * *"\ncatch_up_window = "30d"'), place.open()
    ticker = Ticker(loaded, ledger)
    done = work(ticker, ledger)
    latest = BEGIN
    for step in steps:
        place.clock.instant += step
        latest = max(latest, place.clock.instant)
        done += work(Ticker(loaded, ledger) if restarted else ticker, ledger)
    expected = list(range(1, int((latest - BEGIN + HOUR / 2) / HOUR) + 1))
    assert hours(done) == expected
    assert [run.due.slot for run in done] == sorted(run.due.slot for run in done)
    ends = [BEGIN - HOUR / 2, *(run.due.interval_end for run in done)]
    assert [run.due.interval_start for run in done] == ends[:-1]


def test_a_tick_says_how_long_it_is_until_the_next_by_the_ledgers_clock(place: SqlitePlace, tmp_path: Path) -> None:
    ticker = Ticker(project(tmp_path), place.open())
    tick = ticker.tick()
    assert tick.next_at is not None
    assert (tick.at, tick.next_at - tick.at) == (BEGIN, HOUR / 2)


# --- down, and up again --------------------------------------------------------------------------


def down_for_73_hours(place: SqlitePlace, loaded: Project) -> Ledger:
    ledger = place.open()
    Ticker(loaded, ledger).tick()
    place.clock.instant = BEGIN + 73 * HOUR
    return ledger


def test_after_73_hours_all_runs_what_the_window_holds_in_order(place: SqlitePlace, tmp_path: Path) -> None:
    loaded = project(tmp_path)
    ledger = down_for_73_hours(place, loaded)
    done = work(Ticker(loaded, ledger), ledger)
    assert [hours([run])[0] for run in done] == list(range(2, 74))
    (skipped,) = of(ledger, RunStatus.SKIPPED)
    assert (hours([skipped]), skipped.reason) == ([1], "missed longer ago than catch_up_window")


def test_after_73_hours_merge_runs_once_over_the_whole(place: SqlitePlace, tmp_path: Path) -> None:
    loaded = project(tmp_path, 'cron = "0 * * * *"\ncatch_up = "merge"')
    ledger = down_for_73_hours(place, loaded)
    (run,) = work(Ticker(loaded, ledger), ledger)
    assert (run.due.interval_start, run.due.interval_end) == (BEGIN - HOUR / 2, BEGIN + 72.5 * HOUR)
    skipped = of(ledger, RunStatus.SKIPPED)
    assert hours(skipped) == list(range(1, 73))
    assert {each.reason for each in skipped} == {f"merged into {run.id}"}


@pytest.mark.parametrize(("kind", "ran"), [("latest", [73]), ("none", [73])])
def test_after_73_hours_latest_and_none_run_what_is_on_time(
    place: SqlitePlace, tmp_path: Path, kind: str, ran: list[int]
) -> None:
    loaded = project(tmp_path, f'cron = "0 * * * *"\ncatch_up = "{kind}"', columns="1 as one")
    ledger = down_for_73_hours(place, loaded)
    assert hours(work(Ticker(loaded, ledger), ledger)) == ran
    skipped = of(ledger, RunStatus.SKIPPED)
    assert hours(skipped) == list(range(1, 73))
    assert all(each.reason for each in skipped)


def test_a_disabled_job_owes_nothing_for_that_time(place: SqlitePlace, tmp_path: Path) -> None:
    ledger = place.open()
    Ticker(project(tmp_path), ledger).tick()
    place.clock.instant += 5 * HOUR
    assert work(Ticker(project(tmp_path, top="enabled = false"), ledger), ledger) == []
    place.clock.instant += HOUR
    assert hours(work(Ticker(project(tmp_path), ledger), ledger)) == [6]


# --- who starts what -----------------------------------------------------------------------------


def test_two_nodes_plan_each_slot_once(place: SqlitePlace, tmp_path: Path) -> None:
    loaded = project(tmp_path)
    ledgers = [place.open(), place.open()]
    tickers = [Ticker(loaded, ledger) for ledger in ledgers]
    for _ in range(4):
        place.clock.instant += HOUR
        seen = [ticker.tick() for ticker in tickers]
    assert seen[0].runs == seen[1].runs
    assert hours(of(ledgers[0], RunStatus.PENDING)) == [2, 3, 4]


def test_a_job_that_only_another_node_knows_is_left_to_it(place: SqlitePlace, tmp_path: Path) -> None:
    """While a new job is rolled out, a node with the old configuration would hold its slots: "no longer there"."""
    ledgers = [place.open(), place.open()]
    old = Ticker(project(tmp_path / "old"), ledgers[0])
    old.tick()
    new = Ticker(project(tmp_path / "new", names=("orders", "stock")), ledgers[1])
    new.tick()
    place.clock.instant += HOUR
    due = new.tick().runs
    assert [run.job for run in due] == ["orders", "stock"]
    assert [run.job for run in old.tick().runs] == ["orders"]
    assert not old.still_due("stock", due[1].id)
    assert new.still_due("stock", due[1].id)

    # The other one is gone for good: the slot is not left lying without a word.
    place.clock.instant += HOUR
    assert [run.job for run in old.tick().runs] == ["orders", "stock"]


def test_a_job_that_nobody_knows_any_more_is_not_waited_for(place: SqlitePlace, tmp_path: Path) -> None:
    ledger = place.open()
    Ticker(project(tmp_path / "old", names=("orders", "stock")), ledger).tick()
    place.clock.instant += HOUR / 2
    Ticker(project(tmp_path / "old", names=("orders", "stock")), ledger).tick()
    after = Ticker(project(tmp_path / "new"), ledger)
    for _ in range(2):
        assert [run.job for run in after.tick().runs] == ["orders", "stock"]


def test_what_another_has_begun_since_is_not_started(place: SqlitePlace, tmp_path: Path) -> None:
    loaded = project(tmp_path)
    ours, theirs = place.open(), place.open()
    ticker = Ticker(loaded, ours)
    ticker.tick()
    place.clock.instant += 2 * HOUR
    (first,) = ticker.tick().runs
    second = next(run for run in of(ours, RunStatus.PENDING) if run.id != first.id)
    theirs.claim(first.id, theirs.owner)
    ours.claim(second.id, ours.owner)
    assert not ticker.still_due("orders", second.id)


@pytest.mark.parametrize("what", ["excluded", "paused", "endpoint paused", "earlier slot, strict"])
def test_what_a_person_has_stopped_since_is_not_started(place: SqlitePlace, tmp_path: Path, what: str) -> None:
    loaded = project(tmp_path, retry='order = "strict"')
    ledger = place.open()
    ticker = Ticker(loaded, ledger)
    ticker.tick()
    place.clock.instant += 2 * HOUR
    (found,) = ticker.tick().runs
    run = found.id
    if what == "excluded":
        claim = ledger.claim(run, ledger.owner)
        ledger.exclude(claim, "a person said so")
        ledger.let_go(claim)
    elif what == "earlier slot, strict":
        run = next(each.id for each in of(ledger, RunStatus.PENDING) if each.id != run)
    else:
        ledger.pause("orders" if what == "paused" else "@bank", "holidays")
    ledger.claim(run, ledger.owner)
    assert not ticker.still_due("orders", run)


def test_a_paused_job_waits_and_goes_on_where_it_stood(place: SqlitePlace, tmp_path: Path) -> None:
    loaded, ledger = project(tmp_path), place.open()
    ticker = Ticker(loaded, ledger)
    ticker.tick()
    ledger.pause("orders", "their holidays")
    place.clock.instant += 3 * HOUR
    assert work(ticker, ledger) == []
    ledger.resume("orders")
    assert hours(work(ticker, ledger)) == [1, 2, 3]


# --- late ----------------------------------------------------------------------------------------


def test_a_slot_is_late_once_and_until_it_is_settled(place: SqlitePlace, tmp_path: Path) -> None:
    loaded, ledger = project(tmp_path), place.open()
    ticker = Ticker(loaded, ledger)
    ticker.tick()
    place.clock.instant = BEGIN + HOUR / 2
    (run,) = ticker.tick().runs
    place.clock.instant += HOUR / 2
    ticker.tick()
    assert ledger.notices() == []
    place.clock.instant += SECOND
    ticker.tick()
    ticker.tick()
    (notice,) = ledger.notices()
    assert (notice.kind, notice.job, notice.run, notice.subject) == ("late", "orders", run.id, run.id)
    assert notice.detail == {"slot": run.slot, "status": "pending", "late_after": "30m"}
    claim = ledger.claim(run.id, ledger.owner)
    ledger.exclude(claim, "never mind")
    ledger.let_go(claim)
    assert ledger.notices() == []


# --- what goes wrong -----------------------------------------------------------------------------


def test_a_job_that_cannot_be_planned_does_not_keep_the_others(
    place: SqlitePlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    loaded, ledger = project(tmp_path, names=("orders", "stock")), place.open()
    ticker = Ticker(loaded, ledger)
    ticker.tick()
    place.clock.instant += HOUR
    monkeypatch.setattr("batchxfer.ticking.planner.plan", fails_for("orders", ticker))
    assert [run.job for run in ticker.tick().runs] == ["stock"]
    assert "orders could not be planned" in caplog.text
    monkeypatch.undo()
    assert [run.job for run in ticker.tick().runs] == ["orders", "stock"]


def fails_for(job: str, ticker: Ticker) -> Callable[..., object]:
    from batchxfer import planner

    real = planner.plan

    def plan(timetable: object, mark: Mark, *rest: object, **more: object) -> object:
        if mark.job == job:
            raise ZeroDivisionError
        return real(timetable, mark, *rest, **more)  # type: ignore[arg-type]

    return plan


# --- a schedule that is changed ------------------------------------------------------------------

MONTHLY, DAILY = 'cron = "0 6 1 * *"', 'cron = "0 6 * * *"'
FIRST = datetime(2026, 12, 1, 6, tzinfo=UTC)
CHANGED = datetime(2026, 12, 20, 9, tzinfo=UTC)


def served_until_changed(place: SqlitePlace, loaded: Project, step: timedelta) -> tuple[Ticker, Ledger]:
    """A monthly job's daemon, that ticks every `step` until CHANGED."""
    ledger = place.open()
    ticker = Ticker(loaded, ledger)
    ticker.tick()
    place.clock.instant = FIRST
    (run,) = work(ticker, ledger)
    assert run.due.slot == FIRST
    while place.clock.instant < CHANGED:
        place.clock.instant = min(place.clock.instant + step, CHANGED)
        assert work(ticker, ledger) == []
    return ticker, ledger


def test_a_schedule_that_is_changed_owes_nothing_of_the_time_before(place: SqlitePlace, tmp_path: Path) -> None:
    """Nor are the rows of that time in no file: the first slot of the new one begins where the last one ended."""
    ticker, ledger = served_until_changed(place, project(tmp_path, MONTHLY), DAY)
    ticker.leave()
    changed = Ticker(project(tmp_path, DAILY), ledger)
    assert work(changed, ledger) == []
    place.clock.instant += DAY
    (run,) = work(changed, ledger)
    assert (run.due.slot, run.due.interval_start) == (datetime(2026, 12, 21, 6, tzinfo=UTC), FIRST)


def test_so_it_is_where_the_daemon_was_killed_or_there_never_was_one(place: SqlitePlace, tmp_path: Path) -> None:
    """What has ticked last knows what was no slot until ten minutes before."""
    _, ledger = served_until_changed(place, project(tmp_path, MONTHLY), HOUR)
    changed = Ticker(project(tmp_path, 'every = "5m"'), ledger)
    assert [run.due.slot for run in work(changed, ledger)] == [CHANGED - HOUR / 12, CHANGED]


def test_a_slot_of_the_new_schedule_that_has_only_just_passed_is_owed(place: SqlitePlace, tmp_path: Path) -> None:
    ticker, ledger = served_until_changed(place, project(tmp_path, MONTHLY), HOUR)
    ticker.leave()
    changed = Ticker(project(tmp_path, 'cron = "0 9 * * *"'), ledger)
    assert [run.due.slot for run in work(changed, ledger)] == [CHANGED]


def test_what_only_another_node_knows_as_a_slot_is_not_passed_over(place: SqlitePlace, tmp_path: Path) -> None:
    """While a new configuration is rolled out, one of them still has the old one, and may tick first."""
    old, ledger = served_until_changed(place, project(tmp_path, MONTHLY), HOUR)
    place.clock.instant = CHANGED + HOUR - SECOND
    new = Ticker(project(tmp_path, 'cron = "0 * * * *"'), ledger)
    work(new, ledger)
    for hour in range(1, 4):
        place.clock.instant = CHANGED + hour * HOUR
        assert work(old, ledger) == []
        assert [run.due.slot for run in work(new, ledger)] == [CHANGED + hour * HOUR]


def test_what_could_not_be_planned_is_owed_after_a_change_too(
    place: SqlitePlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, ledger = project(tmp_path), place.open()
    ticker = Ticker(loaded, ledger)
    ticker.tick()
    place.clock.instant += 2 * HOUR
    monkeypatch.setattr("batchxfer.ticking.planner.plan", fails_for("orders", ticker))
    ticker.tick()
    ticker.leave()
    monkeypatch.undo()
    assert hours(work(Ticker(loaded, ledger), ledger)) == [1, 2]


def test_time_in_which_nothing_came_is_written_down_together_and_now_and_then(
    place: SqlitePlace, tmp_path: Path
) -> None:
    ledger = place.open()
    ticker = Ticker(project(tmp_path, MONTHLY, names=("orders", "stock")), ledger)
    seen = set()
    for _ in range(360):
        ticker.tick()
        seen.add(tuple(mark.planned_until for mark in ledger.marks().values()))
        place.clock.instant += 10 * SECOND
    assert len(seen) == 1 + 4
    assert all(first == second for first, second in seen)
