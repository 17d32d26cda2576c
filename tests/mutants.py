"""The code that keeps each promise of docs/reliability.md, taken out in a copy: a test must go red.

    python -m tests.mutants [NAME…]

changes one place at a time in a copy of the tree, runs the test that is named for it, and says which stayed green. A unit test
keeps this list true: each place is there, once, and each test too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
SECONDS = 60
PARTS = ("batchxfer", "tests", "jobs", "formats", "docs", "pyproject.toml", "config.example.toml", "README.md")


@dataclass(frozen=True)
class Mutant:
    """Without it the promise is broken: in `file`, `code` becomes `instead`, and `test` (a file, a name) goes red."""

    name: str
    promise: int
    file: str
    code: str
    instead: str
    test: tuple[str, str]

    def apply(self, root: Path) -> None:
        path = root / "batchxfer" / self.file
        text = path.read_text()
        assert text.count(self.code) == 1, f"{self.name}: {text.count(self.code)} times in {self.file}"
        path.write_text(text.replace(self.code, self.instead))


MUTANTS = (
    Mutant(
        "what arrived is not looked at",
        1,
        "push.py",
        'elif how == "size":\n            self._verify_size(path)',
        'elif how == "size":\n            pass',
        ("faults/test_push.py", "test_a_file_that_did_not_arrive_whole_is_never_published"),
    ),
    Mutant(
        "the final name is written",
        1,
        "push.py",
        "temporary = temporary_path(self._agreement.temp_name, self._file.path, self._attempt)",
        "temporary = self._file.path",
        ("faults/test_machine_kills.py", "test_a_command_that_is_killed_at_any_call_leaves_nothing_in_part"),
    ),
    Mutant(
        "a damaged artifact is sent",
        1,
        "contents.py",
        "if read != recorded:",
        "if False:",
        ("faults/test_push.py", "test_an_artifact_damaged_on_disk_is_never_published"),
    ),
    Mutant(
        "what is sent while it is built is published before it is let through",
        1,
        "growing.py",
        "            self._whole = True\n",
        "            self._whole = True\n            self._artifact = cast(Artifact, self)\n",
        ("faults/test_push_ahead.py", "test_what_was_built_is_with_the_partner_before_it_is_whole"),
    ),
    Mutant(
        "a file that is built is sent as it is on disk, whatever was written",
        1,
        "growing.py",
        "if not left and digest.digest() != stretch.after.digest():",
        "if False:",
        (
            "faults/test_push_ahead.py",
            "test_a_file_that_is_not_what_was_written_to_it_is_sent_only_when_it_is_finished",
        ),
    ),
    Mutant(
        "what the guard may hold is sent while it is built",
        1,
        "runner.py",
        "if job.guard != Guard() and not run.guard_released:",
        "if False:",
        ("e2e/test_send_ahead.py", "test_what_the_guard_holds_is_not_with_the_partner"),
    ),
    Mutant(
        "what was sent of a build that failed stays",
        1,
        "push.py",
        "        except TakenBack:\n            self._take_back(temporary)\n",
        "        except TakenBack:\n",
        ("faults/test_push_ahead.py", "test_taken_back_at_any_moment_leaves_nothing"),
    ),
    Mutant(
        "the done file comes first",
        1,
        "push.py",
        "for file in delivery.files:",
        "for file in reversed(delivery.files):",
        ("faults/test_push.py", "test_the_done_file_comes_last_and_never_without_the_others"),
    ),
    Mutant(
        "no intent before the rename",
        2,
        "push.py",
        "        self._record(self._file.role, FileStatus.PUBLISHING, temp_path=temporary)\n",
        "",
        ("faults/test_push.py", "test_the_intent_is_recorded_before_the_rename"),
    ),
    Mutant(
        "after a crash a published file is sent again",
        2,
        "resolve.py",
        "    if final is Seen.THERE:\n        return Step.COMPARE\n",
        "    if final is Seen.THERE:\n        return Step.SEND\n",
        ("unit/test_resolve.py", "test_what_is_seen_at_both_names_decides_the_next_step"),
    ),
    Mutant(
        "a slot gets a second run",
        2,
        "ledger/claims.py",
        "newest or self._new_run(tx, job, due.slot, 1, parameters)",
        "self._new_run(tx, job, due.slot, 1 if newest is None else 2, parameters)",
        ("contracts/test_ledger.py", "test_a_slot_has_one_run_however_often_it_is_asked_for"),
    ),
    Mutant(
        "the mark moves and no run is made",
        3,
        "ledger/planning.py",
        "made = self._plan_runs(tx, job, plan.due, parameters)",
        "made = self._plan_runs(tx, job, (), parameters)",
        ("model/test_slots.py", "TestSlots"),
    ),
    Mutant(
        "a run that nobody works on is forgotten",
        3,
        "dispatch.py",
        "if run.due_at is not None and run.due_at <= now",
        "if run.due_at == run.slot and run.due_at <= now",
        ("unit/test_dispatch.py", "test_"),
    ),
    Mutant(
        "it stops without a reason",
        3,
        "ledger/delivering.py",
        "if status in _STOPS and not reason:",
        "if False:",
        ("contracts/test_ledger_progress.py", "test_a_stop_needs_a_reason"),
    ),
    Mutant(
        "a refused close is overlooked",
        4,
        "endpoints/sftp/transfer.py",
        "raise_refusal(self._wire.receive(close))",
        "self._wire.receive(close)",
        ("faults/test_sftp_refusals.py", "test_a_refused_close_is_never_reported_as_delivered"),
    ),
    Mutant(
        "delivered before all is published",
        4,
        "ledger/delivering.py",
        "if known.unpublished:",
        "if False:",
        ("contracts/test_ledger_progress.py", "test_delivered_needs_every_file_published"),
    ),
    Mutant(
        "each attempt queries again",
        5,
        "runner.py",
        "if run.artifact is not None and not run.artifact.path.exists():",
        "if run.artifact is not None:",
        ("faults/test_promises.py", "test_a_ledger_that_is_out_of_reach_around_any_commit_loses_nothing"),
    ),
    Mutant(
        "an artifact that was sent is built anew",
        5,
        "runner.py",
        "if any(file.status is not FileStatus.PENDING for d in run.deliveries for file in d.files):",
        "if False:",
        ("faults/test_promises.py", "test_after_some_of_it_was_sent_it_is_held_and_nothing_is_queried_again"),
    ),
    Mutant(
        "an empty result is not sent",
        6,
        "runner.py",
        "        attempt = self._ledger.begin_attempt(claim, delivery.endpoint)\n        # Delivered once",
        "        if run.artifact is not None and not run.artifact.rows:\n            return run\n"
        "        attempt = self._ledger.begin_attempt(claim, delivery.endpoint)\n        # Delivered once",
        ("faults/test_promises.py", "test_a_result_without_rows_is_sent"),
    ),
    Mutant(
        "a failed query looks empty",
        6,
        "spool.py",
        "    for piece in encoder.encode_all(rows):\n        write(piece)\n",
        "    from batchxfer.errors import AttemptError\n    pieces = iter(encoder.encode_all(rows))\n    while True:\n"
        "        try:\n            piece = next(pieces)\n        except (StopIteration, AttemptError):\n            break\n"
        "        write(piece)\n",
        ("faults/test_databases.py", "test_a_line_that_breaks_after_any_row_gives_no_file"),
    ),
    Mutant(
        "a retry comes at once",
        7,
        "retry.py",
        "at = utc(now) + delay\n    if cutoff",
        "at = utc(now)\n    if cutoff",
        ("unit/test_retry.py", "test_each_delay_is_one_retry_and_then_none_is_left"),
    ),
    Mutant(
        "no deadline",
        7,
        "endpoints/sftp/watchdog.py",
        "if deadline is not None and now >= deadline[0]:",
        "if False:",
        ("faults/test_sftp_link.py", "test_a_frozen_line_is_ended_by_the_deadline"),
    ),
    Mutant(
        "no stall timeout",
        7,
        "endpoints/sftp/watchdog.py",
        "if since is not None and now >= since + self._stall:",
        "if False:",
        ("faults/test_sftp_link.py", "test_an_answer_that_never_comes_is_ended_by_the_stall_timeout"),
    ),
    Mutant(
        "a stale worker still writes",
        8,
        "ledger/records.py",
        'found = tx.connection.execute(_CLAIMED, {"the_run": claim.run, "the_token": claim.token}).one_or_none()',
        'found = tx.connection.execute(_LOCKED, {"the_run": claim.run}).one_or_none()',
        ("contracts/test_ledger_progress.py", "test_a_stale_claim_cannot_write"),
    ),
    Mutant(
        "a living worker's run is taken",
        8,
        "ledger/claims.py",
        "if self._lives(tx, known):",
        "if False:",
        ("faults/test_ledger_processes.py", "test_each_run_is_claimed_by_exactly_one_of_two_processes"),
    ),
    Mutant(
        "a second daemon on SQLite",
        8,
        "ledger/sqlite.py",
        'self._locks.hold("serve")',
        "pass",
        ("contracts/test_ledger_pausing.py", "test_one_daemon_serves_a_sqlite_ledger_and_several_a_shared_one"),
    ),
    Mutant(
        "a new configuration knows nothing of what runs",
        8,
        "wiring.py",
        "            environment=environment(project),\n        )\n",
        "            worker=type(self.worker)(self.ledger, self.ledger.owner),\n        )\n",
        ("e2e/test_serve.py", "test_what_runs_when_a_configuration_is_taken_up_stays_with_whoever_does_it"),
    ),
    Mutant(
        "a zone of the machine",
        9,
        "instants.py",
        "local = instant.astimezone(zone)\n    except",
        "local = instant.astimezone()\n    except",
        ("contracts/test_codecs.py", "test_bytes_do_not_depend_on_the_machine_s_zone_or_locale"),
    ),
    Mutant(
        "the first rows say the type",
        9,
        "databases/_sqlite.py",
        "if open_ones and not _are_as_seen(opened, open_ones):",
        "if False:",
        ("adapters/test_sqlite.py", "test_the_type_does_not_depend_on_which_row_comes_first"),
    ),
    Mutant(
        "rows of two states of a database",
        9,
        "databases/_sqlite.py",
        "process is not None and not driver.is_unchanged()",
        "False",
        ("adapters/test_sqlite_process.py", "test_rows_that_were_committed_since_are_not_mixed_in"),
    ),
    Mutant(
        "a text that reads as NULL",
        9,
        "databases/_sqlite_together.py",
        "(null and b'\"%b\"' % null in lines)",
        "False",
        ("adapters/test_sqlite_merging.py", "test_a_text_like_null_is_told_from_null"),
    ),
    Mutant(
        "an unstable file is fetched",
        10,
        "looking.py",
        "stable = pull.unchanged(present, pull.look(session, this.agreement)) if waited else []",
        "stable = present",
        ("faults/test_promises.py", "test_a_file_that_grows_while_it_is_looked_at_is_left_alone"),
    ),
    Mutant(
        "a name leads out of its folder",
        10,
        "globs.py",
        'if name in ("", ".", "..") or "/" in name or "\\0" in name:',
        "if False:",
        ("unit/test_globs.py", "test_"),
    ),
    Mutant(
        "a known file is fetched again",
        10,
        "looking.py",
        "return (seen.size, seen.modified) != (known.size, known.modified)",
        "return True",
        ("e2e/test_pull.py", "test_"),
    ),
    Mutant(
        "a file is loaded twice",
        10,
        "load.py",
        "known = loading.recorded([piece.key for piece in pieces])",
        "known = {}",
        ("e2e/test_load.py", "test_a_commit_whose_reply_is_lost_is_not_loaded_twice"),
    ),
    Mutant(
        "what the disk gave back wrong is loaded while it is fetched",
        10,
        "incoming.py",
        "if digest.hexdigest() != self._sha256:",
        "if False:",
        ("e2e/test_load_early.py", "test_what_the_disk_gives_back_wrong_is_not_loaded"),
    ),
    Mutant(
        "a load that began early outlives a fetch that failed",
        10,
        "early_load.py",
        "        self._give_up()\n\n\nclass",
        "        pass\n\n\nclass",
        ("e2e/test_load_early.py", "test_a_table_that_another_one_locks_keeps_no_attempt_from_its_end"),
    ),
    Mutant(
        "what was loaded early is committed before its file has ended",
        10,
        "intake.py",
        "if not self._early.is_whole:",
        "if False:",
        ("e2e/test_load_early.py", "test_what_ends_before_its_file_does_is_not_committed"),
    ),
    Mutant(
        "a lost ledger is made anew",
        11,
        "ledger/opening.py",
        '    if beside is not None:\n        raise LedgerError(\n            f"{where} is missing',
        '    if False:\n        raise LedgerError(\n            f"{where} is missing',
        ("faults/test_ledger_files.py", "test_a_missing_file_is_not_made_anew"),
    ),
    Mutant(
        "a damaged ledger is used",
        11,
        "ledger/sqlite.py",
        '        if answer == ("ok",):\n',
        "        if answer:\n",
        ("faults/test_ledger_files.py", "test_damage_of_any_page_is_found_at_the_door"),
    ),
    Mutant(
        "a ledger that was replaced is written to",
        11,
        "ledger/sqlite.py",
        "if _identity(self.path) != self._identity:",
        "if False:",
        ("faults/test_ledger_files.py", "test_a_ledger_that_is_replaced_takes_no_more"),
    ),
    Mutant(
        "a rename overwrites",
        11,
        "endpoints/local.py",
        "        _rename_no_replace(source, target)\n    except",
        "        os.replace(source, target)\n    except",
        ("contracts/test_endpoints.py", "test_rename_refuses_a_name_that_exists_and_changes_nothing"),
    ),
    Mutant(
        "half an artifact stays after a full disk",
        11,
        "spool.py",
        "    except BaseException:\n        file.discard()\n        raise\n",
        "    except BaseException:\n        raise\n",
        ("faults/test_promises.py", "test_a_file_that_cannot_be_finished_leaves_nothing_in_the_spool"),
    ),
    Mutant(
        "an unmounted spool is written to",
        11,
        "runner.py",
        "spool.check_there(self._project.spool)",
        "pass",
        ("faults/test_machine_refusals.py", "test_a_spool_that_is_taken_away_under_a_daemon_is_waited_for"),
    ),
    Mutant(
        "a ledger that was put back is not known",
        11,
        "ledger/restoring.py",
        "remembered is not None and found.at != remembered.at",
        "False",
        ("contracts/test_ledger_restored.py", "test_a_ledger_that_lacks_what_the_spool_remembers_was_put_back"),
    ),
    Mutant(
        "secrets are told",
        12,
        "redaction.py",
        "    if not forms:\n        return text\n",
        "    if forms is not None:\n        return text\n",
        ("security/test_canaries.py", "test_"),
    ),
)


def run(mutant: Mutant) -> bool:
    """Whether the mutant's test goes red."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        root = Path(folder)
        for part in PARTS:
            source = ROOT / part
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, root / part)
        mutant.apply(root)
        file, name = mutant.test
        words = ["-q", "-x", "-p", "no:cacheprovider", "--timeout", str(SECONDS), f"tests/{file}", "-k", name]
        # The copy comes before the installed package, in processes that tests begin too.
        environment = {**os.environ, "PYTHONPATH": folder}
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *words],
            cwd=root,
            env=environment,
            capture_output=True,
            timeout=2 * SECONDS,
        )
        assert done.returncode in (0, 1), done.stdout.decode()
        return done.returncode == 1


def main(names: Sequence[str]) -> int:
    green = []
    for mutant in (each for each in MUTANTS if not names or each.name in names):
        red = run(mutant)
        print(f"{mutant.promise:>2} {'red  ' if red else 'GREEN'} {mutant.name}: {mutant.test[1]}", flush=True)
        green += [] if red else [mutant.name]
    print(f"{len(green)} stayed green")
    return len(green)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
