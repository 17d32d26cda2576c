"""What was measured, as Markdown: one table a benchmark, beside the machine, the versions and the command."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.measuring import Result

PACKAGES = ("batchxfer", "pyarrow", "adbc-driver-postgresql", "paramiko", "psycopg", "sqlalchemy", "tpchgen-cli")


@dataclass(frozen=True, kw_only=True)
class Table:
    """One benchmark's results. `reference` names the row that the others are compared with."""

    title: str
    about: str
    reference: str
    results: Sequence[Result]


def markdown(table: Table) -> str:
    """The table, times as medians; the ratio is the row's median by that of the reference."""
    reference = next(result.seconds for result in table.results if result.name == table.reference)
    lines = [
        f"### {table.title}",
        "",
        table.about,
        "",
        "| | seconds (median) | least–most | ratio | processor seconds | peak MiB |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for result in table.results:
        least, most = result.span
        lines.append(
            f"| {result.name} | {result.seconds:.2f} | {least:.2f}–{most:.2f} | {result.seconds / reference:.2f} "
            f"| {result.cpu_seconds:.2f} | {result.peak_mib:.0f} |"
        )
    return "\n".join(lines) + "\n"


def machine(command: str, rounds: int) -> str:
    """Where and how it was measured."""
    load = " ".join(f"{each:.1f}" for each in os.getloadavg())
    facts = {
        "command": f"`{command}`, {rounds} rounds, the contenders of each table in turn",
        "machine": f"{os.cpu_count()} × {_processor()}, {_memory_gib():.0f} GiB, {platform.system()} {platform.release()}; "
        f"load before: {load}",
        "versions": ", ".join(
            [
                f"Python {platform.python_version()}",
                *filter(None, map(_version, PACKAGES)),
                _said("ssh", "-V"),
                _said("psql", "-V"),
            ]
        ),
    }
    return "\n".join(f"- {name}: {value}" for name, value in facts.items()) + "\n"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gib() -> float:
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return ""


def _said(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return f"no {command[0]}"
    return (done.stdout + done.stderr).strip().partition("\n")[0]
