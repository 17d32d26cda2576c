"""An upgrade of the holidays package that changes days is announced."""

from __future__ import annotations

from datetime import date

import pytest

from batchxfer import calendars, holidays_seen
from batchxfer.wiring import load_project
from tests.e2e.command import DAILY, make_project

TODAY = date(2026, 11, 23)


@pytest.fixture
def project(tmp_path):
    made = make_project(tmp_path)
    made.job("daily", DAILY.replace('cron = "0 6 * * *"', 'cron = "0 6 * * *"\ncalendar = "KR"'))
    loaded = load_project(tmp_path / "config.toml")
    loaded.spool.mkdir(parents=True)
    return loaded


@pytest.fixture
def upgraded(monkeypatch):
    """The next release of the package knows one more closed day, and one fewer."""
    known = calendars.closed_days

    def closed_days(base, year):
        days = set(known(base, year))
        return frozenset(days ^ {date(2027, 5, 6), date(2027, 1, 1)}) if year == 2027 else frozenset(days)

    return lambda: monkeypatch.setattr(calendars, "closed_days", closed_days)


def test_a_new_project_has_nothing_to_announce(project):
    assert holidays_seen.changed(project, TODAY) == []
    assert holidays_seen.remember(project, TODAY) == []
    assert holidays_seen.changed(project, TODAY) == []


def test_an_upgrade_announces_each_day_that_it_changed_until_it_is_taken_up(project, upgraded):
    holidays_seen.remember(project, TODAY)
    upgraded()
    announced = [
        "holidays of KR: 2027-01-01 is open now, and was not before",
        "holidays of KR: 2027-05-06 is closed now, and was not before",
    ]
    assert [str(change) for change in holidays_seen.changed(project, TODAY)] == announced
    assert [str(change) for change in holidays_seen.remember(project, TODAY)] == announced
    assert holidays_seen.changed(project, TODAY) == []


def test_a_new_year_is_no_change(project):
    holidays_seen.remember(project, TODAY)
    assert holidays_seen.changed(project, date(2027, 1, 1)) == []


def test_what_was_remembered_may_be_lost_or_damaged(project):
    (project.spool / holidays_seen.NAME).write_text("{")
    assert holidays_seen.remember(project, TODAY) == []


def test_a_spool_that_cannot_be_written_stops_nothing(project):
    project.spool.rmdir()
    assert holidays_seen.remember(project, TODAY) == []
