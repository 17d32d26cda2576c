"""JSON Schemas of the TOML files, so that editors complete and check them.

Draft 7 with `oneOf`, which Taplo (Even Better TOML) reads best: an endpoint is one of the protocols, a format one of the
kinds, a job a push or a pull. Schemas check single keys; what depends on other keys or files is for `batchxfer check`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from batchxfer.config import OptionModels
from batchxfer.definitions import Config, Job, PullJob
from batchxfer.fields import DateOffset
from batchxfer.quantities import format_duration

DRAFT = "http://json-schema.org/draft-07/schema#"
Schema = dict[str, Any]


def schemas(models: OptionModels) -> dict[str, Schema]:
    """The schemas `config`, `job` and `format`, with the keys of every adapter in `models`."""
    return {"config": config_schema(models), "job": job_schema(models), "format": format_schema(models)}


def config_schema(models: OptionModels) -> Schema:
    """config.toml: an endpoint has the keys of its protocol."""
    tables = _tables({"config": Config, **models.endpoints})
    config = tables.table("config")
    config["properties"]["endpoints"]["additionalProperties"] = tables.choice("protocol", models.endpoints)
    return tables.document(config, "config.toml of batchxfer")


def format_schema(models: OptionModels) -> Schema:
    """formats/NAME.toml: the keys of its kind."""
    tables = _tables(models.formats)
    return tables.document(tables.choice("kind", models.formats), "formats/NAME.toml of batchxfer")


def job_schema(models: OptionModels) -> Schema:
    """jobs/NAME.toml: push, or pull where `direction` says so; its format a name, a table of a kind, or a changed base."""
    tables = _tables({"push": Job, "pull": PullJob, **models.formats})
    for direction in ("push", "pull"):
        # The name is the file's, not a key.
        job = tables.table(direction)
        del job["properties"]["name"]
        job["required"].remove("name")
    inline = [tables.choice("kind", models.formats), tables.changed_base(models.formats)]
    for file in ("FileOptions", "PullFileOptions"):
        chosen = tables.definitions[file]["properties"]["format"]
        chosen.pop("type", None)
        chosen["anyOf"] = [{"type": "string"}, *inline]
    job = tables.choice("direction", ("push", "pull"))
    tables.table("push")["required"].remove("direction")
    return tables.document(job, "jobs/NAME.toml of batchxfer")


class _Generator(GenerateJsonSchema):
    """Defaults as the TOML has them: `90d`, not ISO 8601's `P90D`."""

    def encode_default(self, dft: Any) -> Any:
        if isinstance(dft, timedelta):
            return format_duration(dft)
        if isinstance(dft, tuple):
            return [self.encode_default(item) for item in dft]
        if isinstance(dft, ZoneInfo | DateOffset):
            return str(dft)
        # A table's own keys tell their defaults.
        return None if isinstance(dft, BaseModel) else super().encode_default(dft)


class _Tables:
    """The models' schemas by name, and the definitions that they share."""

    def __init__(self, names: Mapping[str, str], definitions: dict[str, Schema]) -> None:
        self._names = names
        self.definitions = definitions

    def table(self, name: str) -> Schema:
        return self.definitions[self._names[name]]

    def choice(self, key: str, names: Mapping[str, object] | tuple[str, ...]) -> Schema:
        """One of the tables, told apart by what `key` says."""
        for name in names:
            table = self.table(name)
            table["properties"][key] = {**table["properties"][key], "const": name}
            table["required"] = sorted({*table.get("required", ()), key})
        return {"oneOf": [{"$ref": f"#/definitions/{self._names[name]}"} for name in names]}

    def changed_base(self, names: Mapping[str, object]) -> Schema:
        """A table with `base` and any kind's keys: which of them fit is the base's to say."""
        properties: Schema = {}
        for name in names:
            properties |= {key: value for key, value in self.table(name)["properties"].items() if key != "kind"}
        base = {"type": "string", "description": "The format that this table changes."}
        return {
            "type": "object",
            "properties": {"base": base, "kind": {"enum": list(names)}, **properties},
            "required": ["base"],
            "additionalProperties": False,
        }

    def document(self, table: Schema, title: str) -> Schema:
        """A schema that stands alone, with the definitions that it uses."""
        used: dict[str, Schema] = {}
        waiting = list(_references(table))
        while waiting:
            name = waiting.pop()
            if name not in used:
                used[name] = self.definitions[name]
                waiting += _references(used[name])
        return {"$schema": DRAFT, "title": title, **table, "definitions": dict(sorted(used.items()))}


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, list):
        for item in schema:
            yield from _references(item)
    elif isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref":
                yield value.rpartition("/")[2]
            else:
                yield from _references(value)


def _tables(models: Mapping[str, type[BaseModel]]) -> _Tables:
    """Each model under a name of its own: two adapters may both call theirs `Options`."""
    references, whole = models_json_schema(
        [(model, "validation") for model in models.values()], by_alias=True, schema_generator=_Generator
    )
    made = {name: references[(model, "validation")]["$ref"].rpartition("/")[2] for name, model in models.items()}
    shown = {old: name for name, old in made.items()}
    definitions = {shown.get(name, name): _plain(body, shown) for name, body in whole["$defs"].items()}
    return _Tables({name: name for name in models}, definitions)


def _plain(schema: Any, shown: Mapping[str, str]) -> Any:
    """A schema without what only pydantic knows: generated titles, and nulls, which TOML does not have."""
    if isinstance(schema, list):
        return [_plain(item, shown) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain: Schema = {}
    for key, value in schema.items():
        if key == "properties":
            plain[key] = {name: _plain(body, shown) for name, body in value.items()}
        elif key == "$ref":
            name = value.rpartition("/")[2]
            plain[key] = f"#/definitions/{shown.get(name, name)}"
        elif key not in ("title", "discriminator") and not (key == "default" and value in (None, {}, [])):
            plain[key] = value if key in ("default", "examples", "enum", "const") else _plain(value, shown)
    return _beside_reference(_without_null(plain))


def _without_null(schema: Schema) -> Schema:
    branches = [branch for branch in schema.get("anyOf", ()) if branch != {"type": "null"}]
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    if len(branches) == 1:
        return {**branches[0], **rest}
    return {**rest, "anyOf": branches} if branches else rest


def _beside_reference(schema: Schema) -> Schema:
    """In draft 7 a `$ref` hides what stands beside it."""
    if "$ref" not in schema or len(schema) == 1:
        return schema
    return {"allOf": [{"$ref": schema["$ref"]}], **{key: value for key, value in schema.items() if key != "$ref"}}
