"""docs/configuration.md names every key of the models, with its default, and no other."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from batchxfer import definitions as d
from batchxfer import wiring
from batchxfer.definitions import Table
from batchxfer.paths import PATH_FIELDS

PAGE = (Path(__file__).parents[2] / "docs/configuration.md").read_text(encoding="utf-8")
MODELS = wiring.option_models()
SFTP, LOCAL = MODELS.endpoints["sftp"], MODELS.endpoints["local"]
TABLES: dict[str, tuple[type[Table], type[Table] | None]] = {
    "config.toml": (d.Config, None),
    "`[databases.NAME]`": (d.DatabaseOptions, None),
    "`[endpoints.NAME]`": (d.EndpointOptions, None),
    '`[endpoints.NAME]` with `protocol = "sftp"`': (SFTP, d.EndpointOptions),
    '`[endpoints.NAME]` with `protocol = "local"`': (LOCAL, d.EndpointOptions),
    "`[calendars.NAME]`": (d.Calendar, None),
    "`[[notify]]`": (d.Notice, None),
    "jobs/NAME.toml": (d.Job, None),
    "`[schedule]`": (d.Schedule, None),
    "`[source]`": (d.SourceQuery, None),
    "`[guard]`": (d.Guard, None),
    "`[file]`": (d.FileOptions, None),
    "`[retry]`": (d.Retry, None),
    "`[file]` of pull jobs": (d.PullFileOptions, None),
    "`[load]` of pull jobs": (d.LoadOptions, None),
    "formats/NAME.toml": (d.FormatOptions, None),
    "`[[columns]]`": (d.FormatColumn, None),
    **{f'`kind = "{kind}"`': (model, d.FormatOptions) for kind, model in MODELS.formats.items() if kind != "lines"},
}


def rows(heading: str) -> dict[str, str]:
    """The keys of the first table under a heading, with what stands in the default column."""
    body = re.split(rf"^##+ {re.escape(heading)}$", PAGE, flags=re.MULTILINE)[1]
    body = re.split(r"^##", body, flags=re.MULTILINE)[0]
    return {key: default.strip() for key, default in re.findall(r"^\| `([a-z_]+)` \|(.*?)\|", body, re.MULTILINE)}


def fields(model: type[Table], common: type[Table] | None) -> dict[str, FieldInfo]:
    hidden = set(common.model_fields) if common else {"name"} if model is d.Job else set()
    return {info.alias or name: info for name, info in model.model_fields.items() if name not in hidden}


@pytest.mark.parametrize("heading", TABLES)
def test_a_table_of_the_page_has_the_models_keys(heading: str) -> None:
    assert list(rows(heading)) == list(fields(*TABLES[heading]))


@pytest.mark.parametrize("heading", TABLES)
def test_a_default_on_the_page_is_the_models(heading: str) -> None:
    for key, info in fields(*TABLES[heading]).items():
        told = rows(heading)[key]
        if info.is_required():
            assert told == "**required**", key
        elif not told:
            empty = info.get_default(call_default_factory=True)
            assert empty in (None, (), {}) or isinstance(empty, Table), key
        else:
            value = tomllib.loads(f"x = {told.strip('`')}")["x"]
            value = tuple(value) if isinstance(value, list) else value
            assert TypeAdapter(info.rebuild_annotation()).validate_python(value) == info.default, key


def test_a_kind_without_keys_is_said_to_have_none() -> None:
    assert not set(MODELS.formats["lines"].model_fields) - set(d.FormatOptions.model_fields)
    assert '`kind = "lines"` has no keys of its own' in PAGE


def test_every_name_of_a_path_is_explained() -> None:
    assert set(re.findall(r"^\| `([a-z_]+)` \|", PAGE.partition("## Templates")[2], re.MULTILINE)) == set(PATH_FIELDS)
