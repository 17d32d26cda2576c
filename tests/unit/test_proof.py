"""No two deliveries share a path, or two that do are shown."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from itertools import combinations
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchxfer.calendars import OpenDays
from batchxfer.definitions import DateOffset, Schedule
from batchxfer.model import FileRole
from batchxfer.paths import parse_path, parse_sidecar, render_sidecar_text, with_revision
from batchxfer.proof import Collision, Destination, Names, collisions
from batchxfer.slots import Timetable

BERLIN, SEOUL, ZONELESS, NUUK = (ZoneInfo(n) for n in ("Europe/Berlin", "Asia/Seoul", "UTC", "America/Nuuk"))
NOW = datetime(2026, 5, 1, tzinfo=UTC)
BANK = Destination(endpoint="bank", place="sftp://shop@bank:22", root=".", zone=ZONELESS)


def job(name: str, cron: str | None, path: str, *, zone: ZoneInfo = BERLIN, to=(BANK,), replace=False, **more) -> Names:
    sidecars = {key: parse_sidecar(more.pop(key)) for key in ("checksum_file", "done_file") if key in more}
    calendar = more.pop("calendar", None)
    return Names(
        job=name,
        timetable=Timetable(Schedule(cron=cron, **more) if cron or more else None, zone, calendar),
        path=parse_path(path, name),
        destinations=tuple(to),
        replace=replace,
        **sidecars,
    )


def only(*jobs: Names) -> Collision:
    (found,) = collisions(jobs, NOW)
    return found


def slots(collision: Collision) -> list[str]:
    return [use.slot.astimezone(BERLIN).isoformat(timespec="minutes") for use in (collision.first, collision.second)]


# --- one job -------------------------------------------------------------------------------------


def test_an_hourly_job_whose_name_holds_only_the_date_collides():
    found = only(job("stock", "0 * * * *", "out/stock_{business_date:%Y%m%d}.csv"))
    assert slots(found) == ["2026-05-01T02:00+02:00", "2026-05-01T03:00+02:00"]
    assert found.first.path == found.second.path == "out/stock_20260501.csv"
    assert found.problem == (
        "'out/stock_20260501.csv' of job 'stock' at 'bank' for the slot 2026-05-01T00:00:00+00:00 and "
        "'out/stock_20260501.csv' of job 'stock' at 'bank' for the slot 2026-05-01T01:00:00+00:00 are the same file"
    )
    assert "{slot_utc:%Y%m%dT%H%M%SZ}" in found.mend


def test_a_local_name_without_offset_collides_in_the_autumn_hour():
    found = only(job("stock", "0 * * * *", "out/stock_{slot:%Y%m%dT%H%M}.csv"))
    assert slots(found) == ["2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00"]
    theirs = Destination(endpoint="bank", place="p", root=".", zone=BERLIN)
    found = only(job("stock", "0 * * * *", "out/stock_{slot_local:%Y%m%dT%H%M}.csv", zone=SEOUL, to=(theirs,)))
    assert slots(found) == ["2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00"]


def test_two_slots_that_the_spring_hour_brings_together_collide():
    found = only(job("stock", "30 1-4 * * *", "out/stock_{slot:%Y%m%d%H}.csv"))
    assert slots(found) == ["2027-03-28T03:00+02:00", "2027-03-28T03:30+02:00"]


def test_a_date_that_a_clock_change_gives_twice_collides():
    found = only(job("late", "30 23 * * *", "late_{slot:%Y%m%d}.csv", zone=NUUK))
    assert slots(found) == ["2027-03-28T03:00+02:00", "2027-03-29T02:30+02:00"]


@pytest.mark.parametrize(
    ("cron", "path"),
    [
        ("0 6 * * *", "{business_date:%Y%m%d}.csv"),
        ("0 6 * * *", "{business_date:%y%j}.csv"),
        ("0 6 * * *", "{business_date:%d%b%Y}.csv"),
        ("0 6 * * *", "{business_date:%G/W%V/%u}.csv"),
        ("0 6 * * *", "{slot:%Y%m%d}.csv"),
        ("0 * * * *", "{slot_utc:%Y%m%d%H}.csv"),
        ("0 * * * *", "{slot:%Y%m%d%H%z}.csv"),
        ("0 * * * *", "{slot}.csv"),
        ("0 * * * *", "{slot_utc:%Y%m%d%I%p}.csv"),
        ("*/7 * * * *", "{slot_utc}.csv"),
        ("*/7 * * * *", "{run}.csv"),
        ("0 6,18 * * *", "{business_date}_{slot:%H}.csv"),
        ("0 6 * * *", "{business_date}{revision}.csv"),
        ("0 6 * * *", "{interval_end:%Y%m%d}.csv"),
        ("0 6 1 * *", "{business_date:%Y%m}.csv"),
    ],
)
def test_names_that_tell_their_slots_apart_do_not_collide(cron, path):
    assert (
        collisions([job("orders", cron, path, checksum_file="{path}.sha256", done_file="{dir}/{stem}.done")], NOW) == []
    )


@pytest.mark.parametrize(
    ("cron", "path", "second"),
    [
        ("0 6 * * *", "orders.csv", "2026-05-02"),
        ("0 6 * * *", "{business_date:%m%d}.csv", "2027-05-01"),
        ("0 6 * * *", "{business_date:%a}.csv", "2026-05-08"),
        ("0 6,18 * * *", "{slot_utc:%Y%m%d%I}.csv", "2026-05-01"),
        ("0 6 1 * *", "{business_date:%Y}.csv", "2026-06-01"),
        ("* * * * *", "{slot_utc:%Y%m%d%H}.csv", "2026-05-01"),
        ("0 6 * * *", "{job}_{run:.4}.csv", "2026-05-02"),
    ],
)
def test_names_that_do_not_tell_their_slots_apart_collide(cron, path, second):
    found = only(job("orders", cron, path))
    assert found.second.slot.date().isoformat() == second


def test_a_job_that_replaces_may_use_one_name_for_all_slots():
    assert collisions([job("stock", "0 * * * *", "latest.csv", replace=True, checksum_file="{path}.sha256")], NOW) == []


def test_a_sidecar_that_all_slots_share_collides():
    found = only(job("orders", "0 6 * * *", "{business_date}/orders.csv", done_file="{stem}.done"))
    assert (found.first.role, found.first.path) == (FileRole.DONE, "orders.done")
    assert "{path}" in found.mend


def test_a_sidecar_named_like_its_file_collides():
    found = only(job("orders", "0 6 * * *", "{business_date}/orders.csv", done_file="{dir}/{stem}.csv"))
    assert {found.first.role, found.second.role} == {FileRole.DATA, FileRole.DONE}


def test_times_moved_from_closed_days_fall_between_those_of_an_open_one():
    moved = {"calendar": OpenDays(base="DE"), "on_closed": "next", "every": timedelta(minutes=100)}
    found = only(job("orders", None, "{slot_utc:%Y%m%d%H}.csv", zone=ZONELESS, **moved))
    assert found.second.slot - found.first.slot < timedelta(hours=1)


def test_business_dates_counted_in_open_days_stay_apart():
    counted = {"calendar": OpenDays(base="DE"), "on_closed": "next", "date_offset": DateOffset(-1, True)}
    assert collisions([job("orders", "0 6 * * *", "{business_date}.csv", **counted)], NOW) == []


# --- jobs without schedule -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["{slot_utc:%Y%m%dT%H%M%S}.csv", "{slot}.csv", "{business_date}/{slot:%H%M%S}.csv", "{run}"]
)
def test_a_job_without_schedule_needs_date_and_time_to_the_second(path):
    assert collisions([job("adhoc", None, path)], NOW) == []


@pytest.mark.parametrize(
    "path",
    ["adhoc.csv", "{business_date}.csv", "{slot:%Y%m%d%H%M}.csv", "{slot:%H%M%S}.csv", "{slot:%Y%m%d%I%M%S}.csv"],
)
def test_less_than_the_second_collides(path):
    found = only(job("adhoc", None, path))
    assert found.first.path == found.second.path
    assert found.first.slot < found.second.slot
    assert collisions([job("adhoc", None, path, replace=True)], NOW) == []


def test_a_job_without_schedule_collides_with_another_where_both_could_be_of_one_slot():
    adhoc = job("adhoc", None, "out/{slot_utc:%Y%m%dT%H%M%S}.csv")
    found = only(adhoc, job("orders", "0 6 * * *", "out/{slot:%Y%m%d}T{slot:%H%M}00.csv"))
    assert found.first.path == found.second.path
    assert {found.first.job, found.second.job} == {"adhoc", "orders"}
    found = only(adhoc, job("other", None, "OUT/{business_date:%Y%m%d}T{slot:%H%M%S}.csv"))
    assert found.first.path.lower() == found.second.path.lower()
    assert collisions([adhoc, job("other", None, "out/{slot_utc:%Y%m%dT%H%M%SZ}.csv")], NOW) == []


# --- several jobs --------------------------------------------------------------------------------


def test_two_jobs_with_one_name_in_one_folder_collide():
    found = only(
        job("orders", "0 6 * * *", "out/{business_date:%Y%m%d}.csv"),
        job("stock", "30 7 * * 1", "out/{business_date:%Y%m%d}.csv"),
    )
    assert (found.first.job, found.second.job) == ("orders", "stock")
    assert found.first.path == found.second.path == "out/20260504.csv"
    assert "{job}" in found.mend


def test_two_jobs_that_are_never_due_on_one_day_share_a_folder():
    assert (
        collisions(
            [job("a", "0 6 * * 1", "out/{business_date}.csv"), job("b", "0 6 * * 2", "out/{business_date}.csv")], NOW
        )
        == []
    )


def test_names_that_differ_only_in_case_collide():
    found = only(job("a", "0 6 * * *", "Out/A_{business_date}.csv"), job("b", "0 7 * * *", "out/a_{business_date}.csv"))
    assert found.problem.endswith("are one file, but for case or root")
    only(job("a", "0 6 * * *", "{business_date:%d%b%Y}.csv"), job("b", "0 6 2 11 *", "02NOV{business_date:%Y}.csv"))


def test_another_server_or_account_is_another_place():
    elsewhere = Destination(endpoint="shop", place="sftp://other@bank:22", root=".", zone=ZONELESS)
    jobs = [job("a", "0 6 * * *", "{business_date}.csv"), job("b", "0 6 * * *", "{business_date}.csv", to=(elsewhere,))]
    assert collisions(jobs, NOW) == []


def test_roots_of_one_place_are_compared_as_whole_paths():
    above = Destination(endpoint="above", place=BANK.place, root="in/", zone=ZONELESS)
    jobs = (
        job("a", "0 6 * * *", "in/x/{business_date}.csv"),
        job("b", "0 6 * * *", "x/{business_date}.csv", to=(above,)),
    )
    assert only(*jobs).first.path == "in/x/2026-05-01.csv"
    slash = Destination(endpoint="slash", place="p", root="/", zone=ZONELESS)
    deep = Destination(endpoint="deep", place="p", root="/in", zone=ZONELESS)
    only(
        job("a", "0 6 * * *", "in/{business_date}.csv", to=(slash,)),
        job("b", "0 6 * * *", "{business_date}.csv", to=(deep,)),
    )


def test_one_job_at_two_endpoints_of_one_place_collides_though_it_replaces():
    twin = Destination(endpoint="twin", place=BANK.place, root="./", zone=SEOUL)
    found = only(job("a", "0 6 * * *", "latest.csv", to=(BANK, twin), replace=True))
    assert {found.first.endpoint, found.second.endpoint} == {"bank", "twin"}
    assert found.first.slot == found.second.slot
    assert "roots" in found.mend


@pytest.mark.parametrize("revision", [2, 7, 10, 31])
def test_a_later_revision_collides_with_another_job_s_file(revision):
    path = f"{{business_date}}.r{revision}.csv"
    found = only(job("a", "0 6 * * *", "{business_date}.csv"), job("b", "0 6 * * *", path))
    assert found.first.path == found.second.path == f"2026-05-01.r{revision}.csv"
    assert {found.first.revision, found.second.revision} == {1, revision}


def test_a_revision_of_two_digits_behind_a_date_collides_with_a_longer_number():
    long_name = job("b", "0 6 11 5 *", "2026051112", replace=True)
    found = only(job("a", "0 6 1,11 5 *", "{business_date:%Y%m%d}{revision}"), long_name)
    assert {found.first.revision, found.second.revision} == {1, 12}


def test_a_sidecar_collides_with_another_job_s_file():
    found = only(
        job("a", "0 6 * * *", "{business_date}.csv", done_file="{path}.done"),
        job("b", "0 6 * * *", "{business_date}.csv.done"),
    )
    assert {found.first.role, found.second.role} == {FileRole.DATA, FileRole.DONE}


def test_each_pair_of_jobs_is_told_once():
    jobs = [job(name, "0 * * * *", "out/{slot_utc}.csv", done_file="{path}.done") for name in "abc"]
    found = {frozenset({one.first.job, one.second.job}) for one in collisions(jobs, NOW)}
    assert found == {frozenset("ab"), frozenset("ac")}


# --- against brute force -------------------------------------------------------------------------

TIMES = [
    "{slot:%Y%m%d%H%M}",
    "{slot_utc:%Y%m%d%H}",
    "{slot_local:%d%H%M}",
    "{business_date:%Y%m%d}",
    "{slot}",
    "{slot:%j%I%p}",
    "{business_date}",
]
FRAMES = ["{job}/T.csv", "out/T.csv", "Out/T.R2.csv", "out/T{revision}.csv", "out/aT.csv", "T/x", "2{revision}/T"]
SIDECARS = ["{path}.done", "{dir}/{stem}.ok", "{stem}", "{dir}/a{name}"]
CRONS = ["0 6 * * *", "30 2 * * 1-5", "0 */6 * * *", "30 0-3 * * *", "0 23 * * *", "0 6 * * 2"]
LENGTH = 45
SOON = datetime(2026, 10, 1, tzinfo=UTC)

some_jobs = st.lists(
    st.builds(
        lambda cron, frame, told, zone, offset, replace, sidecar: (
            cron, frame.replace("T", told), zone, offset, replace, sidecar,
        ),
        st.sampled_from(CRONS), st.sampled_from(FRAMES), st.sampled_from(TIMES), st.sampled_from([BERLIN, SEOUL, ZONELESS]),
        st.sampled_from([0, -1]), st.booleans(), st.sampled_from([None, *SIDECARS]),
    ),
    min_size=1, max_size=3,
)  # fmt: skip


def brute_force(names: Names) -> list[tuple[str, str, tuple]]:
    """Every path of a job, made one by one: (path, kind, slot and revision)."""
    made = []
    for due in names.timetable.between(SOON, SOON + timedelta(days=LENGTH)):
        for revision in range(1, 13):
            zone = names.timetable.zone
            values = {
                "job": names.job, "slot": due.slot.astimezone(zone), "slot_utc": due.slot, "slot_local": due.slot,
                "business_date": due.business_date, "revision": revision,
            }  # fmt: skip
            path = names.path.render(values)
            path = path if "{revision}" in names.path.text else with_revision(path, revision)
            made.append((path.lower(), "data", (due.slot, revision)))
            if names.done_file:
                made.append((render_sidecar_text(names.done_file, path).lower(), "done", (due.slot, revision)))
    return made


def really_collide(jobs: list[Names]) -> set[frozenset[str]]:
    made = {names.job: brute_force(names) for names in jobs}
    found = set()
    for one, other in combinations(made, 2):
        if {path for path, _, _ in made[one]} & {path for path, _, _ in made[other]}:
            found.add(frozenset({one, other}))
    for names in jobs:
        seen = {}
        for path, kind, which in made[names.job]:
            first_kind, first = seen.setdefault(path, (kind, which))
            if first != which and not (names.replace and kind == first_kind):
                found.add(frozenset({names.job}))
    return found


@settings(max_examples=60, deadline=None)
@given(some_jobs)
def test_the_proof_finds_what_making_every_path_finds(chosen):
    jobs = [
        job(f"job{number}", cron, path, zone=zone, date_offset=DateOffset(offset), replace=replace,
            **({"done_file": sidecar} if sidecar else {}))
        for number, (cron, path, zone, offset, replace, sidecar) in enumerate(chosen)
    ]  # fmt: skip
    found = collisions(jobs, SOON, days=LENGTH)
    pairs = {frozenset({one.first.job, one.second.job}) for one in found}
    truth = really_collide(jobs)
    assert pairs <= truth
    # Of several jobs that all collide, each is told with one other.
    assert set().union(*pairs) == set().union(*truth)


# --- speed ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cron", "path", "count"),
    [
        ("{minute} {hour} * * *", "out/{{job}}/{{business_date}}.csv", 0),
        ("{minute} * * * *", "{{slot_utc}}/{{job}}.csv", 0),
        ("{minute} * * * *", "out/{{job}}_{{business_date}}.csv", 1000),
    ],
)
def test_a_thousand_jobs_take_seconds(cron, path, count):
    jobs = [
        job(f"job{n * 7919 % 1000:03}", cron.format(minute=n % 60, hour=n % 24), path.format(), done_file="{path}.ok")
        for n in range(1000)
    ]
    began = time.process_time()
    assert len(collisions(jobs, NOW)) == count
    assert time.process_time() - began < 5
