"""What one attempt at a pull works with, and the attempt as the ledger knows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from batchxfer import pull
from batchxfer.definitions import PullJob
from batchxfer.errors import AttemptError
from batchxfer.model import Claim, Delivery, FetchStatus, Outcome
from batchxfer.ports import Ledger
from batchxfer.snapshots import PullDefinition

TAKEN = frozenset({FetchStatus.SEEN, FetchStatus.FETCHED, FetchStatus.LOADED, FetchStatus.DONE})
ACCEPTED = TAKEN - {FetchStatus.SEEN}


@dataclass(frozen=True, kw_only=True)
class Pull:
    """What one attempt works with."""

    claim: Claim
    job: PullJob
    delivery: Delivery
    definition: PullDefinition
    agreement: pull.Agreement
    facts: Mapping[str, object]
    where: str


class Attempt:
    """The attempt of a pull, which begins once there is something to record."""

    def __init__(self, ledger: Ledger, claim: Claim, delivery: Delivery) -> None:
        self._ledger = ledger
        self._claim = claim
        self._delivery = delivery
        self._attempt: str | None = None
        self._failure: AttemptError | None = None
        self.server_key: str | None = None

    @property
    def id(self) -> str | None:
        return self._attempt

    def begun(self, server_key: str | None = None) -> str:
        """Its id: begun now where it was not."""
        self.server_key = server_key or self.server_key
        if self._failure is not None:
            raise self._failure
        if self._attempt is None:
            try:
                self._attempt = self._ledger.begin_attempt(self._claim, self._delivery.endpoint).id
            except AttemptError as error:
                # It may have begun all the same: nothing more is said to the ledger under this claim.
                self._failure = error
                raise
        return self._attempt

    def end(self, outcome: Outcome) -> None:
        if self._attempt is not None:
            self._ledger.end_attempt(self._claim, self._attempt, outcome)
