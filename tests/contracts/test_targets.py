"""What ports.Target promises, on each database: the three that are known well, and one of which nothing is known."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from psycopg.conninfo import conninfo_to_dict

from batchxfer.codec.delimited import Options
from batchxfer.databases import sqlalchemy
from batchxfer.definitions import DatabaseOptions
from batchxfer.errors import DatabaseUnavailable, LoadError, RowRefused, UnreadableFile
from batchxfer.model import TargetColumn
from batchxfer.ports import LoadCounts, Loading, LoadKey, Target
from batchxfer.reading import CARRIERS, read_column
from tests.databases import Database, Mariadb, Postgresql, Sqlite

KEY = LoadKey(project="P", file="F", revision=1)
OTHER = LoadKey(project="P", file="F", revision=2)
COUNTS = LoadCounts(rows=2, bad_rows=1)


@dataclass
class Unknown(Postgresql):
    """A PostgreSQL that is loaded as a database of which only SQLAlchemy knows something."""

    def target(self, *, url: str | None = None, **options: Any) -> Target:
        known = DatabaseOptions(url="unused://", **options)
        address = (url or self.url).replace("postgresql://", "postgresql+psycopg://", 1)
        return sqlalchemy.Target("shop", known, url=address, password=None)


@pytest.fixture(params=["postgresql", "sqlite", "mariadb", "unknown"])
def shop(request: pytest.FixtureRequest) -> Database:
    if request.param == "unknown":
        return Unknown(request.getfixturevalue("postgresql_database"))
    database = request.getfixturevalue(f"{request.param}_shop")
    assert isinstance(database, Database)
    return database


KNOWN = pytest.mark.parametrize("shop", ["postgresql", "sqlite", "mariadb"], indirect=True)
SERVERS = pytest.mark.parametrize("shop", ["postgresql", "mariadb"], indirect=True)


def batches(columns: Sequence[TargetColumn], *parts: Sequence[Sequence[Any]]) -> Iterator[pa.RecordBatch]:
    """Rows of Python's values as ports.Rows carries them."""
    for rows in parts:
        values = zip(*rows, strict=True) if rows else [()] * len(columns)
        arrays = [
            pa.array(list(of), CARRIERS.get(column.type.name, pa.string()))
            for of, column in zip(values, columns, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(arrays, names=[column.name for column in columns])


def chosen(loading: Loading, table: str, *names: str) -> list[TargetColumn]:
    by_name = {column.name: column for column in loading.columns(table)}
    return [by_name[name] for name in names or by_name]


def append(
    shop: Database, table: str, *parts: Sequence[Sequence[Any]], names: Sequence[str] = (), key: Sequence[str] = ()
) -> int:
    """Load, record nothing, commit."""
    with shop.target().begin() as loading:
        columns = chosen(loading, table, *names)
        count = loading.append(table, columns, batches(columns, *parts), key=key)
        loading.commit()
    return count


# --- transactions --------------------------------------------------------------------------------


def test_rows_and_their_record_are_one_transaction(shop: Database) -> None:
    shop.execute("create table t (n integer, s varchar(10))")
    with shop.target().begin() as loading:
        assert loading.recorded([KEY, OTHER]) == {}
        columns = chosen(loading, "t")
        assert loading.append("t", columns, batches(columns, [(1, "a")], [(2, None)])) == 2
        loading.record(KEY, COUNTS)
        assert loading.recorded([KEY]) == {KEY: COUNTS}
        loading.commit()
    assert shop.execute("select n, s from t order by n") == [(1, "a"), (2, None)]
    with shop.target().begin() as loading:
        assert loading.recorded([OTHER, KEY]) == {KEY: COUNTS}


def test_what_is_not_committed_never_was(shop: Database) -> None:
    shop.execute("create table t (n integer)", "insert into t values (7)")
    with shop.target().begin() as loading:
        columns = chosen(loading, "t")
        loading.clear("t")
        loading.append("t", columns, batches(columns, [(1,)]))
        loading.record(KEY, COUNTS)
    assert shop.execute("select n from t") == [(7,)]
    with shop.target().begin() as loading:
        assert loading.recorded([KEY]) == {}


def test_a_commit_whose_reply_was_lost_is_found_by_the_next(shop: Database) -> None:
    shop.execute("create table t (n integer)")
    with suppress(DatabaseUnavailable), shop.target().begin() as loading:
        columns = chosen(loading, "t")
        loading.append("t", columns, batches(columns, [(1,)]))
        loading.record(KEY, COUNTS)
        loading.commit()
        raise DatabaseUnavailable("the reply was lost")
    with shop.target().begin() as loading:
        assert loading.recorded([KEY]) == {KEY: COUNTS}


def test_what_reading_raises_leaves_as_it_is_and_nothing_was_loaded(shop: Database) -> None:
    shop.execute("create table t (n integer)")

    def broken(columns: Sequence[TargetColumn]) -> Iterator[pa.RecordBatch]:
        yield from batches(columns, [(1,)], [(2,)])
        raise UnreadableFile("the trailer disagrees")

    with shop.target().begin() as loading:
        columns = chosen(loading, "t")
        with pytest.raises(UnreadableFile) as caught:
            loading.append("t", columns, broken(columns))
    assert caught.value.message == "the trailer disagrees"
    assert shop.execute("select n from t") == []


def test_others_see_the_old_rows_until_the_commit(shop: Database) -> None:
    if isinstance(shop, Sqlite):
        shop.execute("pragma journal_mode = wal")
    shop.execute("create table t (n integer)", "insert into t values (1)", "insert into t values (2)")
    with shop.target().begin() as loading:
        columns = chosen(loading, "t")
        loading.clear("t")
        loading.append("t", columns, batches(columns, [(3,)]))
        assert shop.execute("select n from t order by n") == [(1,), (2,)]
        loading.commit()
    assert shop.execute("select n from t") == [(3,)]


@KNOWN
def test_two_who_replace_at_once_leave_the_rows_of_one(shop: Database) -> None:
    shop.execute("create table t (n integer)", "insert into t values (0)")
    cleared, arrived, failures = threading.Event(), threading.Event(), []

    def second() -> None:
        cleared.wait(20)
        try:
            with shop.target().begin() as loading:
                columns = chosen(loading, "t")
                arrived.set()
                loading.clear("t")
                loading.append("t", columns, batches(columns, [(2,), (2,)]))
                loading.commit()
        except DatabaseUnavailable as error:  # a deadlock is one way to keep them apart
            failures.append(error)

    other = threading.Thread(target=second)
    other.start()
    with shop.target().begin() as loading:
        columns = chosen(loading, "t")
        loading.clear("t")
        cleared.set()
        if not isinstance(shop, Sqlite):  # there it waits from the beginning
            assert arrived.wait(20)
        other.join(0.3)  # it waits, and would have been done by now
        loading.append("t", columns, batches(columns, [(1,), (1,)]))
        loading.commit()
    other.join(30)
    assert shop.execute("select n from t") == ([(1,), (1,)] if failures else [(2,), (2,)])


def test_of_two_who_load_one_file_at_once_the_later_finds_it_loaded(shop: Database) -> None:
    shop.execute("create table t (n integer)")
    if isinstance(shop, Sqlite):
        # Here the second waits from the beginning, and then finds the record.
        append(shop, "t", [(1,)])
        with (
            pytest.raises(DatabaseUnavailable, match="locked"),
            shop.target().begin(),
            shop.target(connect_timeout="1s").begin(),
        ):
            pass
        return
    with shop.target().begin() as late:
        assert late.recorded([KEY]) == {}
        with shop.target().begin() as early:
            early.record(KEY, COUNTS)
            early.commit()
        columns = chosen(late, "t")
        late.append("t", columns, batches(columns, [(1,)]))
        with pytest.raises(DatabaseUnavailable, match="another process has loaded this file"):
            late.record(KEY, COUNTS)
    assert shop.execute("select n from t") == []


def test_two_may_make_the_table_of_loads_at_once(shop: Database) -> None:
    failures: list[Exception] = []
    ready = threading.Barrier(3)

    def load(number: int) -> None:
        try:
            ready.wait(20)
            with shop.target().begin() as loading:
                loading.record(LoadKey(project="P", file="F", revision=number), COUNTS)
                loading.commit()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=load, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    assert len(shop.execute("select * from batchxfer_loads")) == 3


# --- values --------------------------------------------------------------------------------------

TEXTS = [
    "",
    " ",
    "NULL",
    "\\N",
    "\\.",
    "a,b",
    'say "x"',
    "two\nlines",
    "cr\r\nlf",
    "tab\t",
    "back\\slash",
    "it's %s ? :x",
    "Café 日本 😀",
]


def test_texts_are_what_they_were_and_null_is_not_the_empty_text(shop: Database) -> None:
    shop.execute("create table t (i integer, s varchar(50))")
    expected = [*enumerate(TEXTS), (99, None)]
    assert append(shop, "t", expected) == len(expected)
    assert shop.execute("select i, s from t order by i") == expected


def test_a_single_column_of_nulls_is_as_many_rows(shop: Database) -> None:
    shop.execute("create table t (s varchar(50))")
    assert append(shop, "t", [(None,), ("",), (None,), ("\\.",)]) == 4
    found = sorted(str(row[0]) for row in shop.execute("select s from t"))
    assert found == sorted(["None", "", "None", "\\."])


def test_a_file_without_rows_loads_none(shop: Database) -> None:
    shop.execute("create table t (n integer)")
    assert append(shop, "t", []) == 0
    assert append(shop, "t") == 0


EVERY_TYPE = {
    Postgresql: [
        ("small smallint", -32768),
        ("big bigint", 9223372036854775807),
        ("exact numeric(20,2)", "123456789012345678.90"),
        ("free numeric", "-0.000000000000000000012345678901234567890"),
        ("real_one real", 0.5),
        ("double_one double precision", 0.1),
        ("yes boolean", True),
        ("day date", "2026-11-22"),
        ("clock time", "01:02:03.000004"),
        ("wall timestamp", "2026-11-22 16:02:03.5"),
        ("moment timestamptz", "2026-11-22 16:02:03.000001+00:00"),
        ("id uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("bytes_ bytea", b"\x00\xff'\"\\"),
        ("span interval", "P1Y2M3DT4H5M6.5S"),
        ("doc jsonb", '{"a":[1,2.50,null,"x"]}'),
    ],
    Mariadb: [
        ("small smallint", -32768),
        ("big bigint", 9223372036854775807),
        ("exact decimal(20,2)", "123456789012345678.90"),
        ("double_one double", 0.1),
        ("day date", "2026-11-22"),
        ("clock time(6)", "01:02:03.000004"),
        ("wall datetime(6)", "2026-11-22 16:02:03.5"),
        ("moment timestamp(6) null", "2026-11-22 16:02:03.000001+00:00"),
        ("bytes_ varbinary(20)", b"\x00\xff'\"\\"),
        ("doc json", '{"a": [1, 2.50, null, "x"]}'),
        ("bits bit(5)", "00101"),
        ("huge bigint unsigned", "18446744073709551615"),
    ],
    Sqlite: [
        ("big integer", 9223372036854775807),
        ("exact decimal(12,2)", "1234567890.12"),
        ("double_one real", 0.1),
        ("yes boolean", True),
        ("day date", "2026-11-22"),
        ("clock time", "01:02:03.000004"),
        ("wall timestamp", "2026-11-22 16:02:03.5"),
        ("bytes_ blob", b"\x00\xff'\"\\"),
        ("doc json", '{"a":1}'),
    ],
}
# As the database itself says it afterwards.
SHOWN = {
    Postgresql: "concat_ws('|', small, big, exact, free, real_one, double_one, yes, day, clock, wall,"
    " moment at time zone 'UTC', id, encode(bytes_, 'hex'), span, doc)",
    Mariadb: "concat_ws('|', small, big, exact, double_one, day, clock, wall, moment, hex(bytes_), doc, bin(bits), huge)",
    Sqlite: "concat_ws('|', big, exact, double_one, yes, day, clock, wall, hex(bytes_), doc)",
}
EXPECTED = {
    Postgresql: "-32768|9223372036854775807|123456789012345678.90|-0.000000000000000000012345678901234567890|0.5|0.1|t|"
    "2026-11-22|01:02:03.000004|2026-11-22 16:02:03.5|2026-11-22 16:02:03.000001|a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11|"
    '00ff27225c|1 year 2 mons 3 days 04:05:06.5|{"a": [1, 2.50, null, "x"]}',
    Mariadb: "-32768|9223372036854775807|123456789012345678.90|0.1|2026-11-22|01:02:03.000004|2026-11-22 16:02:03.500000|"
    '2026-11-22 16:02:03.000001|00FF27225C|{"a":[1,2.50,null,"x"]}|101|18446744073709551615',
    Sqlite: "9223372036854775807|1234567890.12|0.1|1|2026-11-22|01:02:03.000004|2026-11-22 16:02:03.500000|00FF27225C|"
    '{"a":1}',
}


def read_as(text: Any, column: TargetColumn) -> pa.Array:
    """A value as a file's is read for the column."""
    text = text.hex() if isinstance(text, bytes) else str(text).lower() if isinstance(text, bool) else str(text)
    read = read_column(
        pa.array([text, None], pa.string()),
        column.type,
        column,
        Options(kind="delimited", bytes="hex"),
        ZoneInfo("UTC"),
    )
    assert read.wrong == {}
    return read.array


def test_every_type_of_the_table_is_read_and_kept(shop: Database) -> None:
    kind = Postgresql if isinstance(shop, Postgresql) else type(shop)
    types = EVERY_TYPE[kind]
    shop.execute(f"create table t ({', '.join(column for column, _ in types)})")
    with shop.target(timezone="Asia/Seoul").begin() as loading:
        columns = loading.columns("t")
        assert [column.name for column in columns] == [declared.split()[0] for declared, _ in types]
        arrays = [read_as(value, column) for (_, value), column in zip(types, columns, strict=True)]
        batch = pa.RecordBatch.from_arrays(arrays, names=[column.name for column in columns])
        loading.append("t", columns, [batch])
        loading.commit()
    if isinstance(shop, Sqlite):
        row = shop.execute("select big, exact, double_one, yes, day, clock, wall, hex(bytes_), doc from t")[0]
        assert "|".join(map(str, row)) == EXPECTED[Sqlite]
    else:
        zone = "set time_zone = '+00:00'" if kind is Mariadb else "select 1"
        assert shop.execute(zone, f"select {SHOWN[kind]} from t where small is not null") == [(EXPECTED[kind],)]
    nulls = " and ".join(f"{declared.split()[0]} is null" for declared, _ in types)
    assert len(shop.execute(f"select 1 from t where {nulls}")) == 1


# --- columns -------------------------------------------------------------------------------------


def test_columns_that_the_file_lacks_take_their_defaults(shop: Database) -> None:
    shop.execute(
        "create table t (a integer, b integer default 5, c varchar(10) not null default 'x', d integer not null)"
    )
    with shop.target().begin() as loading:
        needed = {column.name: column.optional for column in loading.columns("t")}
    assert needed == {"a": True, "b": True, "c": True, "d": False}
    append(shop, "t", [(1, 2)], names=["a", "d"])
    assert shop.execute("select a, b, c, d from t") == [(1, 5, "x", 2)]


def test_generated_columns_are_the_databases_own(shop: Database) -> None:
    shop.execute("create table t (a integer, b integer generated always as (a * 2) stored)")
    append(shop, "t", [(4,)])
    assert shop.execute("select a, b from t") == [(4, 8)]


def test_a_column_that_numbers_itself_may_be_left_out_or_given(shop: Database) -> None:
    number = {
        Postgresql: "integer generated by default as identity primary key",
        Unknown: "serial primary key",
        Mariadb: "integer auto_increment primary key",
        Sqlite: "integer primary key",
    }
    shop.execute(f"create table t (id {number[type(shop)]}, s varchar(5))")
    append(shop, "t", [("a",)], names=["s"])
    append(shop, "t", [(7, "b"), (0, "zero")])
    assert shop.execute("select id, s from t order by id") == [(0, "zero"), (1, "a"), (7, "b")]


def test_names_are_quoted(shop: Database) -> None:
    quote = "`" if isinstance(shop, Mariadb) else '"'
    table, column = f"{quote}Order 100%{quote}", f"{quote}select %s?{quote}"
    shop.execute(f"create table {table} ({quote}Id{quote} integer primary key, {column} varchar(9))")
    append(shop, "Order 100%", [(1, "a")])
    append(shop, "Order 100%", [(1, "b"), (2, "c")], key=["Id"])
    assert shop.execute(f"select {column} from {table} order by 1") == [("b",), ("c",)]


def test_a_table_may_be_named_with_its_schema(shop: Database) -> None:
    schema = {Sqlite: "main"}.get(type(shop)) or shop.execute(
        "select " + ("database()" if isinstance(shop, Mariadb) else "current_schema()")
    )[0][0]
    shop.execute("create table t (n integer primary key)")
    append(shop, f"{schema}.t", [(1,)])
    append(shop, f"{schema}.t", [(1,), (2,)], key=["n"])
    with shop.target().begin() as loading:
        loading.clear(f"{schema}.t")
        loading.commit()
    assert shop.execute("select n from t") == []


def test_a_missing_table_names_near_ones(shop: Database) -> None:
    shop.execute("create table orders (n integer)")
    with pytest.raises(LoadError, match="there is no table 'ordres'") as caught, shop.target().begin() as loading:
        loading.columns("ordres")
    assert "orders" in str(caught.value.hint)
    assert "batchxfer_loads" not in str(caught.value.hint)


# --- what is refused -----------------------------------------------------------------------------


def test_a_row_that_the_table_refuses_undoes_all_and_is_named(shop: Database) -> None:
    shop.execute("create table t (n integer primary key, s varchar(5) not null)")
    with pytest.raises(LoadError) as caught:
        append(shop, "t", [(1, "a"), (2, "b")], [(3, "c"), (1, "d")])
    assert "Nothing was loaded" in caught.value.message
    if type(shop) in (Postgresql, Sqlite, Mariadb):
        assert isinstance(caught.value, RowRefused)
        assert caught.value.row == 4
    assert shop.execute("select n from t") == []


@pytest.mark.parametrize("place", [0, 1, 6, 999, 1000, 1523])
def test_the_first_row_that_mariadb_refuses_is_named_wherever_it_stands(mariadb_shop: Database, place: int) -> None:
    """The server names none. Later ones are wrong too, and what was good before them must not be taken for it."""
    mariadb_shop.execute("create table t (n integer primary key, s varchar(4000) check (s not like 'bad%'))")
    # More than one statement holds.
    rows = [(n, ("bad" if n >= place else "good") + "x" * 2000) for n in range(1524)]
    with pytest.raises(RowRefused, match="Nothing was loaded") as caught:
        append(mariadb_shop, "t", rows[:1000], rows[1000:])
    assert caught.value.row == place + 1
    assert mariadb_shop.execute("select n from t") == []


@pytest.mark.parametrize("when", ["", "deferrable initially deferred"])
def test_a_row_whose_foreign_key_leads_nowhere_undoes_all(shop: Database, when: str) -> None:
    if isinstance(shop, Mariadb):
        when = ""
    shop.execute(
        "create table parents (n integer primary key)", "insert into parents values (1)",
        f"create table t (n integer, parent integer, constraint leads foreign key (parent) references parents (n) {when})",
    )  # fmt: skip
    with pytest.raises(LoadError, match=r"(?i)foreign key.*Nothing was loaded"):
        load_texts(shop, n="5", parent="2")
    assert shop.execute("select n from t") == []
    load_texts(shop, n="5", parent="1")
    assert shop.execute("select n from t") == [(5,)]


@SERVERS
def test_a_table_of_loads_that_may_not_be_made_is_told_with_its_statement(shop: Database) -> None:
    target = poor(shop)
    with pytest.raises(LoadError, match="batchxfer_loads") as caught, target.begin():
        pass
    hint = str(caught.value.hint)
    assert "CREATE TABLE batchxfer_loads" in hint


def test_an_sqlite_file_that_cannot_be_written_is_told(sqlite_shop: Database) -> None:
    with (
        pytest.raises(LoadError, match="readonly") as caught,
        sqlite_shop.target(url=f"{sqlite_shop.url}?immutable=1").begin(),
    ):
        pass
    assert "CREATE TABLE batchxfer_loads" in str(caught.value.hint)


def test_an_sqlite_file_that_is_not_there_is_not_made(sqlite_shop: Database) -> None:
    with pytest.raises(DatabaseUnavailable, match="no file"), sqlite_shop.target(url=f"{sqlite_shop.url}x").begin():
        pass
    assert not Path(f"{sqlite_shop.url.removeprefix('sqlite:///')}x").exists()


def test_a_table_that_takes_nothing_back_is_refused(mariadb_shop: Database) -> None:
    mariadb_shop.execute("create table t (n integer) engine = MyISAM")
    with pytest.raises(LoadError, match="is kept by MyISAM, which takes nothing back") as caught:
        append(mariadb_shop, "t", [(1,)])
    assert str(caught.value.hint).endswith("ALTER TABLE `t` ENGINE=InnoDB")


@SERVERS
def test_a_missing_right_is_told_with_the_statement_that_grants_it(shop: Database) -> None:
    shop.execute("create table t (n integer primary key)")
    with shop.target().begin():
        pass  # makes the table of loads
    target = poor(shop, "grant select, insert on batchxfer_loads to", "grant select on t to")
    with target.begin() as loading:
        columns = chosen(loading, "t")
        with pytest.raises(LoadError) as caught:
            loading.append("t", columns, batches(columns, [(1,)]))
    assert "have an administrator run: GRANT INSERT ON " in str(caught.value.hint)
    assert "poor" in str(caught.value.hint)


def poor(shop: Database, *grants: str) -> Target:
    """The target of a user who may do next to nothing."""
    user = f"poor{uuid4().hex[:20]}"
    if isinstance(shop, Mariadb):
        shop.execute(f"create user {user}@localhost", f"grant create temporary tables on *.* to {user}@localhost")
        shop.execute(*(f"{grant} {user}@localhost" for grant in grants))
        return shop.target(url=shop.url.replace("root@", f"{user}@"))
    ((schema,),) = shop.execute(
        f"create role {user} login",
        f"do $$ begin execute 'grant usage on schema ' || current_schema() || ' to {user}'; end $$",
        *(f"{grant} {user}" for grant in grants),
        "select current_schema()",
    )
    known = conninfo_to_dict(shop.url)
    words = {"user": user, "host": str(known["host"]), "options": f"-csearch_path={schema}"}
    return shop.target(url=f"postgresql:///{known['dbname']}?{urlencode(words)}")


# --- upsert --------------------------------------------------------------------------------------


def test_a_row_with_a_known_key_takes_the_place_of_the_old_one(shop: Database) -> None:
    shop.execute(
        "create table t (a integer, b varchar(5), v varchar(9), kept integer default 1, primary key (a, b))",
        "insert into t values (1, 'x', 'old', 7), (2, 'x', 'stays', 7)",
    )
    rows = [(1, "x", "new"), (3, "x", "first")], [(3, "x", "last"), (4, "y", None), (4, "y", "later")]
    assert append(shop, "t", *rows, names=["a", "b", "v"], key=["a", "b"]) == 5
    assert shop.execute("select a, b, v, kept from t order by a") == [
        (1, "x", "new", 7),
        (2, "x", "stays", 7),
        (3, "x", "last", 1),
        (4, "y", "later", 1),
    ]


def test_a_table_of_keys_alone_takes_each_once(shop: Database) -> None:
    shop.execute("create table t (a integer primary key)", "insert into t values (1)")
    append(shop, "t", [(1,), (2,), (2,)], key=["a"])
    assert shop.execute("select a from t order by a") == [(1,), (2,)]


@KNOWN
def test_a_key_that_nothing_makes_unique_is_refused(shop: Database) -> None:
    shop.execute("create table t (a integer, b integer)")
    with pytest.raises(LoadError, match="no unique index says") as caught:
        append(shop, "t", [(1, 2)], key=["a"])
    assert "UNIQUE" in str(caught.value.hint)


def test_another_unique_column_is_not_taken_for_the_key(shop: Database) -> None:
    shop.execute("create table t (a integer primary key, b integer unique)", "insert into t values (1, 10)")
    with pytest.raises(LoadError):
        append(shop, "t", [(2, 10)], key=["a"])
    assert shop.execute("select a, b from t") == [(1, 10)]
    append(shop, "t", [(1, 11), (2, 10)], key=["a"])
    assert shop.execute("select a, b from t order by a") == [(1, 11), (2, 10)]


# --- each database's own --------------------------------------------------------------------------


def load_texts(shop: Database, **texts: str | None) -> None:
    """One row of a file, each value read for its column of table t."""
    with shop.target().begin() as loading:
        columns = chosen(loading, "t", *texts)
        arrays = [read_as(text, column).slice(0, 1) for text, column in zip(texts.values(), columns, strict=True)]
        loading.append("t", columns, [pa.RecordBatch.from_arrays(arrays, names=list(texts))])
        loading.commit()


@pytest.mark.parametrize(
    ("declared", "text", "shown"),
    [
        ("integer[]", "[1,null,-3]", "{1,NULL,-3}"),
        ("integer[]", "{4,5}", "{4,5}"),
        ("integer[]", "[2:3]={4,5}", "[2:3]={4,5}"),
        ("integer[][]", "[[1,2],[3,4]]", "{{1,2},{3,4}}"),
        ("text[]", '["a b","c\\"d","NULL",null,"\\\\",""]', '{"a b","c\\"d","NULL",NULL,"\\\\",""}'),
        ("numeric[]", "[1.10,12345678901234567890.123]", "{1.10,12345678901234567890.123}"),
        ("boolean[]", "[true,false]", "{t,f}"),
        ("jsonb[]", '[{"a":1.50},"x",[1]]', '{"{\\"a\\": 1.50}","\\"x\\"",[1]}'),
        ("positive", "5", "5"),
        ("mood", "happy", "happy"),
        ("numeric", "nan", "NaN"),
        ("numeric", "-inf", "-Infinity"),
        ("double precision", "inf", "Infinity"),
        ("real", "nan", "NaN"),
        ("interval", "P-1Y-2M", "-1 years -2 mons"),
        ("interval", "PT0.000001S", "00:00:00.000001"),
        ("inet", "10.0.0.1/8", "10.0.0.1/8"),
        ("int4range", "[1,5)", "[1,5)"),
        ("bit(3)", "101", "101"),
        ("integer", "-2147483648", "-2147483648"),
        ("real", "-inf", "-Infinity"),
        ("real", "3.4028235e38", "3.4028235e+38"),
        ("float8", "1e300", "1e+300"),
        ("char(3)", "ab", "ab"),
        ("timetz", "01:02:03+02", "01:02:03+02"),
        ("timestamptz", "0001-01-01T00:00:00+00:00", "0001-01-01 00:00:00+00"),
        ("date", "9999-12-31", "9999-12-31"),
    ],
)
def test_postgresql_has_types_of_its_own(postgresql_shop: Database, declared: str, text: str, shown: str) -> None:
    postgresql_shop.execute(
        "create domain small as integer", "create domain positive as small check (value > 0)",
        "create type mood as enum ('happy', 'sad')", f"create table t (v {declared})",
    )  # fmt: skip
    load_texts(postgresql_shop, v=text)
    assert postgresql_shop.execute("set time zone 'UTC'", "select v::text from t") == [(shown,)]


def test_a_view_that_takes_no_rows_says_what_to_name(postgresql_shop: Database) -> None:
    postgresql_shop.execute("create table b (v integer)", "create view t as select * from b")
    with pytest.raises(LoadError, match='cannot copy to view "t"') as caught:
        load_texts(postgresql_shop, v="1")
    assert "name the table behind it" in str(caught.value.hint)


def test_a_table_with_a_dot_in_its_name_is_shown_as_it_must_be_written(postgresql_shop: Database) -> None:
    postgresql_shop.execute('create table "a.b" (v integer)')
    with postgresql_shop.target().begin() as loading:
        with pytest.raises(LoadError) as caught:
            loading.columns("a.b")
        assert "'\"a.b\"'" in str(caught.value.hint)
        assert [column.name for column in loading.columns('"a.b"')] == ["v"]


def test_a_table_of_another_schema_is_shown_with_it(postgresql_shop: Database) -> None:
    # The first by its name: the other tests of this process have schemas in this database too.
    postgresql_shop.execute(
        "create schema alien", "create table alien.parts (v integer)", "create table part (v integer)"
    )
    try:
        with postgresql_shop.target().begin() as loading, pytest.raises(LoadError) as caught:
            loading.columns("parts")
    finally:
        postgresql_shop.execute("drop schema alien cascade")
    assert "its tables are: alien.parts, part" in str(caught.value.hint)


def wrong(shop: Database, declared: str, text: str) -> str:
    """Why a text cannot be read for such a column."""
    shop.execute(f"create table t (v {declared})")
    with shop.target().begin() as loading:
        (column,) = loading.columns("t")
    read = read_column(pa.array([text]), column.type, column, Options(kind="delimited"), ZoneInfo("UTC"))
    return read.wrong.get(0, "")


@pytest.mark.parametrize(
    ("declared", "text", "why"),
    [
        ("mood", "angry", "it is none of happy, sad"),
        ("numeric(5,2)", "inf", ""),
        ("timestamp(3)", "2026-11-22 01:02:03.0001", "a second has 3 decimals in the table"),
        ("time(0)", "01:02:03.5", "a second has 0 decimals"),
        ("varchar(3)", "abcd", "longer than 3"),
        ("smallint", "32768", "does not fit into smallint"),
        ("integer", "9" * 30, "does not fit into integer"),
        ("bigint", "-9223372036854775809", "does not fit into bigint"),
        ("real", "3.5e38", "does not fit into real"),
        ("real", "-1e-50", "does not fit into real"),
        ("text", "a\0b", r"cannot hold the character '\x00'"),
        ("positive", "0", ""),
    ],
)
def test_what_a_column_of_postgresql_cannot_hold(postgresql_shop: Database, declared: str, text: str, why: str) -> None:
    postgresql_shop.execute(
        "create type mood as enum ('happy', 'sad')", "create domain positive as integer check (value > 0)"
    )
    assert why in wrong(postgresql_shop, declared, text)
    if not why:  # only the database itself knows
        with pytest.raises(LoadError, match="Nothing was loaded"):
            load_texts(postgresql_shop, v=text)


@pytest.mark.parametrize(
    ("declared", "text", "why"),
    [
        ("enum('a','it''s')", "b", "it is none of a, it's"),
        ("datetime", "2026-11-22 01:02:03.5", "a second has 0 decimals"),
        ("tinyint", "128", "does not fit into tinyint"),
        ("tinyint unsigned", "256", "does not fit into tinyint"),
        ("tinyint unsigned", "-1", "does not fit into tinyint"),
        ("bigint unsigned", "18446744073709551616", "does not fit into bigint"),
        ("float", "3.5e38", "does not fit into float"),
        ("bit(8)", "5", "no value of bit(8)"),
        ("bit(3)", "1010", "no value of bit(3)"),
        ("bit(3)", "", "no value of bit(3)"),
        ("tinytext", "\u00e9" * 128, "longer than 255 bytes"),
        ("decimal(4,2)", "1.234", "more than 2 decimals"),
        ("text", "x" * 70_000, "longer than 65,535 bytes"),
        ("timestamp null", "2039-01-01T00:00:00+00:00", ""),
    ],
)
def test_what_a_column_of_mariadb_cannot_hold(mariadb_shop: Database, declared: str, text: str, why: str) -> None:
    assert why in wrong(mariadb_shop, declared, text)
    if not why:
        with pytest.raises(LoadError, match="Nothing was loaded"):
            load_texts(mariadb_shop, v=text)


@pytest.mark.parametrize(
    ("declared", "text", "shown"),
    [
        ("tinyint unsigned", "255", "255"),
        ("bigint unsigned", "18446744073709551615", "18446744073709551615"),
        ("tinytext", "\u00e9" * 127, "\u00e9" * 127),
        ("bit(8)", "00110101", "5"),
        ("float", "3e38", "3e38"),
    ],
)
def test_what_a_column_of_mariadb_just_holds(mariadb_shop: Database, declared: str, text: str, shown: str) -> None:
    mariadb_shop.execute(f"create table t (v {declared})")
    load_texts(mariadb_shop, v=text)
    assert mariadb_shop.execute("select convert(v, char) from t") == [(shown,)]


@pytest.mark.parametrize(("declared", "text"), [("real", "nan"), ("decimal(30,2)", "12345678901234567890.12")])
def test_what_sqlite_would_change_is_refused(sqlite_shop: Database, declared: str, text: str) -> None:
    sqlite_shop.execute(f"create table t (v {declared})")
    with pytest.raises(LoadError, match="row 1, column 'v'"):
        load_texts(sqlite_shop, v=text)
