"""Named parameters are found where a database would read one, and nowhere else."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchxfer import sql
from batchxfer.errors import QueryError


def names(text: str, dialect: sql.Dialect = sql.GENERIC) -> list[str]:
    return [parameter.name for parameter in sql.find_parameters(text, dialect)]


@pytest.mark.parametrize(
    "text",
    [
        "select ':a'",
        "select 'it''s :a'",
        "select E'it\\'s :a'",
        "select e'\\\\' || E':a'",
        'select 1 as "x:a"',
        'select 1 as "x"":a"',
        "select 1 -- :a",
        "select 1 -- :a\r, 2",
        "select /* :a */ 1",
        "select /* /* :a */ :b */ 1",
        "select $$ :a $$",
        "select $f$ :a $$ :b $f$",
        "select 1::int, 2 :: text",
        "call f(x := 1)",
        "select a[1:n], a[f(1):n], a[b[1]:n]",
        "select '10:30:00'",
        "select ': a', 1 :1",
        "select 'never closed :a",
        "select /* never closed :a",
    ],
)
def test_what_only_looks_like_a_parameter_is_none(text: str) -> None:
    assert names(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (":a", ["a"]),
        ("select :a, :b, :a", ["a", "b", "a"]),
        ("x>=:a and x<:b_2", ["a", "b_2"]),
        ("select :a::date, (:b)::text", ["a", "b"]),
        ("select '%'||:a||'%'", ["a"]),
        ("select '\\', :a, '\\'", ["a"]),
        ("select 1 -- :x\n, :a", ["a"]),
        ("select /*/* */ :x */ :a", ["a"]),
        ("select a$b$, :a, c$b$", ["a"]),
        ("select arr[:i], arr[1 : :n]", ["i", "n"]),
        ("f(x := :a)", ["a"]),
        ("select :기간", ["기간"]),
        ("select nameE'x', :a", ["a"]),
    ],
)
def test_a_parameter_stands_free_in_the_statement(text: str, expected: list[str]) -> None:
    assert names(text) == expected


def test_positions_are_those_of_the_colon_and_the_name() -> None:
    text = "a = :one and b = :two::int"
    assert [text[p.start : p.end] for p in sql.find_parameters(text)] == [":one", ":two"]


def test_mysql_has_its_own_literals_and_comments() -> None:
    text = "select 'it\\'s :x', \"a\\\":x\", `c:x` # :x\n, :a -- :x\n, 1 --:b\n, /* /* */ :c"
    assert names(text, sql.MYSQL) == ["a", "b", "c"]


def test_sqlite_has_bracketed_names_and_flat_comments() -> None:
    assert names("select [a:x], `b:x`, /* /* :x */ :a, '\\', :b", sql.SQLITE) == ["a", "b"]


def test_postgresql_has_no_backticks() -> None:
    assert names("select 1 ` 2, :a, 3 ` 4", sql.POSTGRESQL) == ["a"]


@pytest.mark.parametrize(
    ("url", "dialect"),
    [
        ("postgresql://u@h/d", sql.POSTGRESQL),
        ("mysql+pymysql://u@h/d", sql.MYSQL),
        ("mariadb://u@h/d", sql.MYSQL),
        ("sqlite:///shop.db", sql.SQLITE),
        ("oracle+oracledb://u@h/d", sql.GENERIC),
    ],
)
def test_the_scheme_of_the_url_says_the_dialect(url: str, dialect: sql.Dialect) -> None:
    assert sql.dialect_of(url) == dialect


def test_bind_replaces_parameters_and_nothing_else() -> None:
    assert sql.bind("select ':a', :a::int, :b", lambda name: f"<{name}>") == "select ':a', <a>::int, <b>"


def test_bind_parts_lets_the_rest_be_escaped() -> None:
    text = sql.bind_parts("x like '%' and y = :y", lambda _: "%s", lambda part: part.replace("%", "%%"))
    assert text == "x like '%%' and y = %s"


def test_what_is_bound_is_not_searched_again() -> None:
    assert sql.bind(":a", lambda _: ":b") == ":b"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select 1", "select 1"),
        ("select 1;", "select 1"),
        ("select ';' ; ; -- done;\n /* ; */", "select ';' "),
        ("-- first\nselect 1 -- last", "-- first\nselect 1 -- last"),
        ("select $$;$$", "select $$;$$"),
    ],
)
def test_a_statement_ends_at_its_final_semicolon(text: str, expected: str) -> None:
    assert sql.one_statement(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("select 1;\nselect 2", "more than one statement: the second begins on line 2"),
        ("", "empty"),
        (" ; ", "empty"),
        ("-- nothing", "empty"),
        ("select\n'a", "the literal that begins on line 2 is never closed"),
        ("select $x$ $$", "the literal that begins on line 1 is never closed"),
        ('select "a', "the quoted name that begins on line 1 is never closed"),
        ("select 1 /* /* */", "the comment that begins on line 1 is never closed"),
    ],
)
def test_anything_but_one_whole_statement_is_refused(text: str, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        sql.one_statement(text)


def test_a_long_query_is_read_in_no_time() -> None:
    text = "select '" + "\\''" * 200_000 + "'" + ", (x + 1)" * 50_000 + " /*" + "/*" * 1000
    begun = time.process_time()
    sql.find_parameters(text)
    sql.find_parameters(text, sql.MYSQL)
    assert time.process_time() - begun < 5


@given(st.text(alphabet=":;a1'\"$-/*`[]\\ E\n#", max_size=40), st.sampled_from([sql.GENERIC, sql.MYSQL, sql.SQLITE]))
def test_any_text_is_put_together_again_as_it_was(text: str, dialect: sql.Dialect) -> None:
    assert sql.bind(text, lambda name: f":{name}", dialect) == text
