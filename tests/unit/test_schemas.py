"""The JSON Schemas say what the loader accepts, in words that an editor can show."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from batchxfer import wiring
from batchxfer.config import OptionModels
from batchxfer.definitions import Config, FormatOptions
from batchxfer.schemas import schemas

Schema = dict[str, Any]


@pytest.fixture(scope="module")
def models() -> OptionModels:
    return wiring.option_models()


@pytest.fixture(scope="module")
def made(models: OptionModels) -> dict[str, Schema]:
    return schemas(models)


def nodes(schema: Any) -> Iterator[Schema]:
    """Every schema inside a schema, itself too."""
    if isinstance(schema, list):
        for item in schema:
            yield from nodes(item)
    elif isinstance(schema, dict):
        yield schema
        for key, value in schema.items():
            if key in ("properties", "definitions"):
                for body in value.values():
                    yield from nodes(body)
            elif key not in ("default", "examples", "enum", "const"):
                yield from nodes(value)


def test_there_is_one_for_each_kind_of_file_and_it_is_json(made: dict[str, Schema]) -> None:
    assert list(made) == ["config", "job", "format"]
    assert json.loads(json.dumps(made)) == made


@pytest.mark.parametrize("name", ["config", "job", "format"])
def test_every_reference_is_answered_in_the_same_document(made: dict[str, Schema], name: str) -> None:
    used = {node["$ref"] for node in nodes(made[name]) if "$ref" in node}
    assert used == {f"#/definitions/{key}" for key in made[name]["definitions"]}


@pytest.mark.parametrize("name", ["config", "job", "format"])
def test_every_key_is_described(made: dict[str, Schema], name: str) -> None:
    for node in nodes(made[name]):
        for key, body in node.get("properties", {}).items():
            told = "description" in body or "$ref" in body or key in ("kind", "protocol")
            assert told, f"{name}: {key}"


@pytest.mark.parametrize("name", ["config", "job", "format"])
def test_unknown_keys_are_refused_and_null_is_no_value(made: dict[str, Schema], name: str) -> None:
    for node in nodes(made[name]):
        assert node.get("type") != "null"
        assert "title" not in node or node is made[name]
        if "properties" in node:
            assert node["additionalProperties"] is False


def test_the_keys_are_those_of_the_models(made: dict[str, Schema], models: OptionModels) -> None:
    assert set(made["config"]["properties"]) == set(Config.model_fields)
    sftp = made["config"]["definitions"]["sftp"]
    assert set(sftp["properties"]) == set(models.endpoints["sftp"].model_fields)
    column = made["format"]["definitions"]["FormatColumn"]["properties"]
    assert "as" in column
    assert "as_" not in column
    assert set(FormatOptions.model_fields) <= set(made["format"]["definitions"]["delimited"]["properties"])


def test_an_endpoint_is_one_of_the_protocols(made: dict[str, Schema]) -> None:
    choices = made["config"]["properties"]["endpoints"]["additionalProperties"]["oneOf"]
    assert choices == [{"$ref": "#/definitions/local"}, {"$ref": "#/definitions/sftp"}]
    sftp = made["config"]["definitions"]["sftp"]
    assert sftp["properties"]["protocol"]["const"] == "sftp"
    assert sftp["required"] == ["host", "protocol", "user"]


def test_a_format_is_one_of_the_kinds(made: dict[str, Schema]) -> None:
    kinds = {
        made["format"]["definitions"][ref["$ref"].rpartition("/")[2]]["properties"]["kind"]["const"]
        for ref in made["format"]["oneOf"]
    }
    assert kinds == {"delimited", "key-value", "json-lines", "fixed-width", "lines"}


def test_a_job_is_a_push_or_a_pull_without_a_name(made: dict[str, Schema]) -> None:
    push, pull = made["job"]["definitions"]["push"], made["job"]["definitions"]["pull"]
    assert "name" not in push["properties"]
    assert push["required"] == ["file", "source"]
    assert pull["required"] == ["direction", "file"]
    assert {"stable_for", "expect", "then", "move_to", "into"} <= set(
        made["job"]["definitions"]["PullFileOptions"]["properties"]
    )


def test_a_jobs_format_is_a_name_a_table_or_a_changed_base(made: dict[str, Schema]) -> None:
    name, table, changed = made["job"]["definitions"]["FileOptions"]["properties"]["format"]["anyOf"]
    assert name == {"type": "string"}
    assert len(table["oneOf"]) == 5
    assert changed["required"] == ["base"]
    assert {"base", "kind", "delimiter", "width_unit", "columns"} <= set(changed["properties"])


def test_defaults_are_written_as_the_toml_has_them(made: dict[str, Schema]) -> None:
    config, job = made["config"]["properties"], made["job"]["definitions"]
    assert config["keep_artifacts"]["default"] == "90d"
    assert config["timezone"]["default"] == "UTC"
    assert job["Retry"]["properties"]["after"]["default"] == ["5m", "15m"]
    assert job["Schedule"]["properties"]["date_offset"]["default"] == "0d"
    assert re.fullmatch(config["keep_artifacts"]["pattern"], "1h30m")
    assert not re.fullmatch(config["keep_artifacts"]["pattern"], "90")
