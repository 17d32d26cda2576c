"""What a ledger says of itself to whoever looks for what is wrong, on each database; looking changes nothing."""

from __future__ import annotations

from datetime import timedelta

from batchxfer.ledger.schema import HEAD
from batchxfer.ports import Ledger
from tests.contracts.test_ledger_restored import delivered, forget, newest_event
from tests.ledgers import NOW, SHA256, SLOT, Place, SqlitePlace, Walk


def test_what_it_knows_of_itself_and_of_the_spool(place: Place, ledger: Ledger) -> None:
    walk = delivered(place, ledger)
    under_way = Walk(ledger, place, slot=SLOT + timedelta(days=1)).adopted().built()
    facts = ledger.inspect()
    assert (facts.version, facts.project, facts.runs) == (HEAD, ledger.project_id, 2)
    assert list(facts.damage) == []
    assert facts.newest_event is not None
    files = {file.run: file for file in facts.files}
    assert files[walk.run.id].settled
    assert not files[under_way.run.id].settled
    assert files[under_way.run.id].path == place.spool / "a.csv"
    assert (files[under_way.run.id].bytes, files[under_way.run.id].sha256) == (17, SHA256)
    (claim,) = facts.claims
    assert (claim.run, claim.owner, claim.lives) == (under_way.run.id, ledger.owner, True)
    assert facts.serving is (False if isinstance(place, SqlitePlace) else None)
    assert facts.path == (place.path if isinstance(place, SqlitePlace) else None)
    assert (facts.restored, facts.forgets) == (None, False)


def test_a_claim_whose_process_is_gone(place: Place, ledger: Ledger) -> None:
    walk = Walk(ledger, place)
    place.end_process(ledger)
    (claim,) = place.open().inspect().claims
    assert (claim.run, claim.lives) == (walk.run.id, False)


def test_rows_of_a_clock_that_was_ahead(place: Place, ledger: Ledger) -> None:
    delivered(place, ledger)
    if isinstance(place, SqlitePlace):
        place.clock.instant = NOW - timedelta(days=1)
    else:
        place.execute("UPDATE runs SET created_at = created_at + interval '1 day'")
    ahead = place.open().inspect().ahead
    assert "run" in {what for what, _, _ in ahead}


def test_that_it_has_forgotten_something_is_said_and_not_recorded(place: Place, ledger: Ledger) -> None:
    delivered(place, ledger)
    known = newest_event(place)
    delivered(place, ledger, day=1)
    forget(place, known)
    facts = place.open().inspect()
    assert (facts.restored, facts.forgets) == (None, True)
    assert place.execute("SELECT key FROM meta WHERE key = 'restored'") == []
    assert newest_event(place) == known
    restored = place.open().restored()
    assert place.open().inspect().restored == restored
