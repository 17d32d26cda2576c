"""A file into a table, and the table into a file again: the same bytes, for generated rows, on each database and codec."""

from __future__ import annotations

import importlib
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchxfer.decoding import Reading
from batchxfer.errors import ReadPatiently
from batchxfer.layout import Encoder
from batchxfer.ports import BadRecord
from tests.contracts.format_files import encode, options
from tests.contracts.test_codecs_oracle import TEXTS, VALUES
from tests.databases import Database, Mariadb, Postgresql, Sqlite
from tests.soak import examples

FORMATS: list[dict[str, Any]] = [
    {"kind": "delimited"},
    {"kind": "delimited", "delimiter": "||", "quote": "all", "null": "NULL", "line_ending": "crlf"},
    {"kind": "delimited", "header": False, "trailing_delimiter": True, "decimal_point": ",", "delimiter": ";"},
    {"kind": "key-value"},
    {"kind": "key-value", "separator": "; ", "assign": ": ", "null": "omit"},
    {"kind": "json-lines"},
    {"kind": "json-lines", "decimals": "string", "ascii": True},
    {"kind": "delimited", "timezone": "America/New_York", "bytes": "hex", "true": "Y", "false": "N"},
]
# A database's text and a codec's hold everything but these.
WORDS = TEXTS.map(lambda text: text.replace("\0", "").removeprefix("\ufeff"))
FINITE = VALUES["float"].filter(lambda value: value == value and abs(value) != float("inf"))
CENTS = st.integers(-(10**11), 10**11).map(lambda cents: format(Decimal(cents).scaleb(-2), "f"))
SMALL = st.integers(-(2**63), 2**63 - 1)

# For each type of a format: the column's type in the database, and values that it has.
COLUMNS: dict[type[Database], dict[str, tuple[str, Any]]] = {
    Postgresql: {
        "integer": ("bigint", SMALL),
        "decimal": ("numeric", VALUES["decimal"]),
        "float": ("double precision", VALUES["float"]),
        "boolean": ("boolean", st.booleans()),
        "date": ("date", VALUES["date"]),
        "time": ("time", VALUES["time"]),
        "timestamp": ("timestamp", VALUES["timestamp"]),
        "timestamptz": ("timestamptz", VALUES["timestamptz"]),
        "text": ("text", WORDS),
        "uuid": ("uuid", VALUES["uuid"]),
        "bytes": ("bytea", VALUES["bytes"]),
        "json": ("json", VALUES["json"]),
    },
    Mariadb: {
        "integer": ("bigint", SMALL),
        "decimal(20,2)": ("decimal(20,2)", CENTS),
        # The sign of a zero is lost where MariaDB reads a number's text.
        "float": ("double", FINITE.map(lambda value: value + 0.0)),
        "date": ("date", VALUES["date"]),
        "time": ("time(6)", VALUES["time"]),
        "timestamp": ("datetime(6)", VALUES["timestamp"]),
        "text": ("text", WORDS),
        "bytes": ("blob", VALUES["bytes"]),
    },
    Sqlite: {
        "integer": ("integer", SMALL),
        "decimal(13,2)": ("decimal(13,2)", CENTS),
        # SQLite keeps whole numbers as integers, which have no -0.
        "float": ("real", FINITE.map(lambda value: value + 0.0)),
        "boolean": ("boolean", st.booleans()),
        "date": ("date", VALUES["date"]),
        "time": ("time", VALUES["time"]),
        "timestamp": ("timestamp", VALUES["timestamp"]),
        "text": ("text", WORDS),
        "bytes": ("blob", VALUES["bytes"]),
        "uuid": ("uuid", VALUES["uuid"]),
    },
}


@st.composite
def tables(draw: st.DrawFn, kind: type[Database]) -> tuple[dict[str, str], list[list[Any]]]:
    """Columns (name → type of the format) and rows."""
    kinds = draw(st.lists(st.sampled_from(sorted(COLUMNS[kind])), min_size=2, max_size=5))
    row = st.tuples(*[st.none() | COLUMNS[kind][each][1] for each in kinds]).map(list)
    return {f"c{number}": each for number, each in enumerate(kinds)}, draw(st.lists(row, min_size=1, max_size=6))


def load(shop: Database, table: dict[str, Any], data: bytes, *, patient: bool = False) -> None:
    decoder = importlib.import_module(f"batchxfer.codec.{table['kind'].replace('-', '_')}").Decoder
    with shop.target().begin() as loading:
        columns = loading.columns("t")
        read = Reading([data], options(table), decoder, columns, naive_zone=ZoneInfo("UTC"), patient=patient)
        batches = []
        for item in read:
            assert not isinstance(item, BadRecord), item
            batches.append(item)
        loading.append("t", read.columns, batches)
        loading.commit()


def written(shop: Database, table: dict[str, Any]) -> bytes:
    codec = importlib.import_module(f"batchxfer.codec.{table['kind'].replace('-', '_')}").Codec
    result = shop.read("select * from t")
    encoder = Encoder(options(table), codec, result.columns, {}, naive_zone=ZoneInfo("UTC"))
    body = encoder.begin()
    for batch in result.batches:
        assert isinstance(batch, pa.RecordBatch)
        body += bytes(encoder.encode(batch))
    return body + encoder.end()


@pytest.mark.soak
@pytest.mark.parametrize("kind", list(COLUMNS), ids=lambda kind: kind.__name__.lower())
def test_what_is_loaded_is_written_again_as_it_was(kind: type[Database], request: pytest.FixtureRequest) -> None:
    shop: Database = request.getfixturevalue(f"{kind.__name__.lower()}_shop")

    @examples(12, 5000)
    @given(st.sampled_from(FORMATS), tables(kind))
    def there_and_back(plain: dict[str, Any], made: tuple[dict[str, str], list[list[Any]]]) -> None:
        columns, rows = made
        # SQLite's results have no types, and MariaDB's decimals their own: the format says them.
        table = {**plain, "columns": [{"name": name, "type": each} for name, each in columns.items()]}
        declared = ", ".join(f"{name} {COLUMNS[kind][each][0]}" for name, each in columns.items())
        shop.execute("drop table if exists t", f"create table t ({declared})")
        data = encode(table, columns, rows)
        try:
            load(shop, table, data)
        except ReadPatiently:
            load(shop, table, data, patient=True)
        assert written(shop, table) == data

    there_and_back()
