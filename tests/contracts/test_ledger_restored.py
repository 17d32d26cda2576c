"""A ledger that was put back from a backup is known by what its spool remembers, on each database."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from batchxfer.errors import UsageError
from batchxfer.ledger import newest
from batchxfer.model import DeliveryStatus, Evidence, FetchStatus, NoticeKind, SeenFile
from batchxfer.ports import Ledger
from tests.ledgers import NOW, SLOT, SNAPSHOT, Place, Walk, planned


def delivered(place: Place, ledger: Ledger, day: int = 0) -> Walk:
    walk = Walk(ledger, place, slot=SLOT + timedelta(days=day)).adopted().built().published()
    ledger.settle(walk.claim, walk.delivery, DeliveryStatus.DELIVERED, evidence=Evidence(how="size"))
    ledger.let_go(walk.claim)
    return walk


def forget(place: Place, since: int) -> None:
    """As a ledger that was put back: what happened after the event of that number is not in it."""
    place.execute(f"DELETE FROM events WHERE id > {since}")


def newest_event(place: Place) -> int:
    ((found,),) = place.execute("SELECT max(id) FROM events")
    assert isinstance(found, int)
    return found


def test_a_ledger_that_has_what_the_spool_remembers_is_whole(place: Place, ledger: Ledger) -> None:
    assert ledger.restored() is None
    delivered(place, ledger)
    remembered = newest.read(place.spool)
    assert remembered is not None
    assert remembered.at == NOW or remembered.id > 0
    assert place.open().restored() is None


def test_a_ledger_that_lacks_what_the_spool_remembers_was_put_back(place: Place, ledger: Ledger) -> None:
    delivered(place, ledger)
    known = newest_event(place)
    ((last,),) = place.execute(f"SELECT at FROM events WHERE id = {known}")
    place.clock.sleep(3600)
    delivered(place, ledger, day=1)
    ledger.close()
    forget(place, known)
    again = place.open()
    restored = again.restored()
    assert restored is not None
    assert not restored.declared
    assert restored.known_until <= restored.at
    assert str(last)[:19].replace(" ", "T") == restored.known_until.isoformat()[:19]
    # It stays so, for every process, whatever is written meanwhile.
    delivered(place, again, day=2)
    assert again.restored() == restored
    assert place.open().restored() == restored
    (notice,) = [each for each in again.notices() if each.subject == "ledger"]
    assert notice.kind is NoticeKind.HELD
    assert "batchxfer reconcile" in str(notice.detail["reason"])


def test_the_same_number_at_another_time_is_another_event(place: Place, ledger: Ledger) -> None:
    delivered(place, ledger)
    remembered = newest.read(place.spool)
    assert remembered is not None
    memory = newest.Memory(place.spool)
    memory.remember(newest.NewestEvent(remembered.id, remembered.at + timedelta(seconds=1)))
    assert place.open().restored() is not None


def test_once_it_is_reconciled_it_is_whole_for_everybody(place: Place, ledger: Ledger) -> None:
    delivered(place, ledger)
    known = newest_event(place)
    delivered(place, ledger, day=1)
    ledger.close()
    forget(place, known)
    again = place.open()
    assert again.restored() is not None
    again.end_restored()
    assert again.restored() is None
    assert place.open().restored() is None
    assert [each for each in again.notices() if each.subject == "ledger"] == []
    delivered(place, again, day=2)
    assert place.open().restored() is None


def test_a_process_that_lived_through_it_remembers_again_once_another_has_reconciled(
    place: Place, ledger: Ledger
) -> None:
    delivered(place, ledger)
    known = newest_event(place)
    delivered(place, ledger, day=1)
    forget(place, known)
    place.clock.sleep(1)
    other = place.open()
    assert other.restored() is not None
    other.end_restored()
    delivered(place, ledger, day=2)
    remembered = newest.read(place.spool)
    assert remembered is not None
    assert remembered.id == newest_event(place) - 1  # the newest is that it was let go
    assert ledger.restored() is None


def test_put_back_a_second_time_it_is_known_again(place: Place, ledger: Ledger) -> None:
    delivered(place, ledger)
    known = newest_event(place)
    for day in (1, 2):
        delivered(place, ledger, day=day)
        ledger.close()
        forget(place, known)
        ledger = place.open()
        assert ledger.restored() is not None
        ledger.end_restored()
        known = newest_event(place)


def test_a_person_may_say_so(place: Place, ledger: Ledger) -> None:
    delivered(place, ledger)
    with pytest.raises(UsageError):
        ledger.declare_restored("")
    restored = ledger.declare_restored("the disk was lost")
    assert restored.declared
    assert ledger.restored() == restored
    assert place.open().restored() == restored
    assert ledger.declare_restored("again") == restored
    ledger.end_restored()
    assert place.open().restored() is None


def test_a_new_ledger_that_a_person_says_was_put_back_knows_nothing(place: Place, ledger: Ledger) -> None:
    restored = ledger.declare_restored("it was the first backup")
    assert restored.known_until <= restored.at


@pytest.mark.parametrize("content", [b"", b"12", b"12 2026-11-22T16:00:00+00:00 00000000\n", b"\xff" * 100])
def test_a_torn_memory_is_none(place: Place, ledger: Ledger, content: bytes) -> None:
    delivered(place, ledger)
    (place.spool / newest.NAME).write_bytes(content)
    assert newest.read(place.spool) is None
    assert place.open().restored() is None


def test_a_ledger_that_is_swapped_under_a_process_is_found_out_at_once(place: Place, ledger: Ledger) -> None:
    delivered(place, ledger)
    known = newest_event(place)
    delivered(place, ledger, day=1)
    assert ledger.restored() is None
    forget(place, known)
    assert ledger.restored() is not None


def test_what_a_process_does_after_that_does_not_hide_it(place: Place, ledger: Ledger) -> None:
    delivered(place, ledger)
    known = newest_event(place)
    delivered(place, ledger, day=1)
    forget(place, known)
    place.clock.sleep(1)
    for day in range(2, 5):
        delivered(place, ledger, day=day)
    assert ledger.restored() is not None
    assert place.open().restored() is not None


def test_a_fetched_file_is_remembered_before_its_run_ends(place: Place, ledger: Ledger) -> None:
    walk = Walk(ledger, place)
    ledger.adopt(walk.claim, replace(SNAPSHOT, query=""), [planned(path="*.csv")])
    ledger.see(walk.claim, "bank", [SeenFile(path="a.csv", size=1)])
    before = newest.read(place.spool)
    (file,) = walk.now.files
    ledger.record_fetch(walk.claim, file.id, FetchStatus.FETCHED, bytes=1, sha256="0" * 64, local_path=Path("a.csv"))
    after = newest.read(place.spool)
    assert after is not None
    assert before is None or after.id > before.id
    assert after.id == newest_event(place)


def test_several_fetched_files_are_recorded_all_or_none(place: Place, ledger: Ledger) -> None:
    walk = Walk(ledger, place)
    ledger.adopt(walk.claim, replace(SNAPSHOT, query=""), [planned(path="*.csv")])
    ledger.see(walk.claim, "bank", [SeenFile(path=f"{number}.csv", size=number) for number in range(3)])
    first, second, third = walk.now.files
    taken = {
        file.id: {"bytes": file.size, "sha256": f"{file.size}" * 64, "local_path": Path(file.path)}
        for file in (first, third)
    }
    with pytest.raises(ValueError, match="has no file nobody"):
        ledger.record_fetches(walk.claim, FetchStatus.FETCHED, taken | {"nobody": {}})
    with pytest.raises(ValueError, match="cannot go from seen to done"):
        ledger.record_fetches(walk.claim, FetchStatus.DONE, {second.id: {}})
    with pytest.raises(ValueError, match="has no colour"):
        ledger.record_fetches(walk.claim, FetchStatus.FETCHED, {second.id: {"colour": "red"}})
    assert [file.status for file in walk.now.files] == [FetchStatus.SEEN] * 3
    ledger.record_fetches(walk.claim, FetchStatus.FETCHED, taken)
    states = [(file.status, file.sha256) for file in walk.now.files]
    assert states == [(FetchStatus.FETCHED, "0" * 64), (FetchStatus.SEEN, None), (FetchStatus.FETCHED, "2" * 64)]
    told = [event.detail["path"] for event in ledger.events(walk.claim.run) if event.kind == "file-fetched"]
    assert told == ["0.csv", "2.csv"]
