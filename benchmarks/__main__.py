"""`python -m benchmarks`: sets up what it needs, measures, prints a report and writes it."""

from __future__ import annotations

import argparse
import compileall
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import (
    alone,
    due_slots,
    end_to_end,
    load,
    mariadb_source,
    report,
    sftp_alone,
    small_files,
    sqlite_source,
    starting,
)
from benchmarks.report import Table
from benchmarks.stage import ROWS_OF_SCALE_1, Stage, say, staged

BENCHMARKS: dict[str, Callable[[Stage, int], Table]] = {
    "end-to-end": end_to_end.measure,
    "codecs": alone.codecs,
    "postgresql-source": alone.postgresql,
    "sqlite-source": alone.sqlite,
    "upload": sftp_alone.upload,
    "download": sftp_alone.download,
    "far-upload": sftp_alone.far_upload,
    "far-download": sftp_alone.far_download,
    "small-files": small_files.near,
    "far-small-files": small_files.far,
    "small-gets": small_files.near_gets,
    "far-small-gets": small_files.far_gets,
    "sqlite": sqlite_source.measure,
    "mariadb": mariadb_source.measure,
    "load": load.measure,
    "starting": starting.measure,
    "due-slots": due_slots.measure,
}


def main() -> None:
    options = _options()
    _compile()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="batchxfer-bench-"))
    head = report.machine(_command(options), options.rounds)
    parts = [head]
    print(head, flush=True)
    with staged(folder, options.rows) as stage:
        for name in options.benchmarks or BENCHMARKS:
            say(f"{name}:")
            parts.append(report.markdown(BENCHMARKS[name](stage, options.rounds)))
            print(parts[-1], flush=True)
    if options.out:
        options.out.write_text("\n".join(parts))
    say(f"what was made for this is in {folder}; it can be removed")


def _compile() -> None:
    """What is installed is compiled; a checkout that was edited since, or where Python may write nothing, is not."""
    for package in ("batchxfer", "benchmarks"):
        compileall.compile_dir(Path(__file__).parents[1] / package, quiet=1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("benchmarks", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; default: all")
    parser.add_argument(
        "--rows", type=int, default=1_000_000, help=f"of lineitem; {ROWS_OF_SCALE_1} is TPC-H's scale 1"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to work; a new one below the temporary folder")
    parser.add_argument("--out", type=Path, help="write the report to this file too")
    options = parser.parse_args()
    if unknown := set(options.benchmarks) - set(BENCHMARKS):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}")
    return options


def _command(options: argparse.Namespace) -> str:
    names = f" ONLY='{' '.join(options.benchmarks)}'" if options.benchmarks else ""
    return f"make bench ROWS={options.rows} ROUNDS={options.rounds}{names}"


if __name__ == "__main__":
    main()
