"""Tells somebody, at least once: runs a command with the event as JSON on its standard input, again while it lasts.

A command that fails or hangs is ended and tried again; it harms nothing else.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from batchxfer.config import Project
from batchxfer.credentials import without_secrets
from batchxfer.definitions import Notice as NoticeRule
from batchxfer.errors import BatchxferError, printable, visible_json
from batchxfer.model import Notice, NoticeKind
from batchxfer.ports import Ledger

log = logging.getLogger("batchxfer")

COMMAND_SECONDS = 30.0
AGAIN_AFTER_FAILURE = timedelta(minutes=1)
SAID_BYTES = 500
KILL = 9

Run = Callable[[Sequence[str], bytes, Path], None]
"""Runs a command with these bytes on its standard input, in that folder; raises OSError or subprocess.SubprocessError."""


def run_command(
    command: Sequence[str], event: bytes, folder: Path, *, environment: Mapping[str, str] | None = None
) -> None:
    """Run `command`, for at most COMMAND_SECONDS; what it began is ended with it. `environment`: default is our own.

    Files, not pipes: a child of the command may keep a pipe open for ever, and fill it.
    """
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
        given.write(event)
        given.seek(0)
        process = subprocess.Popen(  # noqa: S603
            command,
            cwd=folder,
            env=environment,
            stdin=given,
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,
        )
        try:
            code = process.wait(COMMAND_SECONDS)
        except BaseException:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, KILL)
            process.wait()
            raise
        if code != 0:
            said.seek(0)
            raise subprocess.CalledProcessError(code, command, stderr=said.read(SAID_BYTES))


class Notifier:
    """Tells what the ledger has noted, by the project's `[[notify]]` rules. Used by one thread."""

    def __init__(self, project: Project, ledger: Ledger, run: Run | None = None) -> None:
        self._project = project
        self._ledger = ledger
        self._run = run or partial(run_command, environment=without_secrets(project.config))
        self._failed: dict[tuple[str, str], datetime] = {}
        self._hung: dict[str, datetime] = {}

    def tell(self) -> None:
        """Tell everything that is to be told now; without a rule, nobody waits for a recovery. Ledger errors leave."""
        found, now = self._ledger.notices(), self._ledger.now()
        self._forget(found)
        # Those that could not be told come last: one of them must not keep the others waiting.
        for notice in sorted(found, key=lambda notice: any(key[0] == notice.id for key in self._failed)):
            if notice.kind is NoticeKind.RECOVERED or self._waiting(notice, now):
                self._tell_all(notice.id)

    def _forget(self, found: Sequence[Notice]) -> None:
        there = {notice.id for notice in found}
        self._failed = {key: at for key, at in self._failed.items() if key[0] in there}

    def _tell_all(self, identifier: str) -> None:
        # Looked at again: other nodes tell too, and what was to be told may be over by now.
        notice = next((notice for notice in self._ledger.notices() if notice.id == identifier), None)
        if notice is None:
            return
        waiting = self._waiting(notice, self._ledger.now())
        told = set(notice.told_at) | {rule.key for rule in waiting if self._tell(notice, rule)}
        if notice.kind is NoticeKind.RECOVERED and told.issuperset(rule.key for rule in self._concerned(notice)):
            self._ledger.end_note(NoticeKind.RECOVERED, notice.subject, notice=notice.id)

    def _concerned(self, notice: Notice) -> Iterator[NoticeRule]:
        for rule in self._project.config.notify:
            if notice.kind in rule.on:
                yield rule

    def _waiting(self, notice: Notice, now: datetime) -> list[NoticeRule]:
        """The rules whose command is to be told now, each command once."""
        return list({rule.key: rule for rule in self._concerned(notice) if self._is_time(notice, rule, now)}.values())

    def _is_time(self, notice: Notice, rule: NoticeRule, now: datetime) -> bool:
        """Never told, or so long ago that it is to be reminded; and not failed with this, or hung, a moment ago."""
        last = notice.told_at.get(rule.key)
        if last is not None and (notice.kind is NoticeKind.RECOVERED or now - last < rule.remind):
            return False
        failures = (self._failed.get((notice.id, rule.key)), self._hung.get(rule.key))
        return not any(at is not None and timedelta() <= now - at < AGAIN_AFTER_FAILURE for at in failures)

    def _tell(self, notice: Notice, rule: NoticeRule) -> bool:
        """Whether this rule's command knows of the notice now."""
        try:
            event = orjson.dumps(self._event(notice, reminder=rule.key in notice.told_at), default=str)
            self._run(rule.command, visible_json(event), self._project.folder)
        except (OSError, subprocess.SubprocessError) as exc:
            self._note_failure(notice, rule, exc)
            return False
        self._failed.pop((notice.id, rule.key), None)
        self._ledger.mark_told(notice.id, rule.key, self._ledger.now())
        about = {"notice": notice.id, "job": notice.job, "run": notice.run}
        log.info("told of %s: %s", notice.kind, notice.job or notice.subject, extra={"action": "told", **about})
        return True

    def _note_failure(self, notice: Notice, rule: NoticeRule, exc: Exception) -> None:
        at = self._ledger.now()
        self._failed[notice.id, rule.key] = at
        if isinstance(exc, subprocess.TimeoutExpired):
            self._hung[rule.key] = at
        log.warning(
            "notify command %s failed, and is tried again: %s",
            rule.command[0],
            _why(exc),
            extra={"action": "notify-failed", "notice": notice.id},
        )

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
        said = printable(exc.stderr.decode(errors="replace").strip()) if exc.stderr else ""
        return f"exit status {exc.returncode}" + (f", {said}" if said else "")
    if isinstance(exc, subprocess.TimeoutExpired):
        return f"it took longer than {COMMAND_SECONDS:.0f} s"
    return str(exc)
