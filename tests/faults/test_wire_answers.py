"""A server that answers wrongly at any request of a push, by the installed command: no partial file, and the next attempt
delivers it whole, once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.faults.journeys import Journey, Journeys, keys_for_partner
from tests.faults.test_wire_cuts import OTHERS, RENAME, Policy, nothing_left, ours  # noqa: F401
from tests.servers import answers, faults
from tests.servers.answers import Answering, DoesAndRefuses, Fault, Refuses, SaysYes
from tests.servers.partner import Folder, serve
from tests.soak import SOAKING

HASTY = {"stall_timeout": "1s"}
CODES = (1, 2, 3, 4, 5, 7, 8, 10, 11, 14, 15, 19, 99)
WHEN_DONE = (2, 3, 4, 8, 11)
BENT = (
    SaysYes,
    answers.LosesAnswer,
    answers.AnswersTwice,
    answers.AnswersAnother,
    answers.AnswersOfAnotherKind,
    answers.AnswersHalf,
    answers.SendsEmptyPacket,
    answers.SendsHugePacket,
)
SIZES = ({"more": -1}, {"more": 1}, {"size": 0}, {"size": 2**64 - 1})
MODES = (0o040755, 0o120777, 0o010600)


@contextmanager
def journeys_to(
    folder: Path, behaviour: type[Folder] = Folder, policy: Policy = RENAME, **keys: Any
) -> Iterator[Journeys]:
    with serve(folder / "partner", behaviour) as partner:
        endpoint = {**keys_for_partner(partner), **dict(policy.keys)}
        yield Journeys(folder / "project", partner.root, endpoint, more=policy.more, **keys)


def every_fault(asked: dict[str, int]) -> Iterator[Fault]:
    """Each answer that can be wrong: the first and the last of each kind of request, and a removal."""
    for kind in [*asked, "remove"]:
        for nth in sorted({1, asked.get(kind, 1)}):
            yield from (Refuses(kind, nth, code=code) for code in CODES)
            yield from (DoesAndRefuses(kind, nth, code=code) for code in WHEN_DONE)
            yield from (bent(kind, nth) for bent in BENT)
    for nth in (0, 2, 3):
        yield from (answers.SaysSize("lstat", nth, **size) for size in SIZES)
        yield from (answers.SaysKind("lstat", nth, mode=mode) for mode in MODES)
        yield answers.TellsNoSize("lstat", nth)


def is_beyond(fault: Fault, policy: Policy) -> bool:
    """What no client can see: a server that says yes to a write, or to a rename where nobody looks, and does nothing."""
    if not isinstance(fault, SaysYes):
        return False
    if fault.kind == "write":
        return policy.name != "readback"
    return fault.kind in ("rename", "posix-rename") and policy.name == "reply"


def strike(journeys: Journeys, fault: Fault, policy: Policy) -> None:
    """A push with this fault, and its retry without."""
    journey = journeys.begin()
    journeys.reach(**HASTY)
    # Only what was not finished is removed.
    others = [Refuses("close", 1)] if fault.kind == "remove" else []
    with Answering([fault, *others]):
        said = journey.run()
    assert '"unexpected"' not in said.out, f"{fault}: {said}"
    if not policy.direct:
        journey.check_whole_and_in_order(fault)
    if said.code == 0:
        assert journey.final() == journey.expected, f"{fault}: said to be delivered"
    else:
        assert said.run["reason"], fault
    journeys.reach()
    try_again(journey, said, fault, policy)


def try_again(journey: Journey, said: Any, fault: Fault, policy: Policy) -> None:
    again = journey.retry(said)
    if policy.direct and again.code == 4:
        assert "not ours" in again.run["reason"], f"{fault}: {again}"
        return
    assert again.code == 0, f"{fault}: {said} {again}"
    assert journey.final() == journey.expected, f"{fault}: {again}"
    if fault.kind != "remove":
        assert journey.there() == journey.expected, f"{fault}: left behind"


def asked_of(journeys: Journeys) -> dict[str, int]:
    with Answering() as answering:
        journey = journeys.begin()
        journey.check_delivered(journey.run(), "nothing")
    return dict(answering.asked)


def some(found: Sequence[Fault], many: int, seed: int) -> Sequence[Fault]:
    """All with `make soak`, else so many, spread over them."""
    return found if SOAKING else found[seed % 7 :: max(1, len(found) // many)]


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("policy", [RENAME, *OTHERS], ids=str)
def test_whatever_a_server_answers_files_are_whole_and_the_next_attempt_delivers(
    tmp_path: Path, policy: Policy
) -> None:
    with journeys_to(tmp_path, policy=policy) as journeys:
        found = [fault for fault in every_fault(asked_of(journeys)) if not is_beyond(fault, policy)]
        for fault in some(found, 9 if policy is RENAME else 3, seed=len(policy.name)):
            strike(journeys, fault, policy)


WRITES = 512


@pytest.mark.parametrize("nth", [1, 64, 300, WRITES - 1, WRITES])
def test_one_refused_write_of_many_is_never_reported_as_delivered(tmp_path: Path, nth: int) -> None:
    with faults.NoExtensions(), journeys_to(tmp_path, row_bytes=WRITES * 32 * 1024 - 100, rows=1) as journeys:
        journey = journeys.begin()
        with Answering([Refuses("write", nth)]) as answering:
            said = journey.run()
        assert (said.code, journey.there()) == (3, {})
        assert "failure (status 4: no)" in said.run["reason"]
        assert answering.asked["write"] == WRITES or nth < WRITES - 64
        journey.check_delivered(journey.retry(said), nth)


@pytest.mark.parametrize(
    ("policy", "code"), [*((RENAME, code) for code in WHEN_DONE), (OTHERS[0], 3), (OTHERS[0], 4)], ids=str
)
def test_a_rename_that_was_done_and_refused_is_delivered_after_looking(
    tmp_path: Path, policy: Policy, code: int
) -> None:
    kind = "rename" if policy is RENAME else "posix-rename"
    with (
        journeys_to(tmp_path, policy=policy, row_bytes=10) as journeys,
        Answering([DoesAndRefuses(kind, code=code)]) as on,
    ):
        journey = journeys.begin()
        said = journey.run()
        journey.check_delivered(said, code)
        assert on.asked["open"] == 5, "three files, the folder that was not there, and one that was read back"
    (delivery,) = said.run["deliveries"]
    assert delivery["verified"] == "looked"


@pytest.mark.parametrize("policy", [RENAME, OTHERS[0]], ids=str)
def test_a_rename_that_is_said_to_be_done_and_is_not_is_seen(tmp_path: Path, policy: Policy) -> None:
    kind = "rename" if policy is RENAME else "posix-rename"
    with journeys_to(tmp_path, policy=policy, row_bytes=10) as journeys:
        journey = journeys.begin()
        with Answering([SaysYes(kind)]):
            said = journey.run()
        assert said.code == 3
        assert "and .orders" not in said.run["reason"]
        assert "is still there" in said.run["reason"]
        with Answering() as answering:
            journey.check_delivered(journey.retry(said), "healed")
        assert answering.asked["write"] == 1, "only the checksum: the file is renamed, not sent again"


@pytest.mark.parametrize(("operation", "code"), [("close", 3), ("lstat", 3), ("rename", 4)])
def test_a_temporary_file_that_somebody_takes_is_never_delivered(tmp_path: Path, operation: str, code: int) -> None:
    taken = operation

    class Taken(faults.TakenAt):
        operation = taken

    with journeys_to(tmp_path, Taken, row_bytes=10) as journeys:
        journey = journeys.begin()
        said = journey.run()
        assert (said.code, journey.there()) == (code, {})
    words = {3: "it is gone right after it was written", 4: "are both gone"}
    assert words[code] in said.run["reason"]


@pytest.mark.parametrize("verify", ["size", "reply"])
def test_what_vanished_or_cannot_be_seen_is_sent_again_by_resend_alone(tmp_path: Path, verify: str) -> None:
    """The reply to the rename is lost, and the file with it; or nobody may look."""

    class Vanishes(faults.TakesFilesAtOnce if verify == "size" else faults.WriteOnlyMailbox):  # type: ignore[misc]
        pass

    policy = Policy("vanishing", more=f'verify = "{verify}"')
    with journeys_to(tmp_path, Vanishes, policy, row_bytes=10) as journeys:
        journey = journeys.begin()
        journeys.reach(**HASTY)
        with Answering([answers.LosesAnswer("rename")]):
            lost = journey.run()
        assert lost.code == 3
        journeys.reach()
        held = journey.retry(lost)
        assert held.code == 4
        assert "resend" in held.run["deliveries"][0]["error"]["hint"]
        assert journey.retry(held).code == 4
        for file in journey.place.iterdir():
            file.unlink()
    with serve(tmp_path / "partner", Folder) as partner:
        journeys.keys = keys_for_partner(partner)
        journeys.reach()
        again = journeys.project("resend", held.run["run"], "--json")
        journey.check_delivered(again, "resend")


def test_a_file_that_a_partner_takes_at_once_is_delivered(tmp_path: Path) -> None:
    with journeys_to(tmp_path, faults.TakesFilesAtOnce, row_bytes=10) as journeys:
        journey = journeys.begin()
        assert journey.run().code == 0
        assert journey.there() == {}


def test_a_hole_in_a_file_is_found_by_reading_it_back(tmp_path: Path) -> None:
    """The size is right: nothing else could find it."""
    with journeys_to(tmp_path, policy=OTHERS[1]) as journeys:
        journey = journeys.begin()
        with Answering([SaysYes("write", 2)]):
            said = journey.run()
        assert (said.code, journey.there()) == (3, {})
        assert "the server gives back other bytes" in said.run["reason"]
        journey.check_delivered(journey.retry(said), "healed")


@pytest.mark.parametrize(
    ("fault", "code", "words", "hint"),
    [
        (answers.TellsNoSize("lstat", 0), 1, "does not tell the size", 'verify = "readback"'),
        (answers.SaysKind("lstat", 0), 3, "the server shows a folder there", "sent anew"),
        (Refuses("lstat", 0, code=3), 1, "permission denied (status 3", 'verify = "reply"'),
        (Refuses("lstat", 0, code=8), 1, "operation not supported (status 8", 'verify = "reply"'),
    ],
    ids=str,
)
def test_a_server_that_shows_too_little_is_told_what_to_set(
    tmp_path: Path, fault: Fault, code: int, words: str, hint: str
) -> None:
    more = [Refuses("stat", 0, code=8)] if fault.kind == "lstat" and code == 1 else []
    with journeys_to(tmp_path, row_bytes=10) as journeys, Answering([fault, *more]):
        journey = journeys.begin()
        said = journey.run()
        assert (said.code, journey.final()) == (code, {})
    assert words in said.run["reason"]
    assert hint in said.run["deliveries"][0]["error"]["hint"]


def test_a_failed_look_keeps_a_rename_from_overwriting(tmp_path: Path) -> None:
    """The final name appears while the file is sent, the server's rename overwrites, and the look before it fails."""
    with journeys_to(tmp_path, faults.RenameOverwrites, row_bytes=10) as journeys:
        journey = journeys.begin()
        theirs = journey.place / "orders.psv"

        class Appears(Refuses):
            def answers(self, request: int, packet: bytes) -> list[bytes]:
                theirs.write_bytes(b"theirs")
                return super().answers(request, packet)

        # The looks: at the final name, for what is in the way where the folder is missing, at what was written, at the final
        # name again before the rename.
        with Answering([Appears("lstat", 4)]):
            assert journey.run().code == 3
        assert theirs.read_bytes() == b"theirs"


def test_a_server_that_answers_slowly_and_steadily_is_waited_for(tmp_path: Path) -> None:
    with journeys_to(tmp_path, faults.SlowlySteady) as journeys:
        journeys.reach(stall_timeout="1s")
        journey = journeys.begin()
        journey.check_delivered(journey.run(), "slow")


def test_a_server_that_is_steady_and_too_slow_is_ended_by_the_deadline(tmp_path: Path) -> None:
    class Slower(faults.SlowlySteady):
        seconds = 0.8

    with faults.NoExtensions(), journeys_to(tmp_path, Slower, row_bytes=3_000_000, rows=3) as journeys:
        journeys.reach(stall_timeout="5s", deadline="1s")
        journey = journeys.begin()
        said = journey.run()
        assert (said.code, journey.final()) == (3, {})
        assert said.run["deliveries"][0]["error"]["kind"] == "deadline"
    assert ours() == []
