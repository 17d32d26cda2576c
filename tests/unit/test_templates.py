"""Templates: what may stand in braces, and what comes out of them."""

from __future__ import annotations

import locale
import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchxfer.errors import ExitCode, UnwritableValue
from batchxfer.templates import FieldKind, TemplateError, format_time, parse, time_problems

ALLOWED = {
    "job": FieldKind.TEXT,
    "slot": FieldKind.TIME,
    "slot_utc": FieldKind.TIME,
    "business_date": FieldKind.DATE,
    "revision": FieldKind.NUMBER,
    "rows": FieldKind.NUMBER,
    "sum[]": FieldKind.NUMBER,
    "count[]": FieldKind.NUMBER,
}
SEOUL = ZoneInfo("Asia/Seoul")
SLOT = datetime(2026, 11, 23, 1, 2, 3, tzinfo=SEOUL)


def problems(text: str) -> list[str]:
    with pytest.raises(TemplateError) as caught:
        parse(text, ALLOWED)
    return [f"{p.problem} | {p.hint}" for p in caught.value.problems]


def render(text: str, **values: object) -> str:
    return parse(text, ALLOWED).render(values)


# --- reading -------------------------------------------------------------------------------------


def test_doubled_braces_are_braces() -> None:
    assert render("{{{job}}} {{}}", job="a") == "{a} {}"


def test_a_field_has_a_name_an_argument_and_a_spec() -> None:
    fields = parse("{rows:08}{sum[amount]:>15}{count[a b]}{slot:%H:%M}", ALLOWED).fields
    assert [(f.name, f.argument, f.spec, f.key) for f in fields] == [
        ("rows", None, "08", "rows"),
        ("sum", "amount", ">15", "sum[amount]"),
        ("count", "a b", "", "count[a b]"),
        ("slot", None, "%H:%M", "slot"),
    ]


def test_a_column_name_may_hold_brackets_and_colons() -> None:
    assert [f.argument for f in parse("{sum[a]b:c]:08}", ALLOWED).fields] == ["a]b:c"]


def test_unknown_names_come_with_the_nearest_known_one() -> None:
    assert problems("{bussiness_date}") == [
        "unknown name in {bussiness_date} | did you mean 'business_date'?; "
        "names: business_date, count[COLUMN], job, revision, rows, slot, slot_utc, sum[COLUMN]"
    ]


@pytest.mark.parametrize(
    "text", ["{}", "{job!r}", "{job.x}", "{slot[0]}", "{ job }", "{rows[a]}", "{sum[a]x}", "{sum(a)}"]
)
def test_what_is_not_a_name_is_refused(text: str) -> None:
    assert [p.partition(" | ")[0] for p in problems(text)] == [f"unknown name in {text}"]


@pytest.mark.parametrize("text", ["{sum}", "{sum[]}", "{count}"])
def test_a_sum_needs_its_column(text: str) -> None:
    assert "needs a column" in problems(text)[0]


@pytest.mark.parametrize(("text", "brace"), [("a}", "}"), ("{job", "{"), ("{job}}", "}"), ("{a{job}", "{")])
def test_a_lone_brace_is_refused(text: str, brace: str) -> None:
    assert f"a '{brace}' stands alone | write '{brace * 2}' for the character itself" in problems(text)


def test_all_problems_come_at_once() -> None:
    assert len(problems("{x}/{slot:%Q}/{rows:z}/}")) == 4


def test_a_template_error_is_the_users_and_tells_the_template() -> None:
    with pytest.raises(TemplateError, match=re.escape("template '{x}': unknown name in {x}")) as caught:
        parse("{x}", ALLOWED)
    assert caught.value.exit_code is ExitCode.USAGE


# --- times ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("%Y%m%d", "20261123"),
        ("%y/%j", "26/327"),
        ("%H%M%S.%f", "010203.000000"),
        ("%I %p", "01 AM"),
        ("%a %d %b", "Mon 23 Nov"),
        ("%G-W%V-%u", "2026-W48-1"),
        ("%z", "+0900"),
        ("100%% %Y", "100% 2026"),
    ],
)
def test_codes_of_times(spec: str, expected: str) -> None:
    assert render(f"{{slot:{spec}}}", slot=SLOT) == expected


@pytest.mark.parametrize(("hour", "shown"), [(0, "12 AM"), (11, "11 AM"), (12, "12 PM"), (23, "11 PM")])
def test_twelve_hour_clock(hour: int, shown: str) -> None:
    assert render("{slot:%I %p}", slot=SLOT.replace(hour=hour)) == shown


CODES = "%Y %y %m %d %H %I %M %S %f %j %p %a %b %G %V %u %z %%"


@given(
    st.datetimes(min_value=datetime(1000, 1, 1), timezones=st.sampled_from([UTC, SEOUL, ZoneInfo("America/St_Johns")]))
)
def test_codes_mean_what_pythons_strftime_says_in_the_c_locale(instant: datetime) -> None:
    locale.setlocale(locale.LC_TIME, "C")
    assert format_time(instant, CODES) == instant.strftime(CODES)


def test_the_year_has_four_digits() -> None:
    assert format_time(date(7, 1, 1), "%Y %G %y") == "0007 0007 07"


def test_without_a_spec_a_time_is_iso_basic_with_its_offset() -> None:
    assert (
        render("{slot} {slot_utc}", slot=SLOT, slot_utc=SLOT.astimezone(UTC)) == "20261123T010203+0900 20261122T160203Z"
    )


def test_two_times_never_look_the_same_without_a_spec() -> None:
    assert render("{slot}", slot=SLOT.replace(microsecond=5)) == "20261123T010203.000005+0900"
    autumn = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    assert render("{slot}", slot=autumn) != render("{slot}", slot=autumn.replace(fold=1))


def test_an_offset_with_seconds_is_written_whole() -> None:
    zone = timezone(-timedelta(hours=3, minutes=6, seconds=28))
    assert format_time(SLOT.replace(tzinfo=zone), "%z") == "-030628"


@pytest.mark.parametrize("spec", ["", ":%Y"])
def test_a_naive_time_is_refused(spec: str) -> None:
    with pytest.raises(ValueError, match="zone"):
        render(f"{{slot{spec}}}", slot=datetime(2026, 1, 1))


def test_a_date_is_iso_without_a_spec() -> None:
    assert render("{business_date}", business_date=date(2026, 11, 23)) == "2026-11-23"


def test_a_date_has_no_hours() -> None:
    assert problems("{business_date:%Y%H}") == [
        "the code %H in '%Y%H' is of no use: the value has no time of day | codes: %% %G %V %Y %a %b %d %j %m %u %y"
    ]


def test_an_instant_is_not_taken_for_a_date() -> None:
    with pytest.raises(ValueError, match="must be a date"):
        render("{business_date}", business_date=SLOT)


@pytest.mark.parametrize("spec", ["%F", "%-d", "%", "%A", "yyyy", "%%", "%c"])
def test_other_codes_and_specs_without_codes_are_refused(spec: str) -> None:
    assert len(problems(f"{{slot:{spec}}}")) >= 1


def test_a_time_of_day_has_no_date_codes() -> None:
    assert [p.problem for p in time_problems("%Y %H", has_time=True, has_date=False)] == [
        "the code %Y in '%Y %H' is of no use: the value has no date"
    ]


# --- numbers and texts ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "spec", "expected"),
    [
        (42, "", "42"),
        (42, ":08", "00000042"),
        (42, ":>6", "    42"),
        (-42, ":*^7", "**-42**"),
        (1234567, ":,", "1,234,567"),
        (10**30 + 1, ":.2f", "1" + "0" * 29 + "1.00"),
        (Decimal("12.50"), "", "12.50"),
        (Decimal("12.50"), ":>15", "          12.50"),
        (Decimal("-12.50"), ":08", "-0012.50"),
        (Decimal("12.5"), ":.2f", "12.50"),
        (Decimal("12.500"), ":.2", "12.50"),
        (Decimal("1E+3"), "", "1000"),
        (Decimal("1E-7"), "", "0.0000001"),
        (Decimal("7.00"), ":03d", "007"),
        (Decimal("1" * 50 + ".01"), "", "1" * 50 + ".01"),
    ],
)
def test_numbers_keep_their_digits(value: object, spec: str, expected: str) -> None:
    assert render(f"{{sum[a]{spec}}}", **{"sum[a]": value}) == expected


@pytest.mark.parametrize(
    ("value", "spec"), [("12.345", ".2f"), ("12.345", ".2"), ("0.5", "d"), ("0.001", ".2f"), ("1.05", ".1f")]
)
def test_a_number_is_never_rounded(value: str, spec: str) -> None:
    with pytest.raises(UnwritableValue, match="would round"):
        render(f"{{sum[a]:{spec}}}", **{"sum[a]": Decimal(value)})


@pytest.mark.parametrize("spec", ["x", "e", "n", "g", "%", "_", "08s", ".2d", "08%Y", "99999", ".99999f"])
def test_specs_that_are_not_plain_numbers_are_refused(spec: str) -> None:
    assert len(problems(f"{{rows:{spec}}}")) == 1


@pytest.mark.parametrize("value", [1.5, True, "1", None])
def test_only_exact_numbers_are_numbers(value: object) -> None:
    with pytest.raises(ValueError, match="must be an int or a Decimal"):
        render("{rows}", rows=value)


def test_texts_take_width_and_cut() -> None:
    assert render("{job:>5}|{job:_<5.2}|{job:^6s}", job="abc") == "  abc|ab___| abc  "


@pytest.mark.parametrize("spec", ["08d", "=5", "f"])
def test_specs_that_are_not_for_texts_are_refused(spec: str) -> None:
    assert len(problems(f"{{job:{spec}}}")) == 1
