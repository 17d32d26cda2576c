"""The examples of docs/formats.md and docs/adding-a-codec.md are run."""

from __future__ import annotations

import re
import tomllib
from ast import literal_eval
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from batchxfer.layout import Encoder
from tests.contracts.format_files import batches, column, encode, problems

DOCS = Path(__file__).resolve().parents[2] / "docs"
EXAMPLES = re.findall(
    r"```toml\n(.*?)```\n\n```(text|bytes)\n(.*?)```", (DOCS / "formats.md").read_text("utf-8"), re.DOTALL
)

COLUMNS = {"id": "integer", "name": "text", "amount": "decimal(12,2)", "paid": "boolean", "at": "timestamptz"}
ROWS: list[list[Any]] = [
    [1, "Kim, Min", "12.50", True, datetime(2026, 11, 22, 16, 2, 3, 500000, tzinfo=UTC)],
    [2, "", "-0.01", False, None],
    [3, None, None, None, datetime(2026, 11, 22, 16, 2, 3, tzinfo=UTC)],
]
FACTS = {"job": "orders", "business_date": date(2026, 11, 22), "run": "01J8"}


@pytest.mark.parametrize(("toml", "kind", "shown"), EXAMPLES)
def test_an_example_of_the_page_on_formats_is_what_comes_out(toml: str, kind: str, shown: str) -> None:
    table = tomllib.loads(toml)
    assert problems(table) == []
    written = encode(table, COLUMNS, ROWS, facts=FACTS)
    if kind == "bytes":
        assert written == b"".join(literal_eval(line) for line in shown.splitlines())
    else:
        assert written.decode(table.get("encoding", "utf-8")) == shown


def test_the_page_on_formats_shows_every_key() -> None:
    text = (DOCS / "formats.md").read_text("utf-8")
    for kind in ("delimited", "key-value", "json-lines", "fixed-width", "lines"):
        module = __import__(f"batchxfer.codec.{kind.replace('-', '_')}", fromlist=["Options"])
        for key in module.Options.model_fields:
            assert f"`{key}" in text or f"\n{key} = " in text, key


def test_the_smallest_codec_of_the_page_on_codecs_works() -> None:
    (program,) = re.findall(r"```python\n(.*?)```", (DOCS / "adding-a-codec.md").read_text("utf-8"), re.DOTALL)
    module: dict[str, Any] = {"__name__": "tsv"}
    exec(compile(program, "tsv.py", "exec", dont_inherit=True), module)
    options = module["Options"].model_validate({"kind": "tsv"})
    encoder = Encoder(options, module["Codec"], (column("a", "integer"), column("b", "text")), {})
    (batch,) = batches(["a", "b"], ["integer", "text"], [[1, "x"], [None, "y z"]], [5])
    assert encoder.begin() + bytes(encoder.encode(batch)) + encoder.end() == b"a\tb\n1\tx\n\ty z\n"
