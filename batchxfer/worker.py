"""A worker's claims: taken, kept alive by a heartbeat, given back."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
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
        # By run, from before its claim is asked for until it is given back.
        self._holding: Counter[str] = Counter()

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
        with self._noted(run), self._held(run) as hold:
            yield hold

    @contextlib.contextmanager
    def _noted(self, run: str) -> Iterator[None]:
        with self._guard:
            self._holding[run] += 1
        try:
            yield
        finally:
            with self._guard:
                self._holding[run] -= 1
                # Those at naught go.
                self._holding += Counter()

    @contextlib.contextmanager
    def _held(self, run: str) -> Iterator[Hold]:
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

    def give_back_again(self, claims: Iterable[Claim]) -> int:
        """Give back those of the claims that stand in this owner's name though nobody here holds their runs; their number.

        The ledger was cut off, or crashed, when they were taken or given back: nobody would do their runs until the leases have
        run out. `claims` is what the ledger said a moment ago.
        """
        with self._guard:
            lost = [claim for claim in claims if claim.owner == self._owner and not self._holding[claim.run]]
        freed = 0
        for claim in lost:
            with contextlib.suppress(OwnershipLost):
                self._ledger.let_go(claim)
                freed += 1
                log.warning(
                    "run %s was given back, and the ledger had not kept that: it is given back again",
                    claim.run,
                    extra={"action": "given-back", "run": claim.run},
                )
        return freed

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
