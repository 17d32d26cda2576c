"""A worker's claims: taken, kept alive by a heartbeat, given back."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from batchxfer.errors import BatchxferError, OwnershipLost
from batchxfer.model import Claim, Run
from batchxfer.ports import RENEW_EVERY, Ledger
from batchxfer.shortages import shortages

log = logging.getLogger("batchxfer")


@dataclass
class Hold:
    """A claim, and the run as it was left; `left` is None until then, and where it was not ours any more."""

    claim: Claim
    left: Run | None = None


class Worker:
    """Claims runs for one owner on one ledger."""

    def __init__(self, ledger: Ledger, owner: str) -> None:
        self._ledger = ledger
        self._owner = owner
        self._guard = threading.Lock()
        self._claims: dict[str, Claim] = {}

    @contextlib.contextmanager
    def claimed(self, run: str) -> Iterator[Claim]:
        """The run is ours inside the context, and given back after it, however it ends.

        Raises BusyError where another owner holds it.
        """
        with self.held(run) as hold:
            yield hold.claim

    @contextlib.contextmanager
    def held(self, run: str) -> Iterator[Hold]:
        """As `claimed`; how the run was left is known after it."""
        claim = self._ledger.claim(run, self._owner)
        hold = Hold(claim)
        with self._guard:
            self._claims[claim.token] = claim
        ended = threading.Event()
        heartbeat = threading.Thread(target=self._beat, args=(claim, ended), name=f"heartbeat-{run}", daemon=True)
        try:
            with shortages(f"run {run} cannot be worked on"):
                heartbeat.start()
            yield hold
        finally:
            ended.set()
            if heartbeat.ident is not None:
                heartbeat.join()
            with self._guard:
                ours = self._claims.pop(claim.token, None) is not None
            if ours:
                with contextlib.suppress(OwnershipLost):
                    hold.left = self._ledger.let_go(claim)

    def hand_back(self) -> int:
        """Give every run back, whatever is being done for it: its thread cannot write, or publish, any more. Their number."""
        with self._guard:
            claims, self._claims = list(self._claims.values()), {}
        for claim in claims:
            with contextlib.suppress(BatchxferError):
                self._ledger.let_go(claim)
        return len(claims)

    def _beat(self, claim: Claim, ended: threading.Event) -> None:
        """Renew the lease until the end. A beat that is missed is made up by the next; a lost run is found out by the
        next write, which the ledger refuses."""
        while not ended.wait(RENEW_EVERY.total_seconds()):
            try:
                self._ledger.renew(claim)
            except OwnershipLost:
                return
            except BatchxferError as error:
                log.warning("the lease of run %s could not be renewed: %s", claim.run, error.message)
