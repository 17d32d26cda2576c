"""JSON Schemas of the TOML files (draft 2020-12), with the keys of every adapter that is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from batchxfer.config import OptionModels
from batchxfer.definitions import Config, Job, PullJob

DRAFT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]


def config_schema(models: OptionModels) -> Schema:
    """config.toml: an endpoint has the keys of its protocol."""
    parts, definitions = _schemas([Config, *models.endpoints.values()])
    config, endpoints = parts[0], dict(zip(models.endpoints, parts[1:], strict=True))
    config_table = _resolved(config, definitions)
    config_table["properties"]["endpoints"]["additionalProperties"] = _one_of(endpoints, "protocol", definitions)
    return _document(config_table, definitions, "batchxfer: config.toml")


def format_schema(models: OptionModels) -> Schema:
    """formats/NAME.toml: the keys of its kind."""
    parts, definitions = _schemas(list(models.formats.values()))
    kinds = dict(zip(models.formats, parts, strict=True))
    return _document(_one_of(kinds, "kind", definitions), definitions, "batchxfer: formats/NAME.toml")


def job_schema(models: OptionModels) -> Schema:
    """jobs/NAME.toml: push, or pull where `direction` says so."""
    parts, definitions = _schemas([Job, PullJob])
    jobs = dict(zip(("push", "pull"), parts, strict=True))
    for part in parts:
        table = _resolved(part, definitions)
        # The name is the file's, not a key.
        table["properties"].pop("name")
        table["required"] = [key for key in table.get("required", ()) if key != "name"]
    return _document(_one_of(jobs, "direction", definitions, default="push"), definitions, "batchxfer: jobs/NAME.toml")


def _schemas(models: Sequence[type[BaseModel]]) -> tuple[list[Schema], dict[str, Schema]]:
    """A reference for each model, and the definitions that they share."""
    made, whole = models_json_schema([(model, "validation") for model in models], by_alias=True)
    return [made[(model, "validation")] for model in models], whole.get("$defs", {})


def _resolved(reference: Schema, definitions: dict[str, Schema]) -> Schema:
    """The table itself, which may be one of the definitions."""
    name = reference.get("$ref", "").rpartition("/")[2]
    return definitions[name] if name else reference


def _one_of(
    choices: Mapping[str, Schema], key: str, definitions: dict[str, Schema], *, default: str | None = None
) -> Schema:
    """A table whose `key` says which of the choices it is."""
    branches = []
    for value, reference in choices.items():
        table = _resolved(reference, definitions)
        table["properties"][key] = {**table["properties"].get(key, {}), "const": value}
        branches.append(
            {
                "if": {"properties": {key: {"const": value}}, "required": [] if value == default else [key]},
                "then": reference,
            }
        )
    return {
        "type": "object",
        "properties": {key: {"enum": list(choices)}},
        "required": [] if default else [key],
        "allOf": branches,
    }


def _document(table: Schema, definitions: dict[str, Schema], title: str) -> Schema:
    """A schema that stands alone."""
    used = {name: body for name, body in definitions.items() if body is not table}
    return {"$schema": DRAFT, **table, "title": title, **({"$defs": used} if used else {})}
