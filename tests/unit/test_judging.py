"""What a look at an endpoint says of a run that a restored ledger has forgotten."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from batchxfer.facts import Restored
from batchxfer.judging import Judgement, Kept, Name, Sight, Verdict, judge, judge_pull, may_have_been_sent
from batchxfer.resolve import Seen

OURS, OTHER = "a" * 64, "b" * 64
DATED, SHARED = Name(path="out/20261123.csv"), Name(path="out/current.csv", tells_slot=False)
GONE, CLOSED = Sight(seen=Seen.ABSENT), Sight(seen=Seen.UNKNOWN)
THERE = Sight(seen=Seen.THERE, bytes=1234, sha256=OURS)
BUILT = Kept(ours={OURS: "job/ours"}, earlier={})
UNBUILT = Kept(ours={}, earlier={})
EARLIER = Kept(ours={}, earlier={OURS: "job/earlier"})
LOST = Kept(ours={}, earlier={}, is_whole=False)


def of(name: Name, data: Sight, kept: Kept, **sidecars: Seen) -> Judgement:
    return judge(name, data, sidecars, kept)


@pytest.mark.parametrize(
    ("name", "data", "kept", "verdict", "reason"),
    [
        (DATED, GONE, UNBUILT, Verdict.ABSENT, "it was never built"),
        (DATED, CLOSED, UNBUILT, Verdict.ABSENT, "it was never built"),
        (DATED, CLOSED, LOST, Verdict.UNDECIDED, "this server lets nobody look"),
        (DATED, THERE, BUILT, Verdict.FOUND, "the same as job/ours in the spool"),
        (DATED, THERE, LOST, Verdict.FOUND, f"1,234 bytes, sha256 {OURS} (read back)"),
        (DATED, THERE, UNBUILT, Verdict.UNDECIDED, "it may be somebody else's"),
        (
            DATED,
            THERE,
            Kept(ours={OTHER: "job/ours"}, earlier={}),
            Verdict.UNDECIDED,
            "this slot's in the spool is another",
        ),
        (DATED, Sight(seen=Seen.THERE, bytes=1234), BUILT, Verdict.UNDECIDED, "it cannot be read back"),
        (DATED, CLOSED, BUILT, Verdict.UNDECIDED, "this server lets nobody look"),
        (SHARED, GONE, UNBUILT, Verdict.ABSENT, "it was never built"),
        (SHARED, THERE, BUILT, Verdict.FOUND, "the same as job/ours in the spool"),
        (SHARED, THERE, EARLIER, Verdict.ABSENT, "what is there is an earlier slot's: job/earlier in the spool"),
        (SHARED, THERE, LOST, Verdict.UNDECIDED, "other slots have the same name"),
        (SHARED, THERE, UNBUILT, Verdict.UNDECIDED, "other slots have the same name"),
        (
            SHARED,
            THERE,
            Kept(ours={OURS: "job/ours"}, earlier={OURS: "job/earlier"}),
            Verdict.UNDECIDED,
            "job/earlier in the spool, of an earlier slot, is the same",
        ),
        # What is not shared cannot be an earlier slot's, whatever its bytes are.
        (DATED, THERE, EARLIER, Verdict.UNDECIDED, "it may be somebody else's"),
        (Name(path="a", tells_run=True), GONE, UNBUILT, Verdict.ABSENT, "it was never built"),
        (Name(path="a", tells_run=True), GONE, BUILT, Verdict.UNDECIDED, "the run's id"),
        (Name(path="a", tells_run=True), THERE, BUILT, Verdict.UNDECIDED, "the run's id"),
        (Name(path="a", taken_at_once=True), GONE, UNBUILT, Verdict.ABSENT, "it was never built"),
        (Name(path="a", taken_at_once=True), GONE, BUILT, Verdict.UNDECIDED, "this partner takes files at once"),
        (Name(path="a", taken_at_once=True), THERE, BUILT, Verdict.FOUND, "the same as"),
    ],
)
def test_what_is_at_the_name_and_what_the_spool_has_decide(
    name: Name, data: Sight, kept: Kept, verdict: Verdict, reason: str
) -> None:
    said = of(name, data, kept)
    assert said.verdict is verdict
    assert reason in said.reason


@pytest.mark.parametrize("kept", [BUILT, LOST])
@pytest.mark.parametrize(
    ("leaves_files", "verdict", "reason"),
    [
        (True, Verdict.ABSENT, "it is not there, and an earlier file still is"),
        (False, Verdict.UNDECIDED, "the file before it is gone too: it may have been taken away since"),
        (None, Verdict.UNDECIDED, "no earlier file tells whether they are left there"),
    ],
)
def test_what_is_not_there_was_not_sent_only_where_files_are_left_there(
    kept: Kept, leaves_files: bool | None, verdict: Verdict, reason: str
) -> None:
    said = judge(DATED, GONE, {}, kept, leaves_files=leaves_files)
    assert said.verdict is verdict
    assert reason in said.reason


def test_a_file_without_its_sidecar_may_have_been_cut_off_before_it_came() -> None:
    assert of(DATED, THERE, BUILT, done=Seen.THERE).verdict is Verdict.FOUND
    said = of(DATED, THERE, BUILT, checksum=Seen.THERE, done=Seen.ABSENT)
    assert said.verdict is Verdict.UNDECIDED
    assert "and done, which belongs to it, is not" in said.reason


def test_a_sidecar_without_its_file_tells_that_the_file_was_there() -> None:
    said = of(DATED, GONE, BUILT, done=Seen.THERE)
    assert said.verdict is Verdict.UNDECIDED
    assert said.reason == "done is there, and the file that belongs to it is not"


def test_only_what_was_due_before_it_was_put_back_may_have_been_sent() -> None:
    at = datetime(2026, 11, 25, 9, tzinfo=UTC)
    restored = Restored(known_until=at - timedelta(hours=9), at=at)
    assert may_have_been_sent(at, restored)
    assert may_have_been_sent(at - timedelta(days=9), restored)
    assert not may_have_been_sent(at + timedelta(seconds=1), restored)


def test_files_that_a_pull_does_not_know_may_have_been_taken() -> None:
    assert judge_pull([]).verdict is Verdict.ABSENT
    said = judge_pull(["a", "b", "c", "d"])
    assert said.verdict is Verdict.UNDECIDED
    assert said.reason == "4 there that may have been taken before: a, b, c, …"
