"""What every ledger keeps of pauses: a person's last until they are ended, those of refused logins let one try at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

import pytest

from batchxfer.errors import BusyError
from batchxfer.model import NoticeKind, Pause
from batchxfer.ports import Ledger
from tests.ledgers import Place, PostgresqlPlace
from tests.processes import all_in_children

MINUTE = timedelta(minutes=1)


def told(ledger: Ledger) -> list[tuple[NoticeKind, str]]:
    return [(notice.kind, notice.subject) for notice in ledger.notices()]


@pytest.fixture
def past(ledger: Ledger) -> datetime:
    """An instant that has passed by the ledger's clock."""
    return ledger.now() - MINUTE


@pytest.fixture
def future(ledger: Ledger) -> datetime:
    return ledger.now() + 10 * MINUTE


class TestAPersonsPause:
    def test_nothing_is_paused_at_first(self, ledger: Ledger) -> None:
        assert ledger.pauses() == {}
        assert not ledger.resume("orders")

    def test_it_says_why_and_since_when_and_stays_until_it_is_ended(self, ledger: Ledger, place: Place) -> None:
        pause = ledger.pause("orders", "stocktaking")
        assert (pause.subject, pause.why, pause.until) == ("orders", "stocktaking", None)
        assert abs(pause.since - ledger.now()) < MINUTE
        assert place.open().pauses() == {"orders": pause}
        assert [ledger.resume("orders"), ledger.resume("orders")] == [True, False]
        assert ledger.pauses() == {}

    def test_pausing_again_keeps_the_instant_and_takes_the_new_reason(self, ledger: Ledger, place: Place) -> None:
        first = ledger.pause("@bank", "their migration")
        place.clock.sleep(60)
        again = ledger.pause("@bank", "it goes on")
        assert again == Pause(subject="@bank", why="it goes on", since=first.since)
        assert ledger.pauses() == {"@bank": again}

    def test_a_job_and_an_endpoint_of_one_name_are_two(self, ledger: Ledger) -> None:
        ledger.pause("bank", "the job")
        ledger.pause("@bank", "the endpoint")
        assert ledger.resume("bank")
        assert list(ledger.pauses()) == ["@bank"]

    def test_what_was_done_is_told(self, ledger: Ledger, place: Place) -> None:
        ledger.pause("orders", "stocktaking")
        ledger.resume("orders")
        ledger.resume("orders")
        assert place.execute("SELECT kind FROM events ORDER BY id") == [("paused",), ("resumed",)]

    def test_a_refused_login_does_not_change_it(self, ledger: Ledger, future: datetime) -> None:
        pause = ledger.pause("@bank", "their migration")
        assert ledger.refuse_login("bank", "wrong password", future) == pause
        ledger.accept_login("bank")
        assert ledger.pauses() == {"@bank": pause}
        assert ledger.try_login("bank", future) == pause
        assert ledger.notices() == []

    def test_it_takes_the_place_of_a_refused_logins(self, ledger: Ledger, past: datetime, future: datetime) -> None:
        ledger.refuse_login("bank", "wrong password", past)
        pause = ledger.pause("@bank", "they look into it")
        assert (pause.until, pause.why) == (None, "they look into it")
        assert ledger.try_login("bank", future) == pause
        # Who paused knows; and no login will be tried that could end what was told.
        assert ledger.notices() == []


class TestARefusedLogin:
    def test_it_pauses_the_endpoint_until_then(self, ledger: Ledger, place: Place, future: datetime) -> None:
        pause = ledger.refuse_login("bank", "wrong password", future)
        assert (pause.subject, pause.why, pause.until) == ("@bank", "wrong password", future)
        assert place.open().pauses() == {"@bank": pause}
        assert ledger.try_login("bank", future + MINUTE) == pause

    def test_refused_again_it_keeps_its_beginning(self, ledger: Ledger, place: Place, future: datetime) -> None:
        first = ledger.refuse_login("bank", "wrong password", future)
        place.clock.sleep(60)
        again = ledger.refuse_login("bank", "account locked", future + MINUTE)
        assert again == Pause(subject="@bank", why="account locked", since=first.since, until=future + MINUTE)
        assert ledger.pauses() == {"@bank": again}

    def test_anybody_may_log_in_where_nothing_is_paused(self, ledger: Ledger, future: datetime) -> None:
        ledger.refuse_login("archive", "wrong password", future)
        assert ledger.try_login("bank", future) is None
        assert list(ledger.pauses()) == ["@archive"]

    def test_when_its_time_has_come_one_tries_and_all_others_wait(
        self, ledger: Ledger, past: datetime, future: datetime
    ) -> None:
        ledger.refuse_login("bank", "wrong password", past)
        assert ledger.try_login("bank", future) is None
        waiting = ledger.try_login("bank", future + MINUTE)
        assert waiting is not None
        assert (waiting.until, waiting.why) == (future, "wrong password")

    def test_a_login_that_went_well_ends_it(self, ledger: Ledger, past: datetime, future: datetime) -> None:
        ledger.refuse_login("bank", "wrong password", past)
        ledger.accept_login("bank")
        ledger.accept_login("bank")
        assert ledger.pauses() == {}
        assert ledger.try_login("bank", future) is None

    def test_a_person_ends_it_too(self, ledger: Ledger, future: datetime) -> None:
        ledger.refuse_login("bank", "wrong password", future)
        assert ledger.resume("@bank")
        assert (ledger.pauses(), ledger.notices()) == ({}, [])

    def test_it_is_told_once_with_the_endpoint_and_so_is_its_end(self, ledger: Ledger, future: datetime) -> None:
        for _ in range(3):
            ledger.refuse_login("bank", "wrong password", future)
        (notice,) = ledger.notices()
        assert (notice.kind, notice.subject, notice.job, notice.run) == (NoticeKind.FAILED, "@bank", None, None)
        assert notice.detail == {"endpoint": "bank", "reason": "wrong password"}
        ledger.accept_login("bank")
        (recovered,) = ledger.notices()
        assert (recovered.kind, recovered.subject) == (NoticeKind.RECOVERED, "@bank")
        assert recovered.detail == {"endpoint": "bank"}

    def test_refused_anew_it_is_told_anew(self, ledger: Ledger, future: datetime) -> None:
        for _ in range(2):
            ledger.refuse_login("bank", "wrong password", future)
            ledger.accept_login("bank")
        assert told(ledger) == [(NoticeKind.RECOVERED, "@bank")]
        ledger.refuse_login("bank", "wrong password", future)
        assert sorted(told(ledger)) == [(NoticeKind.FAILED, "@bank"), (NoticeKind.RECOVERED, "@bank")]


def at_once(works: Sequence[Callable[[], object]]) -> list[object]:
    """What the `works` return, each in a thread of its own, all begun together."""
    gate, answers = threading.Barrier(len(works)), [object()] * len(works)

    def begin(place: int, work: Callable[[], object]) -> None:
        gate.wait()
        answers[place] = work()

    threads = [threading.Thread(target=begin, args=each) for each in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


class TestManyAtOnce:
    def test_of_workers_whose_login_is_refused_at_once_all_pause_it_and_it_is_told_once(
        self, ledger: Ledger, future: datetime
    ) -> None:
        for endpoint in ("a", "b", "c"):
            refused = at_once([partial(ledger.refuse_login, endpoint, "no", future)] * 6)
            assert {getattr(pause, "until", None) for pause in refused} == {future}
        assert sorted(told(ledger)) == [(NoticeKind.FAILED, f"@{name}") for name in "abc"]

    def test_of_threads_that_ask_at_once_one_may_log_in(self, ledger: Ledger, past: datetime, future: datetime) -> None:
        for endpoint in ("a", "b", "c"):
            ledger.refuse_login(endpoint, "no", past)
            answers = at_once([partial(ledger.try_login, endpoint, future)] * 6)
            assert answers.count(None) == 1

    def test_of_processes_that_ask_at_once_one_may_log_in(self, place: Place) -> None:
        ledger = place.open()
        past, future = ledger.now() - MINUTE, ledger.now() + 10 * MINUTE
        names = [f"e{number}" for number in range(15)]
        for name in names:
            ledger.refuse_login(name, "no", past)
        place.close()

        def ask() -> str:
            mine = place.open()
            return "".join(str(int(mine.try_login(name, future) is None)) for name in names)

        answers = all_in_children([ask] * 3)
        assert [sum(map(int, column)) for column in zip(*answers, strict=True)] == [1] * len(names)

    def test_a_person_who_pauses_while_logins_are_refused_has_the_last_word(
        self, ledger: Ledger, future: datetime
    ) -> None:
        works = [partial(ledger.refuse_login, "bank", "no", future)] * 4
        at_once([*works, partial(ledger.pause, "@bank", "their migration")])
        assert ledger.pauses()["@bank"].until is None
        assert ledger.pauses()["@bank"].why == "their migration"


class TestServing:
    def test_one_daemon_serves_a_sqlite_ledger_and_several_a_shared_one(self, place: Place) -> None:
        first, second = place.open(), place.open()
        first.serve()
        if isinstance(place, PostgresqlPlace):
            second.serve()
            return
        with pytest.raises(BusyError, match="another `batchxfer serve` works on"):
            second.serve()
        run = second.runs()
        assert run == []
        first.close()
        second.serve()

    def test_a_daemon_that_was_killed_makes_way_at_once(self, sqlite_place: Place) -> None:
        def serve() -> str:
            sqlite_place.open().serve()
            return "serving"

        assert all_in_children([serve]) == ["serving"]
        sqlite_place.open().serve()
