"""Files that a partner left are fetched and loaded, once and whole, by the installed command, into each database."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from batchxfer.databases import _postgresql_load, _sqlalchemy_load
from batchxfer.errors import DatabaseUnavailable
from tests.databases import Database, Mariadb, Sqlite
from tests.e2e.desk import Desk, desk_fixture  # noqa: F401

LOAD = """
[load]
database = "stock"
table = "parts"
"""


@dataclass
class Place:
    """A desk whose files are loaded into the table `parts` of a database."""

    desk: Desk
    shop: Database

    def loads(self, more: str = "", *, file: str = "", guard: str = "", path: str = "box/*.psv") -> None:
        self.desk.pulls(f'format = "psv"\n{file}{guard}{LOAD}{more}', path)

    def rows(self) -> list[tuple[Any, ...]]:
        return self.shop.execute("select id, name from parts order by id, name")

    def loaded(self) -> list[tuple[Any, ...]]:
        return self.shop.execute("select revision, good_rows, bad_rows from batchxfer_loads order by revision")


@pytest.fixture
def place(desk: Desk, shop: Database) -> Place:
    url = shop.url.replace('"', '\\"')
    with (desk.folder / "config.toml").open("a") as config:
        config.write(f'[databases.stock]\nurl = "{url}"\n')
    shop.execute("create table parts (id integer primary key, name varchar(20))")
    made = Place(desk, shop)
    made.loads()
    return made


def test_a_file_goes_into_its_table_with_the_record_of_it(place: Place) -> None:
    place.loads(file='done_file = "{path}.done"\n')
    place.desk.put("box/a.psv", 'id|name\n1|"one"\n2|\n')
    place.desk.put("box/a.psv.done", "")
    said = place.desk.process("run", "rates", "--json")
    assert said.code == 0, said
    run = said.run
    assert run["status"] == "delivered"
    (file,) = run["files"]
    assert (file["status"], file["rows"], file["bad_rows"]) == ("done", 2, 0)
    assert file["loaded_at"] is not None
    assert place.rows() == [(1, "one"), (2, None)]
    assert place.loaded() == [(1, 2, 0)]
    shown = place.desk("show", run["run"])
    assert "2 rows" in shown.out
    (job,) = (job for job in place.desk("status", "--json").document["jobs"] if job["job"] == "rates")
    assert job["last"]["rows"] == 2


def newer(place: Place, code: int = 0) -> dict[str, Any]:
    place.desk.clock.later(3600)
    return place.desk.pull(code=code)


def test_an_empty_file_loads_no_rows_and_is_done(place: Place) -> None:
    place.desk.put("box/a.psv", "id|name\n")
    (file,) = place.desk.pull()["files"]
    assert (file["status"], file["rows"]) == ("done", 0)
    assert place.loaded() == [(1, 0, 0)]


def test_two_equal_files_both_count(place: Place) -> None:
    place.shop.execute("drop table parts", "create table parts (id integer, name varchar(20))")
    place.desk.put("box/a.psv", "id|name\n1|x\n")
    place.desk.put("box/b.psv", "id|name\n1|x\n")
    place.desk.pull()
    assert place.rows() == [(1, "x"), (1, "x")]


def test_a_bad_record_fails_the_whole_file_and_names_its_line(place: Place) -> None:
    place.desk.put("box/a.psv", "id|name\n1|one\nx|two\n3|three|3\n4|" + "y" * 21 + "\n")
    run = place.desk.pull(code=1)
    assert run["status"] == "failed"
    assert "line 3, column 'id': 'x': it is not a number" in run["reason"]
    assert "line 4: it has 3 values, not 2" in run["reason"]
    assert "it is longer than 20" in run["reason"] or isinstance(place.shop, Sqlite)
    assert place.rows() == []
    assert place.desk("status").code == 1
    # What is here already is loaded once the file is right, or the format is: nothing is fetched again.
    place.loads('on_bad_record = "quarantine"\n')
    said = place.desk("retry", run["run"], "--json")
    assert said.code == 0
    assert said.run["files"][0]["bad_rows"] == (2 if isinstance(place.shop, Sqlite) else 3)


def test_a_file_that_the_partner_has_mended_is_fetched_anew(place: Place) -> None:
    place.loads(path="box/{business_date:%Y%m%d}-*.psv")
    bad, good = "box/20261120-a.psv", "box/20261120-b.psv"
    place.desk.put(bad, "id|name\nx|one\n", at=1_700_000_000)
    place.desk.put(good, "id|name\n2|two\n", at=1_600_000_000)
    run = place.desk.pull("--slot", "2026-11-20T05:00:00Z", code=1)
    assert place.desk.states(run) == {good: "done", bad: "fetched"}
    # Nobody can look: what is here is loaded, and refused again.
    hidden = (place.desk.folder / "out").rename(place.desk.folder / "away")
    assert place.desk("retry", run["run"]).code == 1
    hidden.rename(place.desk.folder / "out")
    place.desk.put(bad, "id|name\n1|one\n")
    said = place.desk("retry", run["run"], "--json")
    assert said.code == 0
    assert place.desk.states(said.run) == {good: "done", bad: "done"}
    assert place.rows() == [(1, "one"), (2, "two")]
    assert place.desk.fetched()["20261120-a.psv"] == "id|name\nx|one\n"


def test_bad_records_go_to_a_file_beside(place: Place) -> None:
    place.loads('on_bad_record = "quarantine"\nmax_bad_records = 2\n')
    place.desk.put("box/a.psv", 'id|name\n1|one\nx|"two\ntwo"\n3|three\n4\n')
    run = place.desk.pull()
    (file,) = run["files"]
    assert (file["rows"], file["bad_rows"]) == (2, 2)
    assert place.rows() == [(1, "one"), (3, "three")]
    bad = Path(file["local_path"] + ".bad.jsonl").read_text("utf-8")
    assert sorted((json.loads(line) for line in bad.splitlines()), key=lambda record: record["line"]) == [
        {"line": 3, "column": "id", "reason": "'x': it is not a number", "text": 'x|"two\ntwo"'},
        {"line": 6, "column": None, "reason": "it has 1 value, not 2", "text": "4"},
    ]
    said = place.desk("show", run["run"]).out
    assert f"2 records in {file['local_path']}.bad.jsonl" in said
    assert "1 fetched, 2 rows loaded, 2 bad records put aside" in said
    assert place.loaded() == [(1, 2, 2)]


def test_a_file_that_is_called_as_bad_records_are_is_not_overwritten_by_them(place: Place) -> None:
    place.loads('on_bad_record = "quarantine"\n', path="box/*")
    place.desk.put("box/a.psv", "id|name\nx|one\n", at=1_000_000_000)
    place.desk.put("box/a.psv.bad.jsonl", "id|name\n2|two\n", at=900_000_000)
    place.desk.pull()
    assert place.rows() == [(2, "two")]
    assert place.desk.fetched()["a.psv.bad.jsonl.fetched"] == "id|name\n2|two\n"
    assert json.loads(place.desk.fetched()["a.psv.bad.jsonl"])["line"] == 2


def test_more_bad_records_than_may_be_load_nothing(place: Place) -> None:
    place.loads('on_bad_record = "quarantine"\nmax_bad_records = 1\n')
    place.desk.put("box/a.psv", "id|name\n1|one\nx|two\ny|\n")
    run = place.desk.pull(code=1)
    assert "more than max_bad_records = 1 bad records" in run["reason"]
    assert place.rows() == []
    assert place.desk.fetched() == {"a.psv": "id|name\n1|one\nx|two\ny|\n"}


@pytest.mark.parametrize("before", [1, 3000])
def test_a_record_that_is_longer_than_blocks_are_is_loaded_too(place: Place, before: int) -> None:
    text = "longtext" if isinstance(place.shop, Mariadb) else "text"
    place.shop.execute("drop table parts", f"create table parts (id integer primary key, name {text})")
    place.loads('on_bad_record = "quarantine"\n')
    long = '"' + 'a ""b""\n' * 800_000 + '"'
    place.desk.put(
        "box/a.psv", "id|name\nx|\n" + "".join(f"{i}|{'x' * 1500}\n" for i in range(before)) + f"-1|{long}\n-2|\n"
    )
    (file,) = place.desk.pull()["files"]
    assert (file["rows"], file["bad_rows"]) == (before + 2, 1)
    assert place.shop.execute("select length(name) from parts where id = -1") == [(6 * 800_000,)]
    assert place.shop.execute("select count(*) from parts") == [(before + 2,)]


def test_a_bomb_and_a_cut_file_load_nothing_and_the_good_one_is_loaded_once(place: Place) -> None:
    place.shop.execute("drop table parts", "create table parts (id integer, name text)")
    place.loads(file='compress = "gzip"\n', path="box/*.gz")
    good = gzip.compress(b"id|name\n1|one\n")
    bomb = gzip.compress(b"id|name\n" + b"1|%s\n" % (b"x" * 9000) * 20_000)
    for second, content in enumerate((good, bomb, good[:-3])):
        path = place.desk.put(f"box/{second}.gz", "", at=1_000_000_000)
        path.write_bytes(content)
        os.utime(path, (1_000_000_000 + second, 1_000_000_000 + second))
    run = place.desk.pull(code=1)
    assert [file["status"] for file in run["files"]] == ["done", "fetched", "fetched"]
    assert "unpacks to more than 250 times its size" in run["reason"]
    assert place.rows() == [(1, "one")]
    (place.desk.folder / "var/in/rates/1.gz").write_bytes(good)
    said = place.desk("retry", run["run"], "--json")
    assert said.code == 4, "what was fetched is not what is here now"
    assert "was changed on this machine" in said.run["reason"]
    assert place.rows() == [(1, "one")]


def test_the_guard_stands_before_the_load_and_a_person_may_open_it(place: Place) -> None:
    place.loads(guard="[guard]\nmin_rows = 2\n")
    place.desk.put("box/a.psv", "id|name\n1|one\n")
    run = place.desk.pull(code=4)
    assert run["status"] == "held"
    assert "1 row, and the job's [guard] has min_rows = 2: nothing was loaded" in run["reason"]
    assert place.rows() == []
    assert place.desk("status").code == 4
    assert place.desk("release", run["run"]).code == 0
    assert place.rows() == [(1, "one")]


def test_the_files_of_a_guarded_slot_are_counted_and_loaded_as_one(place: Place) -> None:
    place.loads(guard="[guard]\nmin_rows = 2\nmax_rows = 2\n")
    place.desk.put("box/a.psv", "id|name\n1|one\n")
    place.desk.put("box/b.psv", "id|name\n2|two\n")
    place.desk.pull()
    assert place.rows() == [(1, "one"), (2, "two")]
    place.desk.put("box/c.psv", "id|name\n3|three\n4|four\n")
    place.desk.put("box/d.psv", "id|name\n5|five\n")
    newer(place, code=4)
    assert place.rows() == [(1, "one"), (2, "two")]


def test_replace_empties_the_table_for_all_files_of_the_slot(place: Place) -> None:
    place.loads('mode = "replace"\n', guard="[guard]\nmin_rows = 1\n")
    place.shop.execute("insert into parts values (9, 'old')")
    place.desk.put("box/a.psv", "id|name\n1|one\n")
    place.desk.put("box/b.psv", "id|name\n2|two\n")
    place.desk.pull()
    assert place.rows() == [(1, "one"), (2, "two")]
    place.desk.put("box/c.psv", "id|name\n")
    newer(place, code=4)
    assert place.rows() == [(1, "one"), (2, "two")], "an empty file does not empty the table"
    # One of two is broken: the old rows stay.
    place.desk.put("box/c.psv", "id|name\n7|seven\n", at=1_000_000_000)
    place.desk.put("box/d.psv", "id|name\nx|\n")
    newer(place, code=1)
    assert place.rows() == [(1, "one"), (2, "two")]


def test_upsert_by_a_key(place: Place) -> None:
    place.loads('mode = "upsert"\nkey = ["id"]\n')
    place.desk.put("box/a.psv", "id|name\n1|one\n2|two\n1|uno\n")
    place.desk.pull()
    assert place.rows() == [(1, "uno"), (2, "two")]
    place.desk.put("box/b.psv", "id|name\n2|dos\n3|tres\n")
    newer(place)
    assert place.rows() == [(1, "uno"), (2, "dos"), (3, "tres")]
    place.desk.put("box/c.psv", "name|id\nnobody|\n")
    run = newer(place, code=1)
    assert "line 2, column 'id': it is NULL" in run["reason"]


def test_a_rerun_loads_the_fetched_file_again_under_a_revision_of_its_own(place: Place) -> None:
    place.shop.execute("drop table parts", "create table parts (id integer, name varchar(20))")
    place.desk.put("box/a.psv", "id|name\n1|one\n")
    run = place.desk.pull()
    (place.desk.folder / "out/box/a.psv").unlink()
    told = place.desk("rerun", run["run"]).out
    assert 'loaded again: 1 row, as before; with mode = "append" what was loaded before is there too' in told
    said = place.desk("runs", "--limit", "1", "--json")
    assert (said.run["revision"], said.run["files"][0]["rows"]) == (2, 1)
    assert place.rows() == [(1, "one"), (1, "one")]
    assert place.loaded() == [(1, 1, 0), (2, 1, 0)]
    assert place.desk("retry", said.run["run"]).code == 0
    assert len(place.rows()) == 2


def test_a_rerun_does_what_the_revision_before_could_not(place: Place) -> None:
    place.shop.execute("drop table parts", "create table parts (id integer, name varchar(20))")
    more = 'then = "move"\nmove_to = "old/{name}"\nchecksum_file = "{path}.sum"\n'
    place.loads(file=more)
    for name, content in (("a", "id|name\n1|one\n"), ("b", "id|name\n2|two\n")):
        place.desk.put(f"box/{name}.psv", content, at=1_600_000_000)
        place.desk.put(f"box/{name}.psv.sum", hashlib.sha256(content.encode()).hexdigest())
    right = (place.desk.folder / "out/box/b.psv.sum").read_text()
    place.desk.put("box/b.psv.sum", "0" * 64)
    # One is loaded, and cannot be moved; the other cannot be fetched.
    run = place.desk.pull(code=1)
    assert place.desk.states(run) == {"box/a.psv": "loaded", "box/b.psv": "seen"}
    (place.desk.folder / "out/old").mkdir()
    place.desk.put("box/b.psv.sum", right)
    said = place.desk("rerun", run["run"], "--json")
    assert (said.code, said.run["revision"]) == (0, 2)
    assert place.desk.states(said.run) == {"box/a.psv": "done", "box/b.psv": "done"}
    assert place.rows() == [(1, "one"), (1, "one"), (2, "two")]
    assert place.desk.left() == ["old/a.psv", "old/a.psv.sum", "old/b.psv", "old/b.psv.sum"]
    # What is done is not done again: another file of that name is not ours.
    place.desk.put("box/a.psv", "id|name\n1|one\n", at=1_600_000_000)
    assert place.desk("rerun", said.run["run"]).code == 0
    assert "box/a.psv" in place.desk.left()


def test_a_rerun_loads_what_the_revision_before_could_not(place: Place) -> None:
    place.shop.execute("drop table parts", "create table parts (id integer, name varchar(20))")
    place.loads(file='then = "delete"\n')
    place.desk.put("box/a.psv", "id|name\n1|one\n", at=1_600_000_000)
    place.desk.put("box/b.psv", "id|name\n2|two\nx|y\n", at=1_700_000_000)
    run = place.desk.pull(code=1)
    assert place.desk.states(run) == {"box/a.psv": "done", "box/b.psv": "fetched"}
    place.loads('on_bad_record = "quarantine"\n', file='then = "delete"\n')
    said = place.desk("rerun", run["run"], "--json")
    assert place.desk.states(said.run) == {"box/a.psv": "done", "box/b.psv": "done"}
    assert place.rows() == [(1, "one"), (1, "one"), (2, "two")]
    assert place.desk.left() == []
    assert place.desk("status").code == 0


def test_what_becomes_of_the_file_comes_after_the_load(place: Place) -> None:
    place.loads(file='then = "delete"\n')
    place.desk.put("box/a.psv", "id|name\nx|one\n")
    run = place.desk.pull(code=1)
    assert place.desk.left() == ["box/a.psv"]
    place.loads('on_bad_record = "quarantine"\n', file='then = "delete"\n')
    assert place.desk("retry", run["run"]).code == 0
    assert place.desk.left() == []


def test_a_missing_table_and_a_column_too_many_say_what_there_is(place: Place) -> None:
    place.shop.execute("drop table parts", "create table part (id integer, nom varchar(20))")
    place.desk.put("box/a.psv", "id|name\n1|one\n")
    run = place.desk.pull(code=1)
    assert "there is no table 'parts'" in run["reason"]
    assert "did you mean 'part'" in json.dumps(run)
    text = (place.desk.folder / "jobs/rates.toml").read_text().replace('"parts"', '"part"')
    place.desk.job("rates", text)
    said = place.desk("retry", run["run"], "--json")
    assert said.code == 1
    assert "the file has a column 'name', which the table does not have" in said.run["reason"]


def test_what_only_the_database_can_know_fails_the_load_with_the_line_where_that_is_told(place: Place) -> None:
    place.loads('on_bad_record = "quarantine"\n')
    place.desk.put("box/a.psv", 'id|name\nx|bad\n1|"o\nne"\n2|"a ""b"" \n"\n3|c\n1|again\n')
    run = place.desk.pull(code=1)
    assert run["reason"].startswith("box/a.psv: line 8: database 'stock': "), run["reason"]
    assert run["reason"].endswith("Nothing was loaded")
    hint = run["attempts"][-1]["error"]["hint"]
    assert "twice in the file" in hint
    assert "not what only the database knows" in hint
    assert place.rows() == []


def test_each_error_of_a_load_names_the_file(place: Place) -> None:
    place.desk.put("box/a.psv", "id|name\n1|one\n", at=1_600_000_000)
    place.desk.put("box/b.psv", "id|nom\n2|two\n", at=1_700_000_000)
    run = place.desk.pull(code=1)
    assert run["reason"].startswith("box/b.psv: the file has a column 'nom', which the table does not have")


def test_a_database_that_is_away_is_tried_again_and_the_file_waits_here(place: Place) -> None:
    place.desk.put("box/a.psv", "id|name\n1|one\n")
    with broken_commit(before=True):
        run = place.desk.pull(code=3)
    assert (run["status"], run["files"][0]["status"]) == ("retrying", "fetched")
    (place.desk.folder / "out/box/a.psv").unlink()
    assert place.desk("retry", run["run"]).code == 0
    assert place.rows() == [(1, "one")]


def test_a_commit_whose_reply_is_lost_is_not_loaded_twice(place: Place) -> None:
    place.loads(file='then = "delete"\n')
    place.shop.execute("drop table parts", "create table parts (id integer, name varchar(20))")
    place.desk.put("box/a.psv", "id|name\n1|one\n")
    with broken_commit(before=False):
        run = place.desk.pull(code=3)
    assert place.desk.left() == ["box/a.psv"]
    said = place.desk("retry", run["run"], "--json")
    assert said.code == 0
    assert (said.run["files"][0]["status"], said.run["files"][0]["rows"]) == ("done", 1)
    assert place.rows() == [(1, "one")]
    assert place.desk.left() == []


@contextmanager
def broken_commit(*, before: bool) -> Iterator[None]:
    """The database goes away before it commits, or after."""

    def failing(commit: Any) -> Any:
        def act(loading: Any) -> None:
            if not before:
                commit(loading)
            raise DatabaseUnavailable("the connection was lost")

        return act

    with mock.patch.object(_postgresql_load.Loading, "commit", failing(_postgresql_load.Loading.commit)):
        classes = [_sqlalchemy_load.Loading, *_sqlalchemy_load.Loading.__subclasses__()]
        patches = [
            mock.patch.object(each, "commit", failing(each.__dict__["commit"]))
            for each in classes
            if "commit" in each.__dict__
        ]
        for patch in patches:
            patch.start()
        try:
            yield
        finally:
            for patch in patches:
                patch.stop()
