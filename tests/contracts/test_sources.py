"""What ports.Source promises, on each database."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from datetime import time as clock_time
from decimal import Decimal
from typing import Any

import pytest

from batchxfer.errors import DatabaseUnavailable, QueryError
from batchxfer.ports import Query
from tests.databases import Database, Mariadb, Postgresql, Sqlite

NUMBERS = {
    Postgresql: "select i from generate_series(1, {0}) as g(i)",
    Mariadb: "select seq as i from seq_1_to_{0}",
    Sqlite: "with recursive g(i) as (select 1 union all select i + 1 from g where i < {0}) select i from g",
}


def numbers(shop: Database, count: int) -> str:
    """A query that gives the numbers from 1."""
    return NUMBERS[type(shop)].format(count)


# --- rows ----------------------------------------------------------------------------------------


def test_integers_floats_and_text_are_the_same_from_every_database(shop: Database) -> None:
    real = "double precision" if isinstance(shop, Postgresql) else "double"
    shop.execute(
        f"create table t (i bigint, f {real}, s varchar(40))",
        "insert into t values (9223372036854775807, 0.1, 'Café 日本 €'), (-1, 1e-7, ''), (null, null, null)",
    )
    result = shop.read("select i, f, s from t order by i desc")
    assert result.types == ["integer", "float", "text"]
    assert sorted(result.rows, key=str) == sorted(
        [(9223372036854775807, 0.1, "Café 日本 €"), (-1, 1e-7, ""), (None, None, None)], key=str
    )


def test_the_order_of_the_query_is_kept_over_many_batches(shop: Database) -> None:
    result = shop.read(f"select i from ({numbers(shop, 50_000)}) n order by i desc")
    assert [row[0] for row in result.rows] == list(range(50_000, 0, -1))


def test_a_batch_is_bounded_in_bytes(shop: Database) -> None:
    repeat = "printf('%.*c', 100000, 'x')" if isinstance(shop, Sqlite) else "repeat('x', 100000)"
    result = shop.read(f"select i, {repeat} as s from ({numbers(shop, 1500)}) n")
    assert sum(batch.num_rows for batch in result.batches) == 1500
    assert max(batch.nbytes for batch in result.batches[1:]) < 40_000_000


def test_columns_are_known_when_no_row_comes(shop: Database) -> None:
    shop.execute("create table t (i integer, s varchar(10))")
    result = shop.read("select i, s from t")
    assert [column.name for column in result.columns] == ["i", "s"]
    assert result.types == ["integer", "text"]
    assert result.rows == []


def test_columns_of_one_name_are_all_there(shop: Database) -> None:
    result = shop.read("select 1 as a, 2 as a, 'x' as b")
    assert [column.name for column in result.columns] == ["a", "a", "b"]
    assert result.rows == [(1, 2, "x")]


@pytest.mark.parametrize(
    "text",
    [
        "select 1 as a;",
        "select 1 as a -- the end",
        "select 1 as a; -- the end",
        "-- the beginning\nselect 1 as a /* ; */ ;\n;",
        "with q as (select 1 as a) select a from q",
        "select 0 + 1 as a union select 1 order by 1",
        "select a from (select 1 as a) q limit 1",
    ],
)
def test_any_single_query_is_read(shop: Database, text: str) -> None:
    assert shop.values(text) == [(1,)]


# --- parameters ----------------------------------------------------------------------------------


def test_a_parameter_is_a_value_and_never_a_part_of_the_query(shop: Database) -> None:
    nasty = 'it\'s "50%" \\ :x ; -- $$ %s ?'
    shop.execute("create table t (s varchar(100))")
    assert shop.values("select s from t where s = :s or ':s' = '%s'", {"s": nasty}) == []
    comparison = "select case when :s like '%;%' then 1 else 0 end as hit, :n + 1 as n"
    assert shop.values(comparison, {"s": nasty, "n": 41}) == [(1, 42)]


def test_a_parameter_may_be_used_twice_and_one_may_stay_unused(shop: Database) -> None:
    assert shop.values("select :a + :a as x", {"a": 21, "b": 1}) == [(42,)]


def test_a_parameter_without_value_is_refused(shop: Database) -> None:
    with pytest.raises(QueryError, match=":since has no value"):
        shop.values("select 1 where 1 = :since")


def test_every_kind_of_value_finds_its_row(shop: Database) -> None:
    shop.execute(
        "create table t (i integer, d decimal(12,2), f real, b boolean, day date, s varchar(10))",
        f"insert into t values (7, 12.5, 0.5, {'true' if isinstance(shop, Postgresql) else 1}, '2026-11-22', 'x')",
    )
    values: dict[str, Any] = {
        "i": 7,
        "d": Decimal("12.50"),
        "f": 0.5,
        "b": True,
        "day": date(2026, 11, 22),
        "s": "x",
        "none": None,
    }
    where = "i = :i and d = :d and f = :f and b = :b and day = :day and s = :s and :none is null"
    assert shop.values(f"select i from t where {where}", values) == [(7,)]


@pytest.mark.parametrize("machine", ["UTC", "America/New_York"])
def test_a_timestamp_without_zone_matches_in_the_databases_zone(
    shop: Database, machine: str, machine_in: Callable[[str], None]
) -> None:
    machine_in(machine)
    wall = {Postgresql: "timestamp(6)", Mariadb: "datetime(6)", Sqlite: "text"}[type(shop)]
    shop.execute(
        f"create table t (n integer, at {wall})",
        "insert into t values (1, '2026-11-22 23:59:59.999999'), (2, '2026-11-23 00:00:00'), (3, '2026-11-24 00:00:00')",
    )
    query = "select n from t where at >= :interval_start and at < :interval_end order by n"
    interval = {
        "interval_start": datetime(2026, 11, 22, 15, 0, tzinfo=UTC),
        "interval_end": datetime(2026, 11, 23, 15, 0, tzinfo=UTC),
    }
    assert shop.values(query, interval, timezone="Asia/Seoul") == [(2,)]


def test_a_time_of_day_can_be_compared(shop: Database) -> None:
    shop.execute(
        f"create table t (at {'text' if isinstance(shop, Sqlite) else 'time'})", "insert into t values ('01:02:03')"
    )
    assert len(shop.values("select at from t where at = :at", {"at": clock_time(1, 2, 3)})) == 1


# --- errors --------------------------------------------------------------------------------------


def test_a_wrong_query_is_an_error_for_good(shop: Database) -> None:
    with pytest.raises(QueryError, match="selec"):
        shop.read("selec 1")
    with pytest.raises(QueryError, match="no_such_table") as caught:
        shop.read("select * from no_such_table")
    assert caught.value.hint == "mend the job's query"


def test_two_statements_are_refused(shop: Database) -> None:
    shop.execute("create table t (i integer)")
    with pytest.raises(QueryError, match="more than one statement"):
        shop.read("select 1; delete from t")


@pytest.mark.parametrize(
    "text",
    [
        "insert into t values (2)",
        "insert into t values (2) returning i",
        "delete from t",
        "drop table t",
        "create table u (i integer)",
        "update t set i = 2",
    ],
)
def test_a_source_changes_nothing(shop: Database, text: str) -> None:
    shop.execute("create table t (i integer)", "insert into t values (1)")
    with pytest.raises(QueryError):
        shop.read(text)
    assert shop.execute("select i from t") == [(1,)]


def test_a_query_that_fails_in_the_middle_raises(shop: Database) -> None:
    late = {
        Postgresql: "select 1 / (i - 60000) as x from ({0}) n",
        Mariadb: "select n.i, (select seq from seq_1_to_2 where n.i = 60000) as x from ({0}) n",
        Sqlite: "select case when i = 60000 then abs(-9223372036854775807 - 1) else i end as x from ({0}) n",
    }
    query = Query(text=late[type(shop)].format(numbers(shop, 100_000)), parameters={})
    with pytest.raises(QueryError), shop.source().read(query) as rows:
        for _batch in rows:
            pass


def test_a_query_that_takes_too_long_is_ended_and_may_be_tried_again(shop: Database) -> None:
    slow = {
        Postgresql: "select count(*) from generate_series(1, 100000000) a, generate_series(1, 100000) b",
        Mariadb: "select count(a.seq + b.seq) from seq_1_to_100000000 a, seq_1_to_100000 b where a.seq % 3 = b.seq % 7",
        Sqlite: f"select count(*) from ({numbers(shop, 1_000_000_000_000)}) n",
    }
    begun = time.monotonic()
    with pytest.raises(DatabaseUnavailable) as caught:
        shop.read(slow[type(shop)], statement_timeout="1s")
    assert time.monotonic() - begun < 10
    assert "statement_timeout" in (caught.value.hint or "")


def test_leaving_early_ends_the_query(shop: Database) -> None:
    query = Query(text=numbers(shop, 1_000_000 if isinstance(shop, Sqlite) else 10_000_000), parameters={})
    running = {
        Postgresql: "select pid from pg_stat_activity where application_name = 'batchxfer' and datname = current_database()",
        Mariadb: "select id from information_schema.processlist where info like '%seq_1_to_10000000'",
        Sqlite: "select 1 where false",
    }
    # A ledger of another test may be open.
    before = set(shop.execute(running[type(shop)]))
    begun = time.monotonic()
    with shop.source().read(query) as rows:
        assert next(iter(rows)).num_rows > 0
    assert time.monotonic() - begun < 10
    assert shop.values("select 1") == [(1,)]
    for _ in range(50):
        if set(shop.execute(running[type(shop)])) <= before:
            return
        time.sleep(0.1)
    pytest.fail("the query still runs")


def test_an_error_of_the_reader_passes_through(shop: Database) -> None:
    with pytest.raises(ZeroDivisionError), shop.source().read(Query(text="select 1", parameters={})):
        raise ZeroDivisionError


def test_what_happens_to_be_read_twice_is_the_same(shop: Database) -> None:
    query = f"select i, 'text' as s from ({numbers(shop, 3000)}) n order by i"
    assert shop.read(query).table().equals(shop.read(query).table())


@pytest.mark.parametrize("scheme", ["postgresql", "mysql", "mysql+pymysql", "mariadb"])
def test_a_database_out_of_reach_is_tried_again_and_its_password_stays_hidden(scheme: str) -> None:
    shop = Postgresql("") if scheme == "postgresql" else Sqlite("", path=None)  # type: ignore[arg-type]
    for url, password in [
        (f"{scheme}://clerk:hunter2@127.0.0.1:1/shop", None),
        (f"{scheme}://clerk@127.0.0.1:1/shop", "hunter2"),
    ]:
        with pytest.raises(DatabaseUnavailable) as caught:
            shop.read("select 1", url=url, password=password)
        assert "database 'shop': " in caught.value.message
        assert "hunter2" not in f"{caught.value} {caught.value.hint} {caught.value!r}"
