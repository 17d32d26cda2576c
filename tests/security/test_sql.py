"""A value stays a value, and a query only reads: on every database, whatever stands in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from batchxfer.errors import AttemptError, QueryError
from tests.databases import Database, Mariadb, Postgresql, Sqlite
from tests.e2e.command import make_project

HOSTILE = [
    "'; drop table orders; --",
    "\\'; drop table orders; --",
    "\\\\'; drop table orders; #",
    "' or ''='",
    '"; drop table orders; --',
    "`; drop table orders; --",
    "$$; drop table orders; $$",
    "$a$ $$ $a$",
    "*/ drop table orders; /*",
    "-- \n drop table orders",
    "%s %(p1)s %% %",
    ":slot ?1 ?",
    "é\u202e\U0001f600\ufeff",
    "\x1b[2J\x7f",
    "\\",
    "\\\\",
    "'",
    "''",
    "\r\n\t",
    "\x1a\b",
    "E'\\x41'",
    "x" * 70_000 + "'",
]


@pytest.fixture
def orders(shop: Database) -> Iterator[Database]:
    shop.execute("create table orders (id integer, name varchar(100))", "insert into orders values (1, 'one')")
    yield shop
    assert shop.execute("select id, name from orders") in ([(1, "one")], ((1, "one"),))


SELECT_ALL = "select " + ", ".join(f":v{number} as c{number}" for number in range(len(HOSTILE)))
VALUES = {f"v{number}": value for number, value in enumerate(HOSTILE)}


def test_a_hostile_value_comes_back_as_it_went_in(orders: Database) -> None:
    assert orders.values(f"{SELECT_ALL} from orders", VALUES) == [tuple(HOSTILE)]
    alike = " or ".join(f"name = :v{number}" for number in range(len(HOSTILE)))
    assert orders.values(f"select id from orders where {alike}", VALUES) == []


def test_a_nul_is_a_value_too_or_is_refused(orders: Database) -> None:
    value = "a\0'; drop table orders; --"
    if isinstance(orders, Postgresql):
        with pytest.raises(QueryError, match="cannot be passed to PostgreSQL"):
            orders.values("select :v as a", {"v": value})
    else:
        assert orders.values("select :v as a", {"v": value}) == [(value,)]


def test_a_server_that_reads_backslashes_otherwise_is_written_to_accordingly(mariadb_shop: Mariadb) -> None:
    (before,) = mariadb_shop.execute("select @@global.sql_mode")
    for mode in ("NO_BACKSLASH_ESCAPES", "ANSI_QUOTES", "ORACLE"):
        mariadb_shop.execute(f"set global sql_mode = '{mode}'")
        try:
            assert mariadb_shop.values(SELECT_ALL, VALUES) == [tuple(HOSTILE)], mode
        finally:
            mariadb_shop.execute(f"set global sql_mode = '{before[0]}'")


def test_a_value_on_the_command_line_is_a_value(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    for value in ("'; drop table orders; --", "$$", "\\", '"', "%s", ":slot"):
        assert project("run", "by-hand", "--param", f"what={value}").code == 0
    contents = "".join(project.delivered().values())
    assert "'; drop table orders; --|1|" in contents
    assert project("run", "daily").code == 0


WRITES: dict[type[Database], list[str]] = {
    Postgresql: [
        "insert into orders values (2, 'two') returning id",
        "with w as (insert into orders values (2, 'two') returning id) select id from w",
        "with w as (delete from orders returning id) select id from w",
        "select bump()",
        "select nextval('numbers')",
        "select lo_create(0)",
        "select * into other from orders",
        "create table other as select 1 as a",
        "call bump_and_commit()",
        "do $$ begin insert into orders values (2, 'two'); end $$",
        "select 1 as a; insert into orders values (2, 'two')",
        "select 1 as a) q; commit; insert into orders values (2, 'two'); select * from (select 1 as a",
        "commit",
        "select set_config('transaction_read_only', 'off', false), bump()",
        "copy orders to program 'touch {folder}/made'",
        "copy (select 1) to '{folder}/made'",
        "select id from orders for update",
    ],
    Sqlite: [
        "insert into orders values (2, 'two') returning id",
        "delete from orders returning id",
        "replace into orders values (2, 'two') returning id",
        "create table other as select 1",
        "attach '{folder}/made' as made",
        "vacuum into '{folder}/made'",
        "pragma user_version = 7",
        "pragma journal_mode = wal",
        "select 1; insert into orders values (2, 'two')",
        "commit; insert into orders values (2, 'two')",
        "select load_extension('{folder}/made')",
        "select writefile('{folder}/made', 'x')",
    ],
    Mariadb: [
        "insert into orders values (2, 'two') returning id",
        "delete from orders returning id",
        "select bump()",
        "create table other as select 1 as a",
        "select nextval(numbers)",
        "select 1; insert into orders values (2, 'two')",
        "call bump_and_commit()",
        "truncate table orders",
        "insert into loose values (1) returning id",
        "/*!insert*/ into orders values (2, 'two') returning id",
    ],
}
PREPARE: dict[type[Database], list[str]] = {
    Postgresql: [
        "create sequence numbers",
        "create function bump() returns int language plpgsql as "
        "$$ begin insert into orders values (2, 'two'); return 1; end $$",
        "create procedure bump_and_commit() language plpgsql as "
        "$$ begin rollback; insert into orders values (2, 'two'); commit; end $$",
    ],
    Sqlite: [],
    Mariadb: [
        "create sequence numbers",
        "create table loose (id integer) engine = MyISAM",
        "create function bump() returns int begin insert into orders values (2, 'two'); return 1; end",
        "create procedure bump_and_commit() begin rollback; insert into orders values (2, 'two'); commit; end",
    ],
}


def test_a_query_that_writes_fails_and_writes_nothing(orders: Database, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    folder.chmod(0o777)
    orders.execute(*PREPARE[type(orders)])
    tables = _tables(orders)
    done = []
    for query in WRITES[type(orders)]:
        try:
            orders.values(query.replace("{folder}", str(folder)))
        except AttemptError:
            pass
        else:
            done.append(query)
        assert [str(path) for path in folder.iterdir()] == [], query
        assert len(orders.execute("select id from orders")) == 1, query
    assert _tables(orders) == tables
    assert done == []


def _tables(database: Database) -> list[str]:
    if isinstance(database, Sqlite):
        return sorted(str(row[0]) for row in database.execute("select name from sqlite_master"))
    here = "current_schema()" if isinstance(database, Postgresql) else "database()"
    rows = database.execute(f"select table_name from information_schema.tables where table_schema = {here}")
    return sorted(str(row[0]) for row in rows)
