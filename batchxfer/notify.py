"""Tells somebody, at least once: runs a command with the event as JSON on its standard input, again while it lasts.

A command that fails or hangs is ended and tried again; it harms nothing else.
"""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson

from batchxfer.config import Project
from batchxfer.definitions import Notice as NoticeRule
from batchxfer.errors import BatchxferError
from batchxfer.model import Notice, NoticeKind
from batchxfer.ports import Ledger

log = logging.getLogger("batchxfer")

COMMAND_SECONDS = 30.0
AGAIN_AFTER_FAILURE = timedelta(minutes=1)

Run = Callable[[Sequence[str], bytes], None]
"""Runs a command with these bytes on its standard input; raises OSError or subprocess.SubprocessError."""


def run_command(command: Sequence[str], event: bytes) -> None:
    """Run `command`, for at most COMMAND_SECONDS."""
    subprocess.run(command, input=event, check=True, timeout=COMMAND_SECONDS, capture_output=True)  # noqa: S603


class Notifier:
    """Tells what the ledger has noted, by the project's `[[notify]]` rules. Used by one thread."""

    def __init__(self, project: Project, ledger: Ledger, run: Run = run_command) -> None:
        self._project = project
        self._ledger = ledger
        self._run = run
        self._failed: dict[tuple[str, str], datetime] = {}

    def tell(self) -> None:
        """Tell everything that is to be told now. Ledger errors leave."""
        rules = self._project.config.notify
        for notice in self._ledger.notices() if rules else ():
            now = self._ledger.now()
            concerned = [(str(place), rule) for place, rule in enumerate(rules) if notice.kind in rule.on]
            told = [self._tell(notice, place, rule, now) for place, rule in concerned]
            if notice.kind is NoticeKind.RECOVERED and all(told):
                self._ledger.end_note(NoticeKind.RECOVERED, notice.subject)

    def _tell(self, notice: Notice, place: str, rule: NoticeRule, now: datetime) -> bool:
        """Whether this rule's command knows of the notice."""
        last = notice.told_at.get(place)
        if last is not None and (notice.kind is NoticeKind.RECOVERED or now - last < rule.remind):
            return True
        if (failed := self._failed.get((notice.id, place))) is not None and now - failed < AGAIN_AFTER_FAILURE:
            return False
        try:
            self._run(rule.command, orjson.dumps(self._event(notice, reminder=last is not None)))
        except (OSError, subprocess.SubprocessError) as exc:
            self._failed[notice.id, place] = now
            log.warning(
                "notify command %s failed, and is tried again: %s",
                rule.command[0],
                _why(exc),
                extra={"action": "notify-failed", "notice": notice.id},
            )
            return False
        self._failed.pop((notice.id, place), None)
        self._ledger.mark_told(notice.id, place, now)
        log.info(
            "told of %s: %s", notice.kind, notice.job or notice.subject, extra={"action": "told", "notice": notice.id}
        )
        return True

    def _event(self, notice: Notice, *, reminder: bool) -> Mapping[str, Any]:
        event: dict[str, Any] = {
            "notice": notice.id,
            "kind": notice.kind,
            "at": notice.at.isoformat(),
            "reminder": reminder,
            "job": notice.job,
            "run": notice.run,
            **{key: _plain(value) for key, value in notice.detail.items()},
        }
        return event | self._run_facts(notice) | self._partner(event.get("endpoint"))

    def _run_facts(self, notice: Notice) -> dict[str, Any]:
        if notice.run is None:
            return {}
        try:
            run = self._ledger.find_run(notice.run)
        except BatchxferError:
            return {}
        return {"slot": run.due.slot.isoformat(), "business_date": str(run.due.business_date), "status": run.status}

    def _partner(self, endpoint: object) -> dict[str, Any]:
        options = self._project.config.endpoints.get(str(endpoint))
        return {"partner": options.partner, "contact": options.contact} if options else {}


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


def _why(exc: Exception) -> str:
    if isinstance(exc, subprocess.CalledProcessError):
        said = exc.stderr.decode(errors="replace").strip()[-200:] if exc.stderr else ""
        return f"exit status {exc.returncode}" + (f", {said}" if said else "")
    if isinstance(exc, subprocess.TimeoutExpired):
        return f"it took longer than {COMMAND_SECONDS:.0f} s"
    return str(exc)
