"""Sessions shared by threads: so many an endpoint, and one login at a time where none has gone well yet."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from batchxfer.connections import Connections
from batchxfer.errors import LoginRefused, NetworkError


class Session:
    alive = True
    server_key = None

    def begin_attempt(self) -> None: ...

    def end_attempt(self) -> None: ...

    def close(self) -> None:
        self.alive = False


class Bank:
    """An endpoint whose login takes a moment. `mood` makes a session or raises."""

    place = "sftp://bank"

    def __init__(self) -> None:
        self.logins = 0
        self.at_once = 0
        self.most = 0
        self.mood: Callable[[], Any] = Session
        self._guard = threading.Lock()

    def connect(self) -> Any:
        with self._guard:
            self.logins += 1
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        time.sleep(0.05)
        with self._guard:
            self.at_once -= 1
        return self.mood()


def refuse() -> None:
    raise LoginRefused("bank: the password is wrong", hint="mend it")


def unreachable() -> None:
    raise NetworkError("bank: no route to host")


def all_at_once(connections: Connections, count: int = 5) -> list[Exception | None]:
    """What `count` threads met that all want a session at the same time."""
    met: list[Exception | None] = []
    gate = threading.Barrier(count)

    def want() -> None:
        gate.wait()
        try:
            with connections.session("bank"):
                met.append(None)
        except Exception as exc:
            met.append(exc)

    threads = [threading.Thread(target=want) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    return met


@pytest.fixture
def bank() -> Bank:
    return Bank()


@pytest.fixture
def connections(bank: Bank) -> Connections:
    return Connections(lambda name: bank, lambda name: 3)  # type: ignore[arg-type,return-value]


def test_a_refused_login_is_tried_once_for_all_who_want_it(bank: Bank, connections: Connections) -> None:
    bank.mood = refuse
    met = all_at_once(connections)
    assert [type(error) for error in met] == [LoginRefused] * 5
    assert {str(error) for error in met} == {"bank: the password is wrong"}
    assert bank.logins == 1


def test_whoever_comes_after_a_refusal_tries_himself(bank: Bank, connections: Connections) -> None:
    bank.mood = refuse
    all_at_once(connections)
    bank.mood = Session
    assert all_at_once(connections) == [None] * 5


def test_a_server_that_is_down_is_tried_by_each(bank: Bank, connections: Connections) -> None:
    bank.mood = unreachable
    assert [type(error) for error in all_at_once(connections)] == [NetworkError] * 5
    assert (bank.logins, bank.most) == (5, 1)


def test_an_endpoint_has_at_most_its_limit_of_sessions(bank: Bank, connections: Connections) -> None:
    assert all_at_once(connections) == [None] * 5
    assert bank.logins <= 3
    bank.mood = unreachable
    connections.close_idle(-1)
    assert len([error for error in all_at_once(connections) if error]) == 5
    assert bank.most <= 3


def test_closing_wakes_those_who_wait(bank: Bank, connections: Connections) -> None:
    bank.mood = lambda: time.sleep(0.3) or Session()
    threading.Timer(0.1, connections.close).start()
    met = all_at_once(connections)
    assert len([error for error in met if isinstance(error, NetworkError)]) >= 4
