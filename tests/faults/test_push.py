"""Every call of a delivery broken in turn, before and after its effect; then the next attempt, until it is delivered."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from batchxfer.errors import FolderMissing, ForeignFile, HeldError, NetworkError, ServerError, Vanished
from batchxfer.model import Artifact, Delivery, DeliveryFile, DeliveryStatus, FileRole, FileStatus
from batchxfer.push import Agreement, deliver
from batchxfer.resolve import Policy
from tests.faults.partner import BreaksAt, MemorySession, Partner

CONTENT = b"order|amount\n1|12.50\n2|7.00\n"
DATA, SUM, DONE = "out/orders.psv", "out/orders.psv.sha256", "out/orders.done"
EXPECTED = {
    DATA: CONTENT,
    SUM: f"{hashlib.sha256(CONTENT).hexdigest()}  orders.psv\n".encode(),
    DONE: b"",
}


@pytest.fixture(autouse=True, params=[1, 32], ids=["near", "far"])
def at_once(request, monkeypatch):
    """Near, a final name is looked at first; far, while the temporary file is opened."""
    monkeypatch.setattr(MemorySession, "at_once", request.param)


class Record:
    """The ledger's part: keeps each file as it was last recorded, and what was recorded in order."""

    def __init__(self) -> None:
        self.steps: list[tuple[FileRole, FileStatus]] = []
        self.delivery = Delivery(
            id="D1",
            endpoint="bank",
            path=DATA,
            status=DeliveryStatus.PENDING,
            files=tuple(
                DeliveryFile(role=role, path=path)
                for role, path in [(FileRole.DATA, DATA), (FileRole.CHECKSUM, SUM), (FileRole.DONE, DONE)]
            ),
        )

    def __call__(self, role, status, *, temp_path=None, created=None, size=None, sha256=None):
        self.steps.append((role, status))
        said = {"temp_path": temp_path, "created": created, "bytes": size, "sha256": sha256}
        known = {key: value for key, value in said.items() if value is not None}
        files = tuple(
            replace(file, status=status, **known) if file.role is role else file for file in self.delivery.files
        )
        self.delivery = replace(self.delivery, files=files)


@pytest.fixture
def artifact(tmp_path):
    path = tmp_path / "artifact"
    path.write_bytes(CONTENT)
    digest = hashlib.sha256(CONTENT).hexdigest()
    now = datetime(2026, 11, 23, tzinfo=UTC)
    return Artifact(id="A1", path=path, rows=2, bytes=len(CONTENT), sha256=digest, created_at=now)


def attempt(record, partner, artifact, agreement, number, breaks=None, **options):
    session = MemorySession(partner, breaks)
    return deliver(session, record.delivery, artifact, agreement, record, attempt=f"T{number}", **options)


def calls_of_a_delivery(artifact, agreement):
    breaks = BreaksAt()
    attempt(Record(), Partner(), artifact, agreement, 1, breaks)
    return breaks.calls


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("verify", ["size", "readback"])
def test_a_link_broken_at_any_call_delivers_each_file_whole_and_once(artifact, after, verify):
    agreement = Agreement(endpoint="bank", policy=Policy(), verify=verify)
    for at in range(1, calls_of_a_delivery(artifact, agreement) + 1):
        record, partner = Record(), Partner()
        with pytest.raises(NetworkError):
            attempt(record, partner, artifact, agreement, 1, BreaksAt(at=at, after=after))
        attempt(record, partner, artifact, agreement, 2)
        assert partner.files == EXPECTED, f"broken at call {at}"
        assert [path for path, _ in partner.published] == [DATA, SUM, DONE], f"broken at call {at}"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_two_breaks_in_a_row_deliver_each_file_whole_and_once(artifact, after):
    agreement = Agreement(endpoint="bank", policy=Policy())
    calls = calls_of_a_delivery(artifact, agreement)
    for first in range(1, calls + 1):
        for second in range(1, calls + 1):
            record, partner = Record(), Partner()
            for number, at in [(1, first), (2, second)]:
                try:
                    attempt(record, partner, artifact, agreement, number, BreaksAt(at=at, after=after))
                except NetworkError:
                    continue
            attempt(record, partner, artifact, agreement, 3)
            assert partner.files == EXPECTED, f"broken at calls {first} and {second}"
            assert len(partner.published) == 3, f"broken at calls {first} and {second}"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_replacing_delivery_broken_at_any_call_leaves_the_old_file_or_the_new_one(artifact, after):
    agreement = Agreement(endpoint="bank", policy=Policy(replace=True))
    for at in range(1, calls_of_a_delivery(artifact, agreement) + 1):
        record, partner = Record(), Partner(files={DATA: b"yesterday's"})
        with pytest.raises(NetworkError):
            attempt(record, partner, artifact, agreement, 1, BreaksAt(at=at, after=after))
        assert partner.files[DATA] in (b"yesterday's", CONTENT)
        attempt(record, partner, artifact, agreement, 2)
        assert partner.files == EXPECTED, f"broken at call {at}"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_direct_delivery_writes_anew_only_what_it_created_itself(artifact, after):
    agreement = Agreement(endpoint="bank", policy=Policy(direct=True))
    for at in range(1, calls_of_a_delivery(artifact, agreement) + 1):
        record, partner = Record(), Partner()
        with pytest.raises(NetworkError):
            attempt(record, partner, artifact, agreement, 1, BreaksAt(at=at, after=after))
        try:
            attempt(record, partner, artifact, agreement, 2)
        except ForeignFile:
            # The reply to the exclusive create was lost: nobody can tell whose the file is.
            assert after
        else:
            assert partner.files == EXPECTED, f"broken at call {at}"


def test_the_done_file_comes_last_and_never_without_the_others(artifact):
    record = Record()
    attempt(record, Partner(), artifact, Agreement(endpoint="bank", policy=Policy()), 1)
    assert record.steps == [(role, status) for role in FileRole for status in list(FileStatus)[1:]]


def test_the_intent_is_recorded_before_the_rename(artifact):
    """Otherwise a crash between the two would look like a foreign file."""
    record, partner = Record(), Partner()
    calls = []
    session = MemorySession(partner)
    rename = session.rename
    session.rename = lambda old, new: (calls.append(record.steps[-1]), rename(old, new))[1]
    deliver(session, record.delivery, artifact, Agreement(endpoint="bank", policy=Policy()), record, attempt="T1")
    assert calls == [(role, FileStatus.PUBLISHING) for role in FileRole]


def test_a_foreign_file_at_the_final_name_is_held_and_stays(artifact):
    partner = Partner(files={DATA: b"somebody else's"})
    with pytest.raises(ForeignFile, match=r"out/orders\.psv is there already, and it is not ours"):
        attempt(Record(), partner, artifact, Agreement(endpoint="bank", policy=Policy()), 1)
    assert partner.files == {DATA: b"somebody else's"}


def test_a_foreign_file_leaves_the_delivery_as_if_it_had_not_begun(artifact):
    """So that a mended job may name another path."""
    record, partner = Record(), Partner(files={DATA: b"somebody else's"})
    with pytest.raises(ForeignFile):
        attempt(record, partner, artifact, Agreement(endpoint="bank", policy=Policy()), 1)
    assert [file.status for file in record.delivery.files] == [FileStatus.PENDING] * 3


def test_a_foreign_sidecar_leaves_what_was_published_published(artifact):
    """What is sent of the sidecar alone is taken away; the delivery has begun all the same."""
    record, partner, agreement = Record(), Partner(files={SUM: b"theirs"}), Agreement(endpoint="bank", policy=Policy())
    for number in (1, 2):
        with pytest.raises(ForeignFile, match=r"orders\.psv\.sha256 is there already"):
            attempt(record, partner, artifact, agreement, number)
        assert partner.files == {DATA: CONTENT, SUM: b"theirs"}
        assert record.delivery.files[0].status is FileStatus.PUBLISHED
        assert (FileRole.CHECKSUM, FileStatus.PENDING) not in record.steps
    del partner.files[SUM]
    attempt(record, partner, artifact, agreement, 3)
    assert partner.files == EXPECTED


def test_a_delivery_that_was_begun_before_is_not_said_to_be_new(artifact):
    record, partner, agreement = Record(), Partner(), Agreement(endpoint="bank", policy=Policy())
    with pytest.raises(NetworkError):
        attempt(record, partner, artifact, agreement, 1, BreaksAt(at=3))
    assert record.delivery.files[0].status is FileStatus.SENDING
    partner.files[DATA] = b"theirs"
    with pytest.raises(ForeignFile):
        attempt(record, partner, artifact, agreement, 2)
    assert partner.files[DATA] == b"theirs"
    assert not any(".T2." in path for path in partner.files)
    assert record.delivery.files[0].status is FileStatus.SENDING


def test_both_names_gone_while_publishing_is_held_or_inferred_as_agreed(artifact):
    record, partner = Record(), Partner()
    record(FileRole.DATA, FileStatus.PUBLISHING, temp_path="out/.orders.psv.T1.part")
    with pytest.raises(Vanished):
        attempt(record, partner, artifact, Agreement(endpoint="bank", policy=Policy()), 2)
    quick = Agreement(endpoint="bank", policy=Policy(taken_at_once=True))
    assert attempt(record, partner, artifact, quick, 3).how == "inferred"
    assert DATA not in partner.files


def test_a_resend_sends_only_what_is_gone(artifact):
    record, partner, agreement = Record(), Partner(), Agreement(endpoint="bank", policy=Policy())
    attempt(record, partner, artifact, agreement, 1)
    assert attempt(record, partner, artifact, agreement, 2, resend=True).how == "equal"
    assert len(partner.published) == 3
    del partner.files[DATA]
    assert attempt(record, partner, artifact, agreement, 3, resend=True).how == "size"
    assert partner.files == EXPECTED
    assert [path for path, _ in partner.published] == [DATA, SUM, DONE, DATA]


def test_a_resend_never_touches_other_content(artifact):
    record, partner, agreement = Record(), Partner(), Agreement(endpoint="bank", policy=Policy())
    attempt(record, partner, artifact, agreement, 1)
    partner.files[DATA] = b"changed by the partner"
    with pytest.raises(ForeignFile, match="is another file"):
        attempt(record, partner, artifact, agreement, 2, resend=True)
    assert partner.files[DATA] == b"changed by the partner"


class LosesAByte(MemorySession):
    """A server that says yes to each write and drops the last one."""

    def _append(self, path, piece):
        super()._append(path, piece[:-1])


class FlipsABit(MemorySession):
    """A server that keeps the size and changes the content."""

    def _append(self, path, piece):
        super()._append(path, bytes([piece[0] ^ 1]) + piece[1:])


@pytest.mark.parametrize(
    ("server", "verify", "what"),
    [
        (LosesAByte, "size", "the server has"),
        (LosesAByte, "readback", "the server gives back other bytes"),
        (FlipsABit, "readback", "the server gives back other bytes"),
    ],
)
def test_a_file_that_did_not_arrive_whole_is_never_published(artifact, server, verify, what):
    record, partner = Record(), Partner()
    agreement = Agreement(endpoint="bank", policy=Policy(), verify=verify)
    with pytest.raises(ServerError, match=f"did not arrive whole.*{what}"):
        deliver(server(partner), record.delivery, artifact, agreement, record, attempt="T1")
    assert partner.files == {}
    assert partner.published == []


def test_what_was_written_to_its_final_name_is_not_said_to_be_unpublished(artifact):
    agreement = Agreement(endpoint="bank", policy=Policy(direct=True))
    with pytest.raises(ServerError, match="did not arrive whole") as caught:
        deliver(LosesAByte(Partner()), Record().delivery, artifact, agreement, Record(), attempt="T1")
    assert caught.value.hint == "it is written anew"


def test_an_artifact_damaged_on_disk_is_never_published(artifact):
    artifact.path.write_bytes(CONTENT.replace(b"12.50", b"99.99"))
    partner = Partner()
    with pytest.raises(HeldError, match="was damaged on this machine"):
        attempt(Record(), partner, artifact, Agreement(endpoint="bank", policy=Policy()), 1)
    assert partner.published == []


def test_an_empty_result_is_sent_as_an_empty_file(artifact):
    artifact.path.write_bytes(b"")
    empty = replace(artifact, bytes=0, rows=0, sha256=hashlib.sha256(b"").hexdigest())
    record, partner = Record(), Partner()
    attempt(record, partner, empty, Agreement(endpoint="bank", policy=Policy()), 1)
    assert partner.files[DATA] == b""


class HasFolders(MemorySession):
    """A server on which only these folders exist, and those that are made."""

    def __init__(self, partner, *folders):
        super().__init__(partner)
        self.folders = {"", *folders}
        self.made = []

    def upload(self, path, content, **options):
        if path.rpartition("/")[0] not in self.folders:
            raise FolderMissing(f"{path}: no such folder")
        return super().upload(path, content, **options)

    def make_folder(self, path):
        if path.rpartition("/")[0] not in self.folders:
            raise FolderMissing(f"{path}: no such folder")
        self.folders.add(path)
        self.made.append(path)


def deliver_dated(session, artifact, given):
    path = "out/2026/11/orders.psv"
    files = (DeliveryFile(role=FileRole.DATA, path=path),)
    record = Record()
    record.delivery = replace(record.delivery, path=path, files=files)
    agreement = Agreement(endpoint="bank", policy=Policy(), given_folders={FileRole.DATA: given})
    return deliver(session, record.delivery, artifact, agreement, record, attempt="T1")


def test_dated_folders_are_made_below_the_fixed_part(artifact):
    session = HasFolders(Partner(), "out")
    deliver_dated(session, artifact, 1)
    assert session.made == ["out/2026", "out/2026/11"]


def test_a_typing_error_in_the_fixed_part_delivers_to_nowhere(artifact):
    session = HasFolders(Partner())
    with pytest.raises(FolderMissing):
        deliver_dated(session, artifact, 1)
    assert session.made == []


def test_where_no_folder_may_be_made_a_missing_one_is_an_error(artifact):
    session = HasFolders(Partner(), "out")
    with pytest.raises(FolderMissing):
        deliver_dated(session, artifact, None)
    assert session.made == []
