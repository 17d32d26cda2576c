"""The demo and the example project, as a new user meets them: the installed command, in an empty folder."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from batchxfer.demo.stage import EXAMPLE_PIN
from batchxfer.starter import write_project

ROOT = Path(__file__).resolve().parents[2]
JOBS = {path.stem for path in (ROOT / "jobs").glob("*.toml")}
DEMO_SECONDS = 60  # about five at a desk; CI has other work at the same time


def batchxfer(*words: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "batchxfer", *words],
        cwd=folder,
        env={"PATH": os.defpath, "HOME": str(folder), "PYTHONUTF8": "1", "COLUMNS": "120", **environment},
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    folder = tmp_path_factory.mktemp("desk")
    started = time.monotonic()
    done = batchxfer("demo", folder=folder)
    assert time.monotonic() - started < DEMO_SECONDS
    done.folder = folder / "var/demo"  # type: ignore[attr-defined]
    return done


@pytest.fixture(scope="module")
def folder(played: Any) -> Path:
    assert isinstance(played.folder, Path)
    return played.folder


@pytest.fixture(scope="module")
def runs(folder: Path) -> list[Mapping[str, Any]]:
    done = batchxfer("runs", "--json", folder=folder)
    found = json.loads(done.stdout)["runs"]
    assert isinstance(found, list)
    return found


def run_of(runs: list[Mapping[str, Any]], job: str, revision: int = 1) -> Mapping[str, Any]:
    return next(run for run in runs if run["job"] == job and run["revision"] == revision)


def delivered_file(folder: Path, delivery: Mapping[str, Any]) -> Path:
    root = folder / ("var/printer" if delivery["endpoint"] == "printer" else f"partners/{delivery['endpoint']}")
    return root / delivery["path"]


def test_the_demo_plays_to_its_end(played: subprocess.CompletedProcess[str]) -> None:
    assert played.returncode == 0, played.stdout + played.stderr
    assert "Traceback" not in played.stdout + played.stderr
    assert "What to type next" in played.stdout


def test_every_job_of_the_example_is_delivered_and_proven(folder: Path, runs: list[Mapping[str, Any]]) -> None:
    assert {run["job"] for run in runs} == JOBS
    for run in runs:
        assert run["status"] == "delivered"
        assert bool(run["deliveries"]) != bool(run["files"])
        for delivery in run["deliveries"]:
            content = delivered_file(folder, delivery).read_bytes()
            assert len(content) == delivery["bytes"] == run["artifact"]["bytes"]
            assert hashlib.sha256(content).hexdigest() == delivery["sha256"] == run["artifact"]["sha256"]


def test_no_partner_has_a_file_that_nobody_delivered(folder: Path, runs: list[Mapping[str, Any]]) -> None:
    expected = {delivered_file(folder, delivery) for run in runs for delivery in run["deliveries"]}
    expected |= {
        Path(f"{path}{end}") for path in expected if path.parts[-4:-2] == ("bank", "in") for end in (".sha256", ".done")
    }
    # What was fetched is in the warehouse's archive, and nothing in its outbox.
    expected |= {folder / f"partners/warehouse/archive/shipments-0042.csv{end}" for end in ("", ".done")}
    there = {path for part in ("partners", "var/printer") for path in (folder / part).rglob("*") if path.is_file()}
    assert there == expected


def test_the_bank_s_file_counts_and_adds_up(folder: Path, runs: list[Mapping[str, Any]]) -> None:
    run = run_of(runs, "orders-to-bank")
    path = delivered_file(folder, run["deliveries"][0])
    header, *orders, trailer = path.read_text("ascii").splitlines()
    day = run["business_date"].replace("-", "")
    assert header == f"H|orders-to-bank|{day}|{run['run']}"
    cents = sum(int(order.split("|")[4].replace(".", "")) for order in orders)
    total = f"{cents // 100}.{cents % 100:02}"
    assert trailer == f"T|{len(orders):08}|{total:>15}"
    assert len(orders) == run["artifact"]["rows"] > 0
    checksum = Path(f"{path}.sha256").read_text("ascii")
    assert checksum == f"{run['artifact']['sha256']}  {path.name}\n"
    assert Path(f"{path}.done").read_bytes() == b""


def test_an_empty_result_was_sent(folder: Path, runs: list[Mapping[str, Any]]) -> None:
    run = run_of(runs, "returns-to-warehouse")
    assert run["artifact"]["rows"] == 0
    assert delivered_file(folder, run["deliveries"][0]).read_bytes() == b"order_id,sku,quantity,reason\r\n"


def test_stock_is_one_json_object_a_line(folder: Path, runs: list[Mapping[str, Any]]) -> None:
    path = delivered_file(folder, run_of(runs, "stock-to-warehouse")["deliveries"][0])
    first = gzip.decompress(path.read_bytes()).decode().splitlines()[0]
    assert json.loads(first)["tags"] == ["summer", "linen"]
    assert first.startswith(
        '{"sku":"A-00000","title":"Linen shirt","on_hand":0,"weightKg":0.21,"tags":["summer","linen"],'
    )


def test_another_host_key_is_refused_with_both_fingerprints_and_nothing_is_said(
    played: subprocess.CompletedProcess[str], folder: Path, runs: list[Mapping[str, Any]]
) -> None:
    first, *_ = [attempt for attempt in run_of(runs, "sales-to-accounting")["attempts"] if attempt["endpoint"]]
    assert first["outcome"] == "permanent"
    assert first["error"]["kind"] == "host-key"
    assert first["error"]["message"].count("SHA256:") >= 2
    assert "That server was told nothing, not even a user name." in " ".join(played.stdout.split())


def test_the_file_that_was_cut_is_sent_again_as_it_was_built(runs: list[Mapping[str, Any]]) -> None:
    attempts = run_of(runs, "stock-to-warehouse")["attempts"]
    assert [attempt["outcome"] for attempt in attempts] == ["built", "transient", "delivered"]


def test_a_rerun_has_a_name_of_its_own(runs: list[Mapping[str, Any]]) -> None:
    first, second = run_of(runs, "orders-to-bank"), run_of(runs, "orders-to-bank", 2)
    assert second["slot"] == first["slot"]
    assert second["deliveries"][0]["path"] == first["deliveries"][0]["path"].replace(".psv", ".r2.psv")


def test_what_the_warehouse_left_is_in_the_shop(folder: Path, runs: list[Mapping[str, Any]]) -> None:
    (file,) = run_of(runs, "shipments-from-warehouse")["files"]
    assert (file["status"], file["rows"], file["bad_rows"]) == ("done", 3, 1)
    assert hashlib.sha256(Path(file["local_path"]).read_bytes()).hexdigest() == file["sha256"]
    (bad,) = Path(f"{file['local_path']}.bad.jsonl").read_text("utf-8").splitlines()
    assert json.loads(bad) | {"text": ""} == {
        "line": 4, "column": "order_id", "reason": "'5067i4': it is not a number", "text": "",
    }  # fmt: skip
    shop = sqlite3.connect(folder / "var/shop.db")
    rows = shop.execute("select * from shipments order by parcel").fetchall()
    shop.close()
    assert rows == [
        ("HL-20481", 506712, "Hangang Express", 0.42, "2026-11-23 16:05:00"),
        ("HL-20482", 506713, "Post, registered", 1.9, "2026-11-23 16:20:30"),
        ("HL-20484", 506715, "Hangang Express", None, None),
    ]


def test_what_it_says_to_type_next_can_be_typed(played: Any, folder: Path) -> None:
    """In a shell that knows nothing of a virtual environment, as after `make demo`."""
    desk = folder.parents[1]
    hints = played.stdout.partition("What to type next")[2].splitlines()[1:]
    commands = [re.split(r"\s{2,}", line.strip())[0] for line in hints if line.strip()]
    assert sum(command.startswith("batchxfer ") for command in commands) == 3
    done = subprocess.run(
        ["bash", "-e", "-c", "\n".join(commands)],
        cwd=desk,
        env={"PATH": os.defpath, "HOME": str(desk), "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert (desk / "my-project/config.toml").is_file()


def test_the_demo_may_be_played_again_and_touches_no_folder_of_others(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes").write_text("x")
    refused = batchxfer("demo", "mine", folder=tmp_path)
    assert refused.returncode == 2
    assert "no demo made it" in refused.stderr
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes"]
    earlier = tmp_path / "stage"
    earlier.mkdir()
    (earlier / ".batchxfer-demo").touch()
    (earlier / "leftover").touch()
    done = batchxfer("demo", "stage", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert {run["job"] for run in json.loads(done.stdout)["runs"]} == JOBS
    assert not (earlier / "leftover").exists()


def test_the_example_is_accepted_by_check_as_it_stands(tmp_path: Path) -> None:
    for part in ("jobs", "formats"):
        shutil.copytree(ROOT / part, tmp_path / part)
    shutil.copy(ROOT / "config.example.toml", tmp_path / "config.toml")
    done = batchxfer("check", "--json", folder=tmp_path)
    assert json.loads(done.stdout) == {"ok": True, "problems": []}
    assert done.returncode == 0
    assert batchxfer("check", "--config", "config.example.toml", folder=ROOT).returncode == 0


@pytest.mark.parametrize("project", ["example", "new"])
def test_what_stands_in_comments_is_right_too(tmp_path: Path, project: str) -> None:
    if project == "new":
        write_project(tmp_path)
    else:
        shutil.copytree(ROOT / "jobs", tmp_path / "jobs")
        shutil.copytree(ROOT / "formats", tmp_path / "formats")
        shutil.copy(ROOT / "config.example.toml", tmp_path / "config.toml")
    taken = 0
    for path in tmp_path.rglob("*.toml"):
        text, count = re.subn(r"^# ?(?=[\[\]{}]|[a-z_]+ = |  \{)", "", path.read_text("utf-8"), flags=re.M)
        text = text.replace("SHA256:…", EXAMPLE_PIN)
        path.write_text(text, "utf-8")
        taken += count
    done = batchxfer("check", "--json", folder=tmp_path)
    assert json.loads(done.stdout) == {"ok": True, "problems": []}
    assert taken > 5


def test_a_new_project_delivers_its_first_file_at_once(tmp_path: Path) -> None:
    write_project(tmp_path)
    assert batchxfer("check", folder=tmp_path).returncode == 0
    done = batchxfer("run", "orders", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = (tmp_path / "outbox").iterdir()
    assert file.read_text("utf-8") == (
        "order_id,customer,amount,ordered_at\n"
        "1,Ana García,49.90,2026-11-21 09:30:00\n"
        '2,"Müller, Max",129.50,2026-11-21 16:05:00\n'
        "3,김서연,8.00,2026-11-22 11:47:00\n"
    )
