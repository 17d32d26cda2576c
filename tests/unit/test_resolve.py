"""The table of DESIGN: what is seen at both names, and what to do then."""

from __future__ import annotations

import pytest

from batchxfer.model import FileStatus
from batchxfer.resolve import Policy, Seen, Step, resolve

ABSENT, THERE, UNKNOWN = Seen.ABSENT, Seen.THERE, Seen.UNKNOWN
PENDING, SENDING, PUBLISHING, PUBLISHED = FileStatus
PLAIN, REPLACE, DIRECT = Policy(), Policy(replace=True), Policy(direct=True)


@pytest.mark.parametrize(
    ("intent", "temporary", "final", "policy", "step"),
    [
        (PENDING, ABSENT, ABSENT, PLAIN, Step.SEND),
        (PENDING, ABSENT, THERE, PLAIN, Step.HOLD_FOREIGN),
        (PENDING, ABSENT, THERE, REPLACE, Step.SEND),
        (SENDING, ABSENT, ABSENT, PLAIN, Step.SEND),
        (SENDING, THERE, ABSENT, PLAIN, Step.SEND),
        (SENDING, THERE, THERE, PLAIN, Step.HOLD_FOREIGN),
        (SENDING, ABSENT, THERE, PLAIN, Step.HOLD_FOREIGN),
        (SENDING, THERE, THERE, REPLACE, Step.SEND),
        (PUBLISHING, THERE, ABSENT, PLAIN, Step.RENAME),
        (PUBLISHING, THERE, ABSENT, REPLACE, Step.RENAME),
        (PUBLISHING, THERE, THERE, REPLACE, Step.RENAME),
        (PUBLISHING, THERE, THERE, PLAIN, Step.COMPARE),
        (PUBLISHING, ABSENT, THERE, PLAIN, Step.COMPARE),
        (PUBLISHING, ABSENT, THERE, REPLACE, Step.COMPARE),
        (PUBLISHING, ABSENT, ABSENT, PLAIN, Step.HOLD_VANISHED),
        (PUBLISHING, ABSENT, ABSENT, Policy(taken_at_once=True), Step.INFER),
        (PUBLISHING, UNKNOWN, UNKNOWN, PLAIN, Step.HOLD_UNREADABLE),
        (SENDING, UNKNOWN, UNKNOWN, PLAIN, Step.SEND),
        (SENDING, ABSENT, THERE, DIRECT, Step.HOLD_FOREIGN),
        (PUBLISHED, ABSENT, ABSENT, PLAIN, Step.NOTHING),
        (PUBLISHED, ABSENT, THERE, PLAIN, Step.NOTHING),
    ],
)
def test_what_is_seen_at_both_names_decides_the_next_step(intent, temporary, final, policy, step):
    assert resolve(intent, temporary, final, policy) is step


def test_a_direct_write_goes_on_only_over_its_own_exclusive_create():
    assert resolve(SENDING, ABSENT, THERE, DIRECT, created=True) is Step.SEND_OVER
    assert resolve(SENDING, ABSENT, THERE, DIRECT, created=False) is Step.HOLD_FOREIGN


def test_a_resend_looks_first_and_sends_only_what_is_gone():
    assert resolve(PUBLISHED, ABSENT, THERE, PLAIN, resend=True) is Step.COMPARE
    assert resolve(PUBLISHED, ABSENT, ABSENT, PLAIN, resend=True) is Step.SEND
    assert resolve(PENDING, ABSENT, THERE, PLAIN, resend=True) is Step.COMPARE
    assert resolve(PUBLISHING, THERE, ABSENT, PLAIN, resend=True) is Step.RENAME


def test_a_resend_of_what_vanished_is_a_persons_word_that_it_did_not_arrive():
    for policy in (PLAIN, Policy(taken_at_once=True)):
        assert resolve(PUBLISHING, ABSENT, ABSENT, policy, resend=True) is Step.SEND
    assert resolve(PUBLISHING, UNKNOWN, UNKNOWN, PLAIN, resend=True) is Step.SEND
