"""A table is read as far as it goes, whoever finds what is wrong with it."""

from __future__ import annotations

from pydantic import Field, model_validator

from batchxfer.definitions import SecretRef, Table
from batchxfer.fields import SomeDuration
from batchxfer.tables import Findings, read


class Inner(Table):
    size: int = Field(ge=1)
    name: str = "x"


class Outer(Table):
    inner: Inner
    many: tuple[Inner, ...] = ()
    named: dict[str, Inner] = Field(default={})
    secret: SecretRef | None = None
    wait: SomeDuration | None = None

    @model_validator(mode="after")
    def _check(self) -> Outer:
        if self.inner.size == 7:
            raise ValueError("seven is taken; choose another")
        return self


def problems(table: object) -> list[str]:
    findings = Findings(file="f.toml")
    read(Outer, table, "", findings)
    return [str(problem) for problem in findings.problems]


def test_what_a_model_finds_as_a_whole_is_told() -> None:
    assert problems({"inner": {"size": 7}}) == ["f.toml: seven is taken; choose another"]


def test_tables_in_arrays_and_named_tables_have_their_places() -> None:
    table = {"inner": {"size": 0}, "many": [{"size": 1}, {"size": "1"}], "named": {"a b": {}, "c": 5}}
    assert problems(table) == [
        "f.toml: inner.size: must be at least 1, not 0",
        'f.toml: many[1].size: must be a whole number, not "1"',
        'f.toml: named."a b".size: is required',
        "f.toml: named.c: must be a table, not 5",
    ]


def test_what_is_right_beside_a_problem_is_read() -> None:
    findings = Findings(file="f.toml")
    half_read = read(Outer, {"inner": {"size": "x", "name": "right"}, "wait": "5m"}, "", findings)
    assert half_read.inner.name == "right"
    assert half_read.inner.size is None
    assert half_read.wait is not None
    assert half_read.many == ()


def test_a_secret_in_the_wrong_place_is_not_shown() -> None:
    assert "hunter2" not in str(problems({"inner": {"size": 1}, "secret": "hunter2", "secrets": "hunter2"}))
