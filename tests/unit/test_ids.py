"""Ids are ULIDs: 26 characters that sort by time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchxfer.ids import new_id

NOW = datetime(2016, 7, 30, 23, 54, 10, 259000, tzinfo=UTC)
INSTANTS = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))


def test_the_time_is_written_as_the_specification_has_it() -> None:
    """The example of github.com/ulid/spec: 01ARZ3NDEK is 1469922850259 ms."""
    assert new_id(NOW, bytes(10)) == "01ARZ3NDEK0000000000000000"
    assert new_id(NOW, b"\xff" * 10) == "01ARZ3NDEKZZZZZZZZZZZZZZZZ"


def test_no_two_are_equal_within_a_millisecond() -> None:
    assert len({new_id(NOW) for _ in range(10_000)}) == 10_000


@given(INSTANTS, INSTANTS)
def test_ids_sort_as_their_milliseconds(one: datetime, two: datetime) -> None:
    if abs(one - two) >= timedelta(milliseconds=1):
        assert (new_id(one) < new_id(two)) == (one < two)


@pytest.mark.parametrize(
    ("instant", "entropy"),
    [(datetime(2026, 1, 1), None), (datetime(1969, 12, 31, tzinfo=UTC), None), (NOW, b"short")],
)
def test_what_is_no_instant_or_not_random_enough_is_refused(instant: datetime, entropy: bytes | None) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        new_id(instant, entropy)
