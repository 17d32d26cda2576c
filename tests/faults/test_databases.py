"""A database that goes away, says no, or stops answering in the middle of a query: what came of it is never sent, and never
looks like an empty result; the next attempt queries again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa
import pytest

from batchxfer.errors import DatabaseUnavailable
from tests.databases import Database, Mariadb, Postgresql
from tests.e2e.command import CONFIG, Project, Said, make_project
from tests.servers.rows import FIN, FREEZE, RST, RowLine, rows_from

ROWS = 3000
SOON = 30.0
RUN = ("run", "daily", "--slot", "2026-11-20T05:00:00+01:00", "--json")
NUMBERS = {
    "postgresql": f"select i, repeat('x', 100) as x, 'row-' || 'mark-' || i as mark from generate_series(1, {ROWS}) i",
    "mariadb": f"select seq as i, repeat('x', 100) as x, concat('row-', 'mark-', seq) as mark from seq_1_to_{ROWS}",
}
EXPECTED = "i|x|mark\n" + "".join(f"{i}|{'x' * 100}|row-mark-{i}\n" for i in range(1, ROWS + 1))


def kind_of(shop: Database) -> str:
    return "postgresql" if isinstance(shop, Postgresql) else "mariadb"


def socket_of(shop: Database) -> str:
    if isinstance(shop, Mariadb):
        return shop.socket
    folder = parse_qs(urlsplit(shop.url).query)["host"][0]
    return f"{folder}/.s.PGSQL.5432"


@dataclass
class Shop:
    """A project that sends what a query finds in `database`."""

    database: Database
    project: Project

    def reach(self, line: RowLine | None = None, **options: str) -> None:
        """By the line, or past every one."""
        url = self.database.url
        if line is not None and isinstance(self.database, Mariadb):
            url = f"mysql+pymysql://root@127.0.0.1:{line.port}/{self.database.name}"
        elif line is not None:
            parts = urlsplit(url)
            query = "&".join(part for part in parts.query.split("&") if not part.startswith("host="))
            url = f"postgresql://postgres@127.0.0.1:{line.port}{parts.path}?sslmode=disable&{query}"
        self.project.environment["SHOP"] = url
        lines = "".join(f'{key} = "{value}"\n' for key, value in options.items())
        self.project.write(
            "config.toml", CONFIG.replace('url = "sqlite:///shop.db"', 'url = { env = "SHOP" }\n' + lines)
        )

    def asks(self, query: str, more: str = "") -> None:
        job = f'[schedule]\ncron = "0 5 * * *"\n[source]\ndatabase = "shop"\nquery = """{query}"""\n'
        self.project.job(
            "daily", job + f'[file]\nformat = "psv"\nendpoint = "out"\npath = "{{business_date:%Y%m%d}}.psv"\n{more}'
        )

    def run(self) -> Said:
        begun = time.monotonic()
        said = self.project(*RUN)
        assert time.monotonic() - begun < SOON
        return said

    def retry(self, said: Said) -> Said:
        return self.project("retry", said.run["run"], "--json")

    def check_failed(self, said: Said, code: int, *words: str) -> None:
        assert said.code == code, said
        assert said.run["artifact"] is None
        assert self.project.delivered() == {}
        assert list((self.project.folder / "var/spool").glob("*/*.part*")) == []
        for word in words:
            assert word in said.run["reason"], said
        assert ours() == []


def ours() -> list[str]:
    names = ("database", "postgresql", "batchxfer")
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(names)]


@pytest.fixture(params=["postgresql", "mariadb"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
    database = request.getfixturevalue(f"{request.param}_shop")
    project = make_project(tmp_path / "project")
    (project.folder / "jobs/by-hand.toml").unlink()
    shop = Shop(database, project)
    shop.reach()
    shop.asks(NUMBERS[request.param])
    return shop


@pytest.fixture
def sessions(shop: Shop) -> Callable[[], int]:
    """How many sessions of ours the server has, beside those that were there before: a ledger that many tests share."""
    if isinstance(shop.database, Mariadb):
        text = "select id from information_schema.processlist where db = database() and id != connection_id()"
    else:
        text = "select pid from pg_stat_activity where application_name = 'batchxfer' and datname = current_database()"
    before = set(shop.database.execute(text))
    return lambda: len(set(shop.database.execute(text)) - before)


def until_none(sessions: Callable[[], int]) -> None:
    end = time.monotonic() + 10
    while sessions():
        assert time.monotonic() < end, "a session was left open"
        time.sleep(0.05)


@pytest.mark.parametrize(("rows", "how"), [(0, RST), (1, FIN), (1000, FIN), (1001, RST), (ROWS - 1, FIN), (ROWS, FIN)])
def test_a_line_that_breaks_after_any_row_gives_no_file(
    shop: Shop, sessions: Callable[[], int], rows: int, how: str
) -> None:
    """After the last row too: that it was the last is what was not heard."""
    with rows_from(socket_of(shop.database), rows, how) as line:
        shop.reach(line)
        said = shop.run()
        assert line.reached, said
        shop.check_failed(said, 3)
    until_none(sessions)
    shop.reach()
    assert shop.retry(said).code == 0
    assert shop.project.delivered() == {"20261120.psv": EXPECTED}


@pytest.mark.parametrize("rows", [0, 1001])
def test_a_database_that_stops_answering_is_ended(shop: Shop, rows: int) -> None:
    """The network takes what is sent, and the server's own timeout ends nothing where nobody hears it."""
    with rows_from(socket_of(shop.database), rows, FREEZE) as line:
        shop.reach(line, statement_timeout="1s", connect_timeout="1s")
        said = shop.run()
        assert line.reached
        shop.check_failed(said, 3)
    shop.reach()
    assert shop.retry(said).code == 0
    assert shop.project.delivered() == {"20261120.psv": EXPECTED}


@pytest.mark.parametrize("shop", ["postgresql", "mariadb"], indirect=True)
def test_a_database_that_stops_answering_while_a_file_is_loaded_is_ended(shop: Shop) -> None:
    shop.database.execute("create table t (i bigint)")
    with rows_from(socket_of(shop.database)) as line:
        shop.reach(line)
        options = {"statement_timeout": timedelta(seconds=1), "connect_timeout": timedelta(seconds=1)}
        target = shop.database.target(url=shop.project.environment["SHOP"], **options)
        started = time.monotonic()
        with pytest.raises(DatabaseUnavailable) as caught, target.begin() as loading:  # noqa: PT012
            columns = loading.columns("t")
            line.freeze()
            loading.append("t", columns, [pa.record_batch({"i": pa.array([1, 2])})])
        assert time.monotonic() - started < SOON
        if isinstance(shop.database, Postgresql):
            assert "stopped answering, and was waited for longer than statement_timeout" in caught.value.message
    assert shop.database.execute("select count(*) from t") == [(0,)]
    assert ours() == []


# What a server says while the query runs: whether trying again may help.
SAID = {
    "postgresql": {"40001": 3, "40P01": 3, "55P03": 3, "53300": 3, "57P01": 3, "08006": 3, "22012": 1, "42501": 1},
    "mariadb": {1213: 3, 1205: 3, 1040: 3, 1053: 3, 1927: 3, 1365: 1, 1142: 1},
}
BOOM = {
    "postgresql": "create function boom(code text) returns int language plpgsql as "
    "$$ begin raise exception 'on purpose' using errcode = code; end $$",
    "mariadb": "create function boom(code int) returns int "
    "begin signal sqlstate '45000' set mysql_errno = code, message_text = 'on purpose'; return 1; end",
}
WITH_BOOM = {
    "postgresql": "select i, case when i = 2500 then boom('{code}') else i end as n from generate_series(1, 3000) i",
    "mariadb": "select seq as i, if(seq = 2500, boom({code}), seq) as n from seq_1_to_3000",
}


def test_what_the_server_says_in_the_middle_decides_whether_it_is_tried_again(shop: Shop) -> None:
    kind = kind_of(shop.database)
    shop.database.execute(BOOM[kind])
    for day, (code, expected) in enumerate(SAID[kind].items(), 1):
        shop.asks(WITH_BOOM[kind].format(code=code))
        said = shop.project("run", "daily", "--slot", f"2026-10-{day:02}T05:00:00+02:00", "--json")
        assert "on purpose" in said.out, (code, said)
        shop.check_failed(said, expected)
    shop.asks(NUMBERS[kind])
    assert shop.retry(said).code == 0
    assert list(shop.project.delivered().values()) == [EXPECTED]


LOCKED = {
    "postgresql": ("lock table t in access exclusive mode", "select i from t"),
    "mariadb": ("lock tables t write", "select i from t"),
}


def test_a_table_that_somebody_locks_is_tried_again(shop: Shop) -> None:
    kind = kind_of(shop.database)
    lock, query = LOCKED[kind]
    shop.database.execute("create table t (i int)", "insert into t values (7)")
    shop.asks(query)
    shop.reach(statement_timeout="1s")
    with begun(shop.database) as cursor:
        cursor.execute(lock)
        said = shop.run()
        shop.check_failed(said, 3)
    assert shop.retry(said).code == 0
    assert shop.project.delivered() == {"20261120.psv": "i\n7\n"}


@contextmanager
def begun(database: Database) -> Iterator[Any]:
    """A transaction of somebody else's."""
    if isinstance(database, Mariadb):
        import pymysql

        with pymysql.connect(unix_socket=database.socket, user="root", database=database.name) as connection:
            yield connection.cursor()
        return
    import psycopg

    with psycopg.connect(database.url) as connection:
        yield connection
        connection.rollback()


def test_a_session_that_is_killed_in_the_middle_is_tried_again(shop: Shop) -> None:
    """As the restart of a server does it."""
    kind = kind_of(shop.database)
    kill = {
        "postgresql": "select i, case when i = 2500 then pg_terminate_backend(pg_backend_pid())::int else i end as n"
        " from generate_series(1, 3000) i",
        "mariadb": "select seq as i, if(seq = 2500, die(), seq) as n from seq_1_to_3000",
    }
    if kind == "mariadb":
        shop.database.execute("create function die() returns int begin kill connection_id(); return 1; end")
    shop.asks(kill[kind])
    said = shop.run()
    shop.check_failed(said, 3)
    shop.asks(NUMBERS[kind])
    assert shop.retry(said).code == 0
    assert shop.project.delivered() == {"20261120.psv": EXPECTED}


def test_a_value_that_the_server_cut_is_never_sent(shop: Shop) -> None:
    """MariaDB gives the beginning of a long GROUP_CONCAT, and a warning."""
    if kind_of(shop.database) != "mariadb":
        return
    shop.asks("select group_concat(repeat('x', 100000)) as x from seq_1_to_100")
    said = shop.run()
    shop.check_failed(said, 1, "the server cut a value", "warning 1260")


def test_a_column_that_changes_its_type_far_down_is_never_sent(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    query = "with recursive c(i) as (select 1 union all select i + 1 from c where i < 50000) "
    query += "select i, case when i = 49999 then 'x' else i end as n from c"
    project.job(
        "daily",
        f'[schedule]\ncron = "0 5 * * *"\n[source]\ndatabase = "shop"\nquery = "{query}"\n'
        '[file]\nformat = "psv"\nendpoint = "out"\npath = "{business_date:%Y%m%d}.psv"\n',
    )
    said = project(*RUN)
    assert said.code == 1, said
    assert "row 49,999, column 'n'" in said.run["reason"] or "row 49999, column 'n'" in said.run["reason"]
    assert project.delivered() == {}
