"""From each database, in each format, to two vendors' SFTP servers: the installed command, and bytes written out by hand."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import Database
from tests.e2e.command import Project
from tests.servers.openssh import OpenSSH, openssh_fixture  # noqa: F401
from tests.servers.partner import PASSWORD, Folder, Partner, serve

TYPES = {
    "postgresql": ("bigint", "numeric(12,2)", "varchar(40)", "date", "timestamp"),
    "mariadb": ("bigint", "decimal(12,2)", "varchar(40)", "date", "datetime(6)"),
    "sqlite": ("integer", "text", "text", "text", "text"),
}
ROWS = [
    "(1, '12.50', 'Ana García', '2026-11-22', '2026-11-22 09:30:00')",
    "(2, '-0.01', 'a|b \"c\", d=e', '2024-02-29', '2026-11-22 23:59:59.500000')",
    "(3, null, '', null, null)",
    "(9007199254740993, '1234567890.00', null, '1999-12-31', '2026-11-22 00:00:00')",
    "(5, '0.00', '김서연', '2026-01-01', '2026-11-23 00:00:00')",
]
QUERY = """
  select id, amount, name, day, at -- a comment with :no_parameter
  from orders
  where at >= :interval_start and at < :interval_end or at is null -- 'the last row is tomorrow''s'
  order by case when id > 100 then 4 else id end;
"""
COLUMNS = """
[[columns]]
name = "id"
[[columns]]
name = "amount"
type = "decimal(12,2)"
{amount}
[[columns]]
name = "name"
as = "customer"
{name}
[[columns]]
name = "day"
type = "date"
{day}
[[columns]]
name = "at"
type = "timestamp"
{at}
"""
NARROW = {"amount": "", "name": "", "day": "", "at": ""}
WIDE = {
    "amount": 'width = 14\nalign = "right"',
    "name": 'width = 10\noverflow = "cut"',
    "day": "width = 10",
    "at": "width = 26",
}
FORMATS = {
    "delimited": 'kind = "delimited"\ndelimiter = "|"\n'
    'header_record = "H|{job}|{business_date:%Y%m%d}|{rows:04}"\ntrailer_record = "T|{rows:08}|{sum[amount]:>14}"\n',
    "key-value": 'kind = "key-value"\n',
    "json-lines": 'kind = "json-lines"\n',
    "fixed-width": 'kind = "fixed-width"\nline_ending = "crlf"\n',
}
EXPECTED = {
    "delimited": "H|delimited|20261122|0004\n"
    "id|amount|customer|day|at\n"
    "1|12.50|Ana García|2026-11-22|2026-11-22T09:30:00\n"
    '2|-0.01|"a|b ""c"", d=e"|2024-02-29|2026-11-22T23:59:59.500000\n'
    '3||""||\n'
    "9007199254740993|1234567890.00||1999-12-31|2026-11-22T00:00:00\n"
    "T|00000004| 1234567902.49\n",
    "key-value": 'id=1 amount=12.50 customer="Ana García" day=2026-11-22 at=2026-11-22T09:30:00\n'
    'id=2 amount=-0.01 customer="a|b \\"c\\", d=e" day=2024-02-29 at=2026-11-22T23:59:59.500000\n'
    'id=3 amount= customer="" day= at=\n'
    "id=9007199254740993 amount=1234567890.00 customer= day=1999-12-31 at=2026-11-22T00:00:00\n",
    "json-lines": '{"id":1,"amount":12.50,"customer":"Ana García","day":"2026-11-22","at":"2026-11-22T09:30:00"}\n'
    '{"id":2,"amount":-0.01,"customer":"a|b \\"c\\", d=e","day":"2024-02-29","at":"2026-11-22T23:59:59.500000"}\n'
    '{"id":3,"amount":null,"customer":"","day":null,"at":null}\n'
    '{"id":9007199254740993,"amount":1234567890.00,"customer":null,"day":"1999-12-31","at":"2026-11-22T00:00:00"}\n',
    "fixed-width": "1                        12.50Ana García2026-11-222026-11-22T09:30:00       \r\n"
    '2                        -0.01a|b "c", d2024-02-292026-11-22T23:59:59.500000\r\n'
    f"3               {' ' * 60}\r\n"
    f"9007199254740993 1234567890.00{' ' * 10}1999-12-312026-11-22T00:00:00       \r\n",
}


@pytest.fixture
def orders(shop: Database, request: pytest.FixtureRequest) -> Database:
    kind = request.node.callspec.params["shop"]
    whole, amount, text, day, at = TYPES[kind.removesuffix("_elsewhere")]
    shop.execute(
        f"create table orders (id {whole}, amount {amount}, name {text}, day {day}, at {at})",
        *(f"insert into orders values {row}" for row in ROWS),
    )
    return shop


@pytest.fixture
def partner(tmp_path: Path) -> Iterator[Partner]:
    with serve(tmp_path / "partner", Folder) as server:
        yield server


@pytest.fixture
def project(tmp_path: Path, orders: Database, openssh: OpenSSH, partner: Partner) -> Project:
    """Both servers are the endpoints of each job."""
    folder = tmp_path / "project"
    (tmp_path / "openssh" / "in").mkdir(parents=True)
    (partner.root / "in").mkdir()
    project = Project(folder, {"PARTNER_PASSWORD": PASSWORD, "SHOP": orders.url})
    project.write(
        "config.toml",
        f"""
        [databases.shop]
        url = {{ env = "SHOP" }}
        timezone = "UTC"
        [endpoints.openssh]
        protocol = "sftp"
        host = "{openssh.host}"
        port = {openssh.port}
        user = "{openssh.user}"
        private_key = "{openssh.private_key}"
        host_key = ["{openssh.host_key()}"]
        root = "{tmp_path}/openssh"
        [endpoints.asyncssh]
        protocol = "sftp"
        host = "{partner.host}"
        port = {partner.port}
        user = "{partner.user}"
        password = {{ env = "PARTNER_PASSWORD" }}
        host_key = ["{partner.fingerprint}"]
        """,
    )
    for kind, text in FORMATS.items():
        widths = WIDE if kind == "fixed-width" else NARROW
        columns = COLUMNS.format(**widths)
        if kind == "fixed-width":
            columns = columns.replace('name = "id"', 'name = "id"\nwidth = 16')
        project.write(f"formats/{kind}.toml", text + columns)
        project.job(kind, job(kind))
    return project


def job(kind: str, more: str = "") -> str:
    return f"""
        [schedule]
        cron = "0 6 * * *"
        interval = "days"
        date_offset = "-1d"
        [source]
        database = "shop"
        query = '''{QUERY}'''
        [file]
        format = "{kind}"
        endpoints = ["openssh", "asyncssh"]
        path = "in/{{business_date:%Y}}/{kind}-{{business_date:%Y%m%d}}.txt"
        {more}
    """


def both(tmp_path: Path, name: str) -> list[bytes]:
    return [(tmp_path / server / "in/2026" / name).read_bytes() for server in ("openssh", "partner")]


def test_every_database_and_format_arrives_byte_for_byte_at_both_servers(project, tmp_path):
    assert project("check").code == 0
    for kind, expected in EXPECTED.items():
        said = project("run", kind, "--slot", "2026-11-23T06:00:00Z", "--json")
        assert said.code == 0, said
        rows, digest = 4, hashlib.sha256(expected.encode()).hexdigest()
        assert said.run["artifact"]["rows"] == rows
        assert said.run["artifact"]["sha256"] == digest
        assert [delivery["status"] for delivery in said.run["deliveries"]] == ["delivered", "delivered"]
        assert both(tmp_path, f"{kind}-20261122.txt") == [expected.encode()] * 2, kind


@pytest.mark.parametrize("shop", ["sqlite"], indirect=True)
def test_sidecars_come_with_the_file_and_compression_changes_no_name(project, tmp_path):
    sidecars = (
        'checksum_file = "{path}.sha256"\ndone_file = "{dir}/{stem}.done"\nverify = "readback"\ncompress = "gzip"'
    )
    project.job("json-lines", job("json-lines", sidecars))
    assert project("run", "json-lines", "--slot", "2026-11-23T06:00:00Z").code == 0
    first, second = both(tmp_path, "json-lines-20261122.txt")
    assert first == second
    assert gzip.decompress(first).decode() == EXPECTED["json-lines"]
    line = f"{hashlib.sha256(first).hexdigest()}  json-lines-20261122.txt\n".encode()
    assert both(tmp_path, "json-lines-20261122.txt.sha256") == [line] * 2
    assert both(tmp_path, "json-lines-20261122.done") == [b""] * 2
    assert sorted(path.name for path in (tmp_path / "partner/in/2026").iterdir()) == [
        "json-lines-20261122.done",
        "json-lines-20261122.txt",
        "json-lines-20261122.txt.sha256",
    ]


@pytest.mark.parametrize("shop", ["sqlite"], indirect=True)
def test_an_empty_result_is_sent_with_its_records(project, tmp_path):
    assert project("run", "delimited", "--slot", "2025-05-02T06:00:00Z").code == 0
    sent = (tmp_path / "openssh/in/2025/delimited-20250501.txt").read_text()
    # The row without a time is in every interval.
    assert sent == 'H|delimited|20250501|0001\nid|amount|customer|day|at\n3||""||\nT|00000001|          0.00\n'


@pytest.mark.parametrize("shop", ["sqlite"], indirect=True)
def test_the_same_slot_again_and_again_leaves_one_file(project, tmp_path):
    for _ in range(8):
        assert project("run", "key-value", "--slot", "2026-11-23T06:00:00Z").code == 0
    assert [path.name for path in (tmp_path / "openssh/in/2026").iterdir()] == ["key-value-20261122.txt"]
    (run,) = project("runs", "--json").document["runs"]
    assert [attempt["outcome"] for attempt in run["attempts"]] == ["built", "delivered", "delivered"]


@pytest.mark.parametrize("shop", ["sqlite"], indirect=True)
def test_a_partner_that_is_down_keeps_nobody_else_waiting(project, tmp_path, partner):
    config = (project.folder / "config.toml").read_text()
    project.write("config.toml", config.replace(f"port = {partner.port}", "port = 1"))
    said = project("run", "key-value", "--slot", "2026-11-23T06:00:00Z", "--json")
    assert said.code == 3
    assert [(d["endpoint"], d["status"]) for d in said.run["deliveries"]] == [
        ("openssh", "delivered"),
        ("asyncssh", "retrying"),
    ]
    assert (tmp_path / "openssh/in/2026/key-value-20261122.txt").read_text() == EXPECTED["key-value"]
    project.write("config.toml", config)
    assert project("retry", said.run["run"]).code == 0
    assert both(tmp_path, "key-value-20261122.txt") == [EXPECTED["key-value"].encode()] * 2
