"""`doctor`: looks at everything, says what is wrong, and changes nothing."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from batchxfer.cli import project
from batchxfer.cli.options import AsJson, ConfigPath, Context, context_of
from batchxfer.cli.words import counted
from batchxfer.errors import BatchxferError, ConfigError, worst

if TYPE_CHECKING:
    from batchxfer.config import Project
    from batchxfer.diagnosis import Finding
    from batchxfer.facts import LedgerFacts


@dataclass
class Report:
    """What was found. `looked` are the parts that could be looked at."""

    findings: list[Finding] = field(default_factory=list)
    looked: list[str] = field(default_factory=list)
    ledger: LedgerFacts | None = None


def doctor(
    context: typer.Context,
    deep: Annotated[bool, typer.Option("--deep", help="Read every file in the spool and compare its sha256.")] = False,
    endpoints: Annotated[
        bool, typer.Option("--endpoints", help="Look at the endpoints for temporary files of ours that were left.")
    ] = False,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> int:
    """Look at everything, and say what is wrong and what to type.

    Ledger, spool, configuration, clocks, disks. Each finding says what is safe and what to type. Nothing is changed. Exit
    status: 0 nothing is wrong (warnings apart), 2 configuration or ledger, 4 a person must decide, 1 something else is to
    be mended, 3 it may pass.
    """
    words = context_of(context, config, as_json)
    report = Report()
    project.log_to_stderr()
    loaded = _configuration(words, report)
    if loaded is not None:
        _look(loaded, report, deep=deep, endpoints=endpoints)
    _tell(words, report)
    return worst([finding.code for finding in report.findings])


def _configuration(words: Context, report: Report) -> Project | None:
    from batchxfer import diagnosis
    from batchxfer.cli.checking import warnings
    from batchxfer.cli.collisions import collisions

    report.looked.append("configuration")
    try:
        loaded, problems = project.load_sound_part(words)
    except ConfigError as error:
        report.findings += diagnosis.of_configuration(error.problems)
        return None
    except BatchxferError as error:
        report.findings.append(diagnosis.of_error("configuration", str(words.config), error))
        return None
    report.findings += diagnosis.of_configuration([*problems, *collisions(loaded)])
    report.findings += diagnosis.of_configuration(list(warnings(loaded)), warnings=True)
    return loaded


def _look(loaded: Project, report: Report, *, deep: bool, endpoints: bool) -> None:
    from batchxfer import doctor as looking
    from batchxfer.cli.clock import SystemClock
    from batchxfer.wiring import ledger_file

    report.looked.append("machine")
    report.findings += looking.of_machine(loaded, ledger_file(loaded), SystemClock().now())
    with _told("ledger", report):
        _look_at_ledger(loaded, report, deep=deep, endpoints=endpoints)


def _look_at_ledger(loaded: Project, report: Report, *, deep: bool, endpoints: bool) -> None:
    from batchxfer import doctor as looking
    from batchxfer.cli.clock import SystemClock
    from batchxfer.wiring import workplace

    clock = SystemClock()
    with workplace(loaded, clock, create=False, migrate=False) as place:
        if place is None:
            return
        report.looked += ["ledger", "spool"]
        report.ledger, found = looking.of_ledger(loaded, place.ledger, clock, deep=deep)
        report.findings += found
        if endpoints:
            report.looked.append("endpoints")
            report.findings += looking.of_endpoints(loaded, place.ledger, place.connections, place.runner)


@contextlib.contextmanager
def _told(part: str, report: Report) -> Iterator[None]:
    """What keeps this part from being looked at is a finding too."""
    from batchxfer import diagnosis

    try:
        yield
    except BatchxferError as error:
        report.findings.append(diagnosis.of_error(part, part, error))


# --- telling -------------------------------------------------------------------------------------


def _tell(words: Context, report: Report) -> None:
    if words.output.as_json:
        words.output.document(_document(report))
        return
    for finding in report.findings:
        style = "yellow" if finding.level == "warning" else "red"
        words.output.say_drawn(f"{words.output.styled(finding.level.value, style)}: {_visible(finding)}")
        words.output.say(f"  why it matters: {finding.why}")
        words.output.say(f"  safe: {finding.safe}")
        words.output.say(f"  → {finding.hint}")
    words.output.say(_end(report))


def _visible(finding: Finding) -> str:
    from batchxfer.cli.output import on_one_line

    said = finding.what if finding.what.startswith(finding.where) else f"{finding.where}: {finding.what}"
    return on_one_line(said)


def _end(report: Report) -> str:
    about = ", ".join(report.looked)
    if report.ledger is not None:
        known = f"{counted(report.ledger.runs, 'run')}, "
        about += f" ({known}{_serving(report.ledger)})"
    problems = sum(1 for finding in report.findings if finding.level == "problem")
    if not report.findings:
        return f"nothing is wrong with: {about}"
    return f"{counted(problems, 'problem')}, {counted(len(report.findings) - problems, 'warning')}; looked at: {about}"


def _serving(ledger: LedgerFacts) -> str:
    if ledger.serving is None:
        return "nodes share it" if ledger.path is None else "whether a `serve` runs is not known to this user"
    return "a `serve` is running" if ledger.serving else "no `serve` is running"


def _document(report: Report) -> dict[str, object]:
    from batchxfer import diagnosis
    from batchxfer.doctor import versions

    return {
        "ok": not any(finding.level == "problem" for finding in report.findings),
        "looked": report.looked,
        "findings": [
            {
                "name": finding.name,
                "level": finding.level.value,
                "where": finding.where,
                "what": finding.what,
                "why": finding.why,
                "safe": finding.safe,
                "hint": finding.hint,
            }
            for finding in report.findings
        ],
        "ledger": diagnosis.summary(report.ledger),
        "versions": {
            "python": platform.python_version(),
            "system": platform.platform(),
            **versions(),
        },
    }
