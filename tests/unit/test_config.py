"""A configuration is right as a whole, or every problem of every file is told at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from textwrap import dedent
from zoneinfo import ZoneInfo

import pytest

from batchxfer import wiring
from batchxfer.config import OptionModels, Project, effective_catch_up, load
from batchxfer.errors import ConfigError

CONFIG = """\
[databases.shop]
url = "sqlite:///var/shop.db"

[endpoints.bank]
protocol = "sftp"
host = "sftp.example.com"
user = "shop"
password = { env = "BANK_PASSWORD" }
host_key = ["SHA256:uNiVztksCsDhcc0u9e8BrYBXwd0GvPYmrXTPHbHs2gA"]
timezone = "Europe/Berlin"

[endpoints.archive]
protocol = "local"
root = "archive"
timezone = "Asia/Seoul"
"""
FORMAT = """\
kind = "delimited"
"""
JOB = """\
[source]
database = "shop"
query = "select 1 as a"

[file]
format = "csv"
endpoint = "bank"
path = "out/orders-{slot_utc:%Y%m%dT%H%M%SZ}.csv"
"""
Files = Mapping[str, str | bytes]


@pytest.fixture(scope="session")
def models() -> OptionModels:
    return wiring.option_models()


class Desk:
    """A project on the disk, with some of its files replaced."""

    def __init__(self, folder: Path, models: OptionModels) -> None:
        self.folder = folder
        self.models = models

    def load(self, files: Files | None = None) -> Project:
        base: dict[str, str | bytes] = {"config.toml": CONFIG, "formats/csv.toml": FORMAT, "jobs/orders.toml": JOB}
        for name, content in {**base, **(files or {})}.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(dedent(content).encode() if isinstance(content, str) else content)
        return load(self.folder / "config.toml", self.models)

    def problems(self, files: Files) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            self.load(files)
        return [str(problem) for problem in caught.value.problems]

    def config(self, old: str, new: str = "") -> list[str]:
        return self.problems({"config.toml": replaced(CONFIG, old, new)})

    def job(self, old: str, new: str = "", *, more: str = "") -> list[str]:
        return self.problems({"jobs/orders.toml": replaced(JOB, old, new) + more})

    def format(self, text: str) -> list[str]:
        return self.problems({"formats/csv.toml": text})


def replaced(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


@pytest.fixture
def desk(tmp_path: Path, models: OptionModels) -> Desk:
    return Desk(tmp_path, models)


# --- what is right -------------------------------------------------------------------------------


def test_a_small_project_is_read_with_its_defaults(desk: Desk) -> None:
    project = desk.load()
    assert project.folder == desk.folder
    assert list(project.jobs) == ["orders"]
    job = project.jobs["orders"]
    assert job.name == "orders"
    assert job.file.endpoint_names == ("bank",)
    assert job.retry.after == (timedelta(minutes=5), timedelta(minutes=15))
    assert project.query_of(job) == "select 1 as a"
    assert project.format_of(job).kind == "delimited"
    assert project.zone_of(job) == ZoneInfo("UTC")
    assert project.config.endpoints["bank"].timezone == ZoneInfo("Europe/Berlin")
    assert project.config.endpoints["bank"].port == 22  # type: ignore[attr-defined]


def test_relative_paths_start_at_the_configurations_folder(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.load()
    monkeypatch.chdir(desk.folder.parent)
    project = load(Path(desk.folder.name) / "config.toml", desk.models)
    assert project.folder == desk.folder
    assert project.ledger_url == f"sqlite:///{desk.folder}/var/ledger.db"
    assert project.spool == desk.folder / "var/spool"
    assert project.absolute_url("sqlite:///var/shop.db") == f"sqlite:///{desk.folder}/var/shop.db"
    assert project.absolute_url("sqlite:////srv/shop.db") == "sqlite:////srv/shop.db"
    assert project.absolute_url("postgresql://u@h/d") == "postgresql://u@h/d"


def test_a_query_may_be_in_a_file_of_its_own(desk: Desk) -> None:
    job = replaced(JOB, 'query = "select 1 as a"', 'query_file = "sql/orders.sql"')
    project = desk.load({"jobs/orders.toml": job, "sql/orders.sql": "\ufeffselect 2"})
    assert project.query_of(project.jobs["orders"]) == "select 2"


def test_a_job_may_change_a_format_or_bring_its_own(desk: Desk) -> None:
    files = {
        "formats/csv.toml": 'kind = "delimited"\nheader = false\ncolumns = [{ name = "a" }]\n',
        "jobs/a.toml": replaced(JOB, '"csv"', '{ base = "csv", delimiter = "|" }'),
        "jobs/b.toml": replaced(JOB, '"csv"', '{ kind = "lines" }'),
    }
    project = desk.load(files)
    changed = project.format_of(project.jobs["a"])
    assert (changed.delimiter, changed.header, changed.columns[0].name) == ("|", False, "a")  # type: ignore[attr-defined]
    assert project.format_of(project.jobs["b"]).kind == "lines"


def test_every_key_of_a_push_job_is_read(desk: Desk) -> None:
    job = """
        description = "d"
        direction = "push"
        enabled = false
        [schedule]
        cron = "30 5 * * 1-5"
        timezone = "Europe/Berlin"
        calendar = "half"
        on_closed = "previous"
        date_offset = "-1bd"
        interval = "slots"
        lag = "1h30m"
        start = 2026-01-01
        catch_up = "merge"
        catch_up_window = "2d"
        late_after = "10m"
        cutoff = "07:00"
        cutoff_timezone = "Asia/Seoul"
        past_cutoff = "send"
        [source]
        database = "shop"
        query = "select :a where :interval_start < :interval_end"
        parameters = { a = 1.5 }
        [guard]
        min_rows = 1
        max_rows = 1
        [file]
        format = "csv"
        endpoints = ["bank", "archive"]
        path = "out/{business_date:%Y}/a.csv.gz"
        compress = "gzip"
        on_exists = "replace"
        verify = "readback"
        checksum_file = "{path}.sha256"
        done_file = "{dir}/{stem}.done"
        [retry]
        after = ["1m"]
        repeat = "30m"
        order = "strict"
    """
    calendar = '\n[calendars.half]\nbase = "KR"\nopen = [2026-12-25]\nclosed = [2026-12-24]\n'
    project = desk.load({"jobs/orders.toml": job, "config.toml": CONFIG + calendar})
    read = project.jobs["orders"]
    assert read.schedule is not None
    assert read.schedule.start == date(2026, 1, 1)
    assert project.zone_of(read) == ZoneInfo("Europe/Berlin")
    assert project.catch_up_of(read) == "merge"
    assert read.file.endpoint_names == ("bank", "archive")


def test_a_country_is_a_calendar_by_itself(desk: Desk) -> None:
    desk.load({"jobs/orders.toml": JOB + '[schedule]\nevery = "1d"\ncalendar = "KR"\n'})


def test_other_files_in_the_folders_are_let_be(desk: Desk) -> None:
    others = {"jobs/README.md": "x", "jobs/.orders.toml": "x", "jobs/orders.toml~": "x", "formats/old.bak": "x"}
    assert list(desk.load(others).jobs) == ["orders"]


@pytest.mark.parametrize(
    ("query", "catch_up"),
    [("select 1", "latest"), ("select :job", "latest"), ("select ':slot'", "latest"), ("select :business_date", "all")],
)
def test_what_is_caught_up_depends_on_the_query(desk: Desk, query: str, catch_up: str) -> None:
    job = replaced(JOB, "select 1 as a", query) + '[schedule]\nevery = "1d"\n'
    project = desk.load({"jobs/orders.toml": job})
    assert project.catch_up_of(project.jobs["orders"]) == catch_up
    assert effective_catch_up(project.jobs["orders"], query) == catch_up


def test_no_secret_is_resolved(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BANK_PASSWORD", raising=False)
    desk.load({"config.toml": 'environment = { file = "absent" }\n' + CONFIG})


# --- all at once ---------------------------------------------------------------------------------


def test_every_problem_of_every_file_comes_at_once(desk: Desk) -> None:
    files = {
        "config.toml": replaced(CONFIG, "timezone", 'conections = "2"\ntimezone').replace("Berlin", "Berlim"),
        "formats/csv.toml": 'kind = "delimitd"\nline_ending = "cr"\n',
        "formats/broken.toml": 'kind = "lines"\nkind = \n',
        "jobs/orders.toml": replaced(JOB, '"bank"', '"bnak"') + 'verify = "md5"\n[retry]\nafter = ["5 m"]\n',
        "jobs/second.toml": replaced(JOB, '"shop"', '"shp"').replace("{slot_utc", "{slto"),
    }
    assert desk.problems(files) == [
        "config.toml: endpoints.bank.conections: unknown key; did you mean 'connections'?; keys: agent, connect_timeout, "
        "connections, contact, create_folders, deadline, environment, host, host_key, known_hosts, legacy, partner, …",
        "config.toml: endpoints.bank.timezone: unknown time zone 'Europe/Berlim'; did you mean 'Europe/Berlin'?",
        "formats/broken.toml: line 2, column 8: not TOML: invalid value; mend the TOML there",
        "formats/csv.toml: kind: unknown kind \"delimitd\"; did you mean 'delimited'?; "
        "kinds: delimited, fixed-width, json-lines, key-value, lines",
        "formats/csv.toml: line_ending: unknown value \"cr\"; did you mean 'crlf'?; values: crlf, lf, none",
        'jobs/orders.toml: file.verify: unknown value "md5"; values: readback, reply, size',
        'jobs/orders.toml: retry.after[0]: \'5 m\' is not a duration; write it like "30s", "5m", "1h30m", "2d"',
        "jobs/orders.toml: file.endpoint: unknown endpoint 'bnak'; did you mean 'bank'?; endpoints: archive, bank",
        "jobs/second.toml: source.database: unknown database 'shp'; did you mean 'shop'?; databases: shop",
        "jobs/second.toml: file.path: unknown name in {slto:%Y%m%dT%H%M%SZ}; did you mean 'slot'?; names: business_date, "
        "interval_end, interval_start, job, revision, run, slot, slot_local, slot_utc",
    ]


def test_a_job_whose_direction_is_mistyped_or_forgotten_is_read_as_it_was_meant(desk: Desk) -> None:
    pull = '[file]\nendpoint = "bank"\npath = "in/*.csv"\nformat = "csv"\n[load]\ndatabase = "shop"\ntable = "t"\n'
    files = {
        "jobs/mistyped.toml": 'direction = "pul"\n' + pull,
        "jobs/forgotten.toml": pull,
        "jobs/orders.toml": "x = 1",
    }
    assert desk.problems(files) == [
        'jobs/forgotten.toml: direction: is "push" where it is not written, and a push has no [load]; '
        'write direction = "pull"',
        "jobs/mistyped.toml: direction: unknown value \"pul\"; did you mean 'pull'?; values: pull, push",
        "jobs/orders.toml: x: unknown key; keys: description, direction, enabled, file, guard, retry, schedule, source",
        "jobs/orders.toml: source: is required; Where rows come from.",
        "jobs/orders.toml: file: is required; What is sent, and where.",
    ]


def test_of_a_list_with_a_wrong_value_it_is_not_said_that_it_is_empty(desk: Desk) -> None:
    assert desk.problems({"config.toml": CONFIG + '[[notify]]\non = ["fail"]\ncommand = ["x"]\n'}) == [
        "config.toml: notify[0].on[0]: unknown value \"fail\"; did you mean 'failed'?; "
        "values: failed, held, late, missing, recovered"
    ]


def test_a_broken_configuration_file_hides_no_other_problem(desk: Desk) -> None:
    files = {"config.toml": CONFIG + "[", "jobs/orders.toml": JOB + "verify = 5\n", "formats/csv.toml": "kind = 5\n"}
    assert [problem.partition(";")[0] for problem in desk.problems(files)] == [
        "config.toml: line 16, column 2: not TOML: invalid initial character for a key part",
        "formats/csv.toml: kind: must be a text, not 5",
        "jobs/orders.toml: file.verify: unknown value 5",
    ]


def test_the_configuration_file_itself_may_be_missing(desk: Desk) -> None:
    with pytest.raises(ConfigError, match=r"other\.toml: cannot be read: No such file or directory"):
        load(desk.folder / "other.toml", desk.models)


def test_what_is_no_file_is_not_waited_for(desk: Desk) -> None:
    """A pipe gives nothing until somebody writes into it, and /dev/zero never ends."""
    (desk.folder / "jobs").mkdir(exist_ok=True)
    os.mkfifo(desk.folder / "jobs/pipe.toml")
    (desk.folder / "jobs/zero.toml").symlink_to("/dev/zero")
    query = replaced(JOB, 'query = "select 1 as a"', 'query_file = "/dev/zero"')
    assert [problem.partition(";")[0] for problem in desk.problems({"jobs/orders.toml": query})] == [
        'jobs/orders.toml: source.query_file: "/dev/zero" cannot be read: it is no file',
        "jobs/pipe.toml: cannot be read: it is no file",
        "jobs/zero.toml: cannot be read: it is no file",
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"x = 1\na = ", "line 2, column 5: not TOML: invalid value"),
        (b"\xff", "is not UTF-8 text: byte 0 is wrong"),
        (b"a = 1\na = 2\n", "line 2, column"),
        (b"a = " + b"[" * 5000, ""),
        (b"a = " + b"9" * 5000, ""),
    ],
)
def test_what_is_no_toml_is_told_with_its_place(desk: Desk, content: bytes, problem: str) -> None:
    found = desk.problems({"jobs/bad.toml": content, "config.toml": content})
    assert found[0].startswith("config.toml: ")
    found = desk.problems({"jobs/bad.toml": content, "config.toml": CONFIG})
    assert found[0].startswith("jobs/bad.toml: ")
    assert problem in found[0]


# --- values --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("workers = 0", "workers: must be at least 1, not 0"),
        ('workers = "4"', 'workers: must be a whole number, not "4"'),
        ("workers = true", "workers: must be a whole number, not true"),
        ("workers = 4.0", "workers: must be a whole number, not 4.0"),
        ("jobs = 5", "jobs: must be a text, not 5"),
        ('spool = "a\\u0000b"', "spool: holds the character U+0000, which cannot be seen"),
        ('spool = "a\\nb"', "spool: holds the character U+000A, which cannot be seen"),
        (f'jobs = "{"x" * 3000}"', 'jobs: there is no folder "xxx'),
        ('jobs = ""', "jobs: must not be empty"),
        ('jobs = "jbos"', 'jobs: there is no folder "jbos"'),
        ("keep_artifacts = 90", 'keep_artifacts: a duration is a text like "30s"'),
        ('keep_artifacts = "90"', "keep_artifacts: '90' is not a duration"),
        ('keep_artifacts = "0s"', "keep_artifacts: must be longer than nothing"),
        ('keep_artifacts = "1h2d"', "keep_artifacts: '1h2d' is not a duration"),
        ('keep_artifacts = "-1d"', "keep_artifacts: '-1d' is not a duration"),
        ('timezone = "Seoul"', "timezone: unknown time zone 'Seoul'; did you mean 'Asia/Seoul'?"),
        ('timezone = "KST"', "timezone: unknown time zone 'KST'; zones are named by a place, such as \"Asia/Seoul\""),
        ('timezone = "localtime"', "timezone: unknown time zone 'localtime'"),
        ('timezone = "../../etc/passwd"', "timezone: unknown time zone"),
        ('timezone = ""', "timezone: unknown time zone ''"),
        ("timezone = 9", "timezone: a time zone is an IANA name"),
        ("notify = 5", "notify: must be an array, not 5"),
        (
            'notify = [{ on = ["late", "faild"], command = ["x"] }]',
            "notify[0].on[1]: unknown value \"faild\"; did you mean 'failed'?",
        ),
        ('notify = [{ on = [], command = ["x"] }]', "notify[0].on: must not be empty"),
        ("notify = [{}]", "notify[0].command: is required"),
        ("notify = [{ command = [] }]", "notify[0].command: must not be empty"),
        ("notify = [3]", "notify[0]: must be a table, not 3"),
        ("databases = 3", "databases: must be a table, not 3"),
        ("endpoints = 3", "endpoints: must be a table of endpoints, not 3"),
        ("calendars = { x = { open = [2026-13-01] } }", "line 1"),
        (
            "calendars = { x = { open = [2026-12-01T00:00:00] } }",
            "calendars.x.open[0]: must be a date, not 2026-12-01T00:00:00",
        ),
        ('calendars = { x = { base = "KRR" } }', "calendars.x: unknown country or market 'KRR'"),
        ('ledger = "var/ledger.db"', "ledger: is not a URL"),
        ('ledger = "sqlite://"', "ledger: names no file"),
        ('ledger = "sqlite:///:memory:"', "ledger: names no file"),
        ('ledger = "mysql://u@h/d"', "ledger: no ledger can be in 'mysql'"),
        ('ledger = "postgres://u@h/d"', "ledger: no ledger can be in 'postgres'; did you mean 'postgresql'?"),
        ('ledger_password = { env = "X" }', "ledger_password: is for a postgresql:// ledger"),
        ('"a.b" = 1', '"a.b": unknown key'),
        ('Timezone = "UTC"', "Timezone: unknown key; did you mean 'timezone'?"),
    ],
)
def test_a_wrong_value_is_told_with_its_key_and_what_is_right(desk: Desk, line: str, problem: str) -> None:
    text = CONFIG if not line.startswith(("databases", "endpoints")) else ""
    found = desk.problems({"config.toml": f"{line}\n{text}"})
    assert f"config.toml: {problem}" in found[0]


@pytest.mark.parametrize("name", ["a b", "-x", ".x", "a/b", "é", "a:b", "x" * 101, ""])
def test_names_are_safe_in_paths_and_commands(desk: Desk, name: str) -> None:
    found = desk.problems({"config.toml": f'{CONFIG}\n[databases."{name}"]\nurl = "sqlite:///x.db"\n'})
    assert "cannot be a name" in found[0]
    if "/" not in name and len(name) > 0 and not name.startswith("."):
        found = desk.problems({f"jobs/{name}.toml": JOB, "config.toml": CONFIG})
        assert found[0].startswith(f"jobs/{name}.toml: ")
        assert "cannot be a name" in found[0]


# --- secrets -------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", ['"hunter2"', "12345678", '["hunter2"]', "true"])
@pytest.mark.parametrize(
    "key", ["ledger_password", "databases.erp.password", "endpoints.bank.password", "endpoints.bank.passphrase"]
)
def test_a_literal_secret_is_refused_with_the_reason_and_never_shown(desk: Desk, key: str, secret: str) -> None:
    config = replaced(CONFIG, 'password = { env = "BANK_PASSWORD" }\n', 'private_key = "k"\n')
    table, _, name = key.rpartition(".")
    if table == "endpoints.bank":
        config = replaced(config, 'private_key = "k"\n', f'private_key = "k"\n{name} = {secret}\n')
    elif table:
        config += f'[{table}]\nurl = "postgresql://u@h/d"\n{name} = {secret}\n'
    else:
        config = f'ledger = "postgresql://u@h/d"\n{name} = {secret}\n{config}'
    found = desk.problems({"config.toml": config})
    assert len(found) == 1
    assert found[0].startswith(f"config.toml: {key}: a secret must not stand in this file: everyone who reads it")
    assert f'write {name} = {{ env = "NAME" }} or {name} = {{ file = "PATH" }}' in found[0]
    assert "hunter2" not in found[0]
    assert "12345678" not in found[0]


@pytest.mark.parametrize(
    "table", ["{}", '{ env = "A", file = "b" }', '{ value = "hunter2" }', '{ env = "" }', "{ env = 5 }"]
)
def test_a_secret_is_found_in_one_place(desk: Desk, table: str) -> None:
    found = desk.config('{ env = "BANK_PASSWORD" }', table)
    assert found[0].startswith("config.toml: endpoints.bank.password")
    assert "hunter2" not in "".join(found)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://shop:hunter2@db/shop",
        "postgresql://shop:@db/shop",
        "postgresql://shop:hun/ter2@db/shop",
        "postgresql://:hunter2@db/shop",
        "postgresql://db/shop?password=hunter2",
        "postgresql://db/shop?sslmode=require&PASSWORD=hunter2",
        "mssql+pyodbc:///?odbc_connect=DRIVER%3DX%3BUID%3Du%3BPWD%3Dhunter2",
    ],
)
def test_a_password_in_a_url_is_refused_and_never_shown(desk: Desk, url: str) -> None:
    for config in (replaced(CONFIG, "sqlite:///var/shop.db", url), f'ledger = "{url}"\n{CONFIG}'):
        found = desk.problems({"config.toml": config})
        assert "a password must not stand in the URL" in "".join(found)
        assert "ter2" not in "".join(found)


def test_a_url_may_be_a_secret_itself(desk: Desk) -> None:
    config = replaced(CONFIG, '"sqlite:///var/shop.db"', '{ env = "SHOP_URL" }')
    desk.load({"config.toml": config})
    assert desk.config('"sqlite:///var/shop.db"', "5") == ["config.toml: databases.shop.url: must be a text or a table"]


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("postgres:/x", "is not a URL"),
        ("", "is not a URL"),
        ("postgrsql://u@h/d", "unknown database 'postgrsql'; did you mean 'postgresql'?"),
        ("sqlite://", "names no file"),
    ],
)
def test_a_database_url_has_a_known_form(desk: Desk, url: str, problem: str) -> None:
    assert problem in desk.config("sqlite:///var/shop.db", url)[0]


def test_the_environments_name_does_not_travel_with_the_file(desk: Desk) -> None:
    found = desk.problems({"config.toml": 'environment = "production"\n' + CONFIG})
    assert found[0].startswith("config.toml: environment: the machine's name must not stand in this file")


# --- endpoints -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            'protocol = "sftp"',
            'protocol = "ftp"',
            "endpoints.bank.protocol: unknown protocol \"ftp\"; did you mean 'sftp'?",
        ),
        ('protocol = "sftp"\n', "", "endpoints.bank.protocol: is required"),
        ('host = "sftp.example.com"\n', "", "endpoints.bank.host: is required"),
        (
            'host_key = ["SHA256:uNiVztksCsDhcc0u9e8BrYBXwd0GvPYmrXTPHbHs2gA"]',
            "",
            "endpoints.bank.host_key: one of host_key and known_hosts is required",
        ),
        ('password = { env = "BANK_PASSWORD" }', "", "endpoints.bank.private_key: one way to log in is required"),
        ('"SHA256:uNiVztksCsDhcc0u9e8BrYBXwd0GvPYmrXTPHbHs2gA"', '"SHA256:x"', "endpoints.bank.host_key[0]: "),
        ('user = "shop"', 'user = "shop"\nport = 70000', "endpoints.bank.port: must be at most 65535, not 70000"),
        (
            'user = "shop"',
            'user = "shop"\ntemp_name = "tmp/{nam}"',
            "endpoints.bank.temp_name: unknown name in {nam}; did you mean 'name'?",
        ),
        ('user = "shop"', 'user = "shop"\ntemp_name = ""', "endpoints.bank.temp_name: must not be empty"),
        ('user = "shop"', 'user = "sh\\u0000op"', "endpoints.bank.user: holds the character U+0000"),
        ('root = "archive"\n', "", "endpoints.archive.root: is required"),
    ],
)
def test_an_endpoint_says_where_how_and_whom_it_trusts(desk: Desk, old: str, new: str, problem: str) -> None:
    assert f"config.toml: {problem}" in desk.config(old, new)[0]


def test_what_is_missing_comes_beside_what_is_wrong(desk: Desk) -> None:
    config = '[endpoints.bank]\nprotocol = "sftp"\nport = "x"\n'
    found = desk.problems({"config.toml": config, "jobs/orders.toml": replaced(JOB, '"shop"', '"bank"')})
    assert [problem.partition(": ")[2].partition(";")[0] for problem in found] == [
        "endpoints.bank.host_key: one of host_key and known_hosts is required",
        "endpoints.bank.private_key: one way to log in is required",
        "endpoints.bank.host: is required",
        'endpoints.bank.port: must be a whole number, not "x"',
        "endpoints.bank.user: is required",
        "source.database: unknown database 'bank'",
    ]


# --- formats -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "kind: is required"),
        ('kind = "delimited"\nwidth_unit = "bytes"', "width_unit: unknown key"),
        ('kind = "delimited"\nencoding = "utf-9"', "encoding: unknown encoding 'utf-9'"),
        ('kind = "delimited"\nencoding = "base64"', "encoding: "),
        ('kind = "delimited"\ntimestamp_format = "%q"', "timestamp_format: the code %q in '%q' is unknown"),
        ('kind = "delimited"\ndate_format = "%H"', "date_format: the code %H"),
        (
            'kind = "delimited"\ncolumns = [{ name = "a" }, { name = "b", as = "a" }]',
            "columns: 2 columns are named 'a'",
        ),
        (
            'kind = "delimited"\ncolumns = [{ name = "a", as_ = "b" }]',
            "columns[0].as_: unknown key; did you mean 'as'?",
        ),
        ('kind = "delimited"\ncolumns = [{ as = "b" }]', "columns[0].name: is required"),
        (
            'kind = "delimited"\ncolumns = [{ name = "a", type = "varchar" }]',
            "columns[0].type: unknown type 'varchar'; the types are integer",
        ),
        (
            'kind = "delimited"\ncolumns = [{ name = "a", type = "text(3)" }]',
            "columns[0].type: 'text' takes no numbers",
        ),
        (
            'kind = "delimited"\ncolumns = [{ name = "a", pad = "ab" }]',
            'columns[0].pad: "ab" is longer than 1 characters',
        ),
        ('kind = "delimited"\ncolumns = ["a"]', 'columns[0]: must be a table, not "a"'),
        ('kind = "delimited"\nheader_record = "{row}"', "header_record: unknown name in {row}; did you mean 'rows'?"),
        (
            'kind = "delimited"\ntrailer_record = "{sum[b]}"\ncolumns = [{ name = "a" }]',
            "trailer_record: {sum[b]}: no such column; columns: a",
        ),
        (
            'kind = "delimited"\ntrailer_record = "{sum[a]}"\ncolumns = [{ name = "a", type = "float" }]',
            "trailer_record: {sum[a]}: the column is float",
        ),
        (
            'kind = "delimited"\nheader_record = "한"\nencoding = "ascii"',
            "header_record: the encoding ascii has no '한'",
        ),
    ],
)
def test_a_wrong_format_is_told_with_its_key(desk: Desk, text: str, problem: str) -> None:
    assert desk.format(text)[0].startswith(f"formats/csv.toml: {problem}")


def test_the_problems_of_a_base_are_told_once(desk: Desk) -> None:
    files = {
        "formats/csv.toml": 'kind = "delimited"\nlineending = "lf"\n',
        "jobs/orders.toml": replaced(JOB, '"csv"', '{ base = "csv", delimitr = ";" }'),
    }
    assert [problem.partition(": unknown")[0] for problem in desk.problems(files)] == [
        "formats/csv.toml: lineending",
        "jobs/orders.toml: file.format.delimitr",
    ]


@pytest.mark.parametrize(
    ("inline", "problem"),
    [
        ('{ base = "cvs" }', "file.format.base: unknown format \"cvs\"; did you mean 'csv'?; formats: csv"),
        ("{ base = 5 }", "file.format.base: unknown format 5"),
        ("{}", "file.format.kind: is required"),
        ('{ kind = "delimited", base2 = 1 }', "file.format.base2: unknown key"),
        ('"cvs"', "file.format: unknown format 'cvs'; did you mean 'csv'?; formats: csv"),
        ("5", "file.format: must be a text or a table, not 5"),
        ('""', "file.format: unknown format ''; formats: csv"),
    ],
)
def test_a_jobs_format_is_a_name_or_a_table(desk: Desk, inline: str, problem: str) -> None:
    assert desk.job('"csv"', inline)[0].startswith(f"jobs/orders.toml: {problem}")


@pytest.mark.parametrize(
    ("inline", "problem"),
    [
        (
            '{ kind = "key-value", separator = "; ", columns = [{ name = "a b" }] }',
            "columns[0]: the name 'a b' cannot be written: it has ' ' in it",
        ),
        (
            '{ kind = "fixed-width", columns = [{ name = "a", width = 8, type = "date" }] }',
            "columns[0].width: a value takes 10 characters or more, and the column has 8",
        ),
    ],
)
def test_what_no_row_could_be_written_with_is_told_where_it_is_written(desk: Desk, inline: str, problem: str) -> None:
    assert desk.job('"csv"', inline)[0].startswith(f"jobs/orders.toml: file.format.{problem}")
    pull = f'direction = "pull"\n[file]\nendpoint = "bank"\npath = "in/*"\nformat = {inline}\n'
    load = '[load]\ndatabase = "shop"\ntable = "t"\n'
    assert desk.load({"jobs/reads.toml": pull + load}).jobs["reads"].name == "reads"


# --- jobs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "problem"),
    [
        ("", "schedule: takes exactly one of cron and every"),
        ('cron = "0 5 * * *"\nevery = "1d"', "schedule: takes exactly one of cron and every"),
        ('cron = "0 5 * *"', "schedule.cron: cron '0 5 * *' has 4 fields"),
        ('cron = "99 5 * * *"', "schedule.cron: cron '99 5 * * *': minute '99' is wrong"),
        ('cron = "0 5 30 2 *"', "schedule.cron: cron '0 5 30 2 *' never comes: no such day exists"),
        ("cron = 5", "schedule.cron: must be a text, not 5"),
        ('every = "0s"', "schedule.every: must be longer than nothing"),
        ('every = "1d"\ncalendar = "KX"', "schedule.calendar: unknown calendar 'KX'"),
        ('every = "1d"\non_closed = "next"', "schedule.on_closed: without a calendar no day is closed"),
        ('every = "1d"\ndate_offset = "-1bd"', 'schedule.date_offset: "-1bd" counts open days'),
        ('every = "1d"\ndate_offset = "1"', "schedule.date_offset: a date offset is a text"),
        ('every = "1d"\ninterval = "days"\nlag = "5m"', 'schedule.lag: is for interval = "slots"'),
        ('every = "1d"\ncatch_up = "all"', 'schedule.catch_up: "all" needs a query that uses :slot'),
        ('every = "1d"\ncutoff = "25:00"', "schedule.cutoff: '25:00' is not a time of day"),
        ('every = "1d"\ncutoff = 07:00:00', None),
        ('every = "1d"\ncutoff = "4h"', None),
        ('every = "1d"\npoll = "5m"', "schedule.poll: is for pull jobs"),
        ('every = "1d"\nstart = "2026-01-01"', "schedule.start: must be a date or a date-time"),
        ('every = "1d"\nstart = 2026-01-01T00:00:00', None),
        ('every = "1h"\nstart = 0001-01-01T00:00:00', "schedule.start: lies outside of the years 1800 to 9000"),
        ('cron = "0 6 * * *"\nstart = 9999-12-31', "schedule.start: lies outside of the years 1800 to 9000"),
        ('cron = "0 6 * * *"\nstart = 9000-12-31', None),
        ('every = "1h"\nstart = 1800-01-01', None),
    ],
)
def test_a_schedule_makes_sense(desk: Desk, schedule: str, problem: str | None) -> None:
    job = f"{JOB}\n[schedule]\n{schedule}\n"
    if problem is None:
        desk.load({"jobs/orders.toml": job})
    else:
        assert desk.problems({"jobs/orders.toml": job})[0].startswith(f"jobs/orders.toml: {problem}")


@pytest.mark.parametrize("catch_up", ["latest", "none"])
def test_intervals_are_not_left_out(desk: Desk, catch_up: str) -> None:
    found = desk.job(
        "select 1 as a", "select :interval_start", more=f'[schedule]\nevery = "1d"\ncatch_up = "{catch_up}"\n'
    )
    assert found[0].startswith(f'jobs/orders.toml: schedule.catch_up: "{catch_up}" with :interval_start')


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('query = "select 1 as a"', "", "source: takes exactly one of query and query_file"),
        (
            'query = "select 1 as a"',
            'query = "a"\nquery_file = "b"',
            "source: takes exactly one of query and query_file",
        ),
        (
            'query = "select 1 as a"',
            'query_file = "absent.sql"',
            'source.query_file: "absent.sql" cannot be read: No such file',
        ),
        ("select 1 as a", "", "source.query: must not be empty"),
        ("select 1 as a", "-- nothing", "source.query: the query is empty"),
        ("select 1 as a", "select 1; select 2", "source.query: the query has more than one statement"),
        ("select 1 as a", "select 'a", "source.query: the literal that begins on line 1 is never closed"),
        ("select 1 as a", "select :slto", "source.query: :slto is used and not declared; did you mean 'slot'?"),
        ('as a"', 'as a"\nparameters = { x = 1 }', "source.parameters.x: is declared, and the query has no :x"),
        ('as a"', 'as a"\nparameters = { slot = 1 }', "source.parameters: :slot always exists"),
        ('1 as a"', ':x"\nparameters = { x = [1] }', "source.parameters.x: must be true or false or a whole number"),
        ('database = "shop"\n', "", "source.database: is required"),
        ('database = "shop"\n', 'database = ""\n', "source.database: must not be empty"),
    ],
)
def test_a_source_makes_sense(desk: Desk, old: str, new: str, problem: str) -> None:
    assert desk.job(old, new)[0].startswith(f"jobs/orders.toml: {problem}")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('endpoint = "bank"\n', "", "file: takes exactly one of endpoint and endpoints"),
        (
            'endpoint = "bank"',
            'endpoint = "bank"\nendpoints = ["bank"]',
            "file: takes exactly one of endpoint and endpoints",
        ),
        ('endpoint = "bank"', "endpoints = []", "file.endpoints: must not be empty"),
        ('endpoint = "bank"', 'endpoints = ["bank", "bank"]', "file.endpoints: 'bank' is named 2 times"),
        (
            'endpoint = "bank"',
            'endpoints = ["bank", "bnk"]',
            "file.endpoints: unknown endpoint 'bnk'; did you mean 'bank'?",
        ),
        ('path = "out/', 'path = "/out/', "file.path: an absolute path"),
        ('path = "out/', 'path = "../', "file.path: a segment '.' or '..'"),
        (
            'path = "out/',
            'compress = "zip"\npath = "out/',
            "file.compress: unknown value \"zip\"; did you mean 'gzip'?",
        ),
        ('path = "out/', 'done_file = "{path}"\npath = "out/', "file.done_file: the name of the file itself"),
        (
            'path = "out/',
            'done_file = "{stm}"\npath = "out/',
            "file.done_file: unknown name in {stm}; did you mean 'stem'?",
        ),
        (
            'path = "out/',
            'done_file = "{path}.x"\nchecksum_file = "{path}.x"\npath = "out/',
            "file.done_file: is the same file as file.checksum_file",
        ),
        ('path = "out/', f'path = "{"x" * 190}', "file.path: the temporary name at endpoint 'bank': a name of 26"),
        ('path = "out/', f'path = "{"x" * 250}', "file.path: a name of "),
        ('path = "out/orders-{slot_utc:%Y%m%dT%H%M%SZ}.csv"', "", "file.path: is required"),
        ('endpoint = "bank"', 'endpoint = "bank"\nendpoint2 = 1', "file.endpoint2: unknown key"),
    ],
)
def test_a_file_has_a_place_that_is_its_own(desk: Desk, old: str, new: str, problem: str) -> None:
    assert desk.job(old, new)[0].startswith(f"jobs/orders.toml: {problem}")


def test_replacing_needs_a_rename(desk: Desk) -> None:
    config = replaced(CONFIG, 'user = "shop"', 'user = "shop"\npublish = "direct"')
    found = desk.problems({"config.toml": config, "jobs/orders.toml": JOB + 'on_exists = "replace"\n'})
    assert found == [
        'jobs/orders.toml: file.on_exists: "replace" needs a rename, and endpoint \'bank\' has publish = "direct"; use "fail"'
    ]


def test_a_record_says_the_same_to_every_endpoint(desk: Desk) -> None:
    files = {
        "formats/csv.toml": FORMAT + 'header_record = "{slot_local:%H}"\n',
        "jobs/orders.toml": replaced(JOB, 'endpoint = "bank"', 'endpoints = ["bank", "archive"]'),
    }
    assert desk.problems(files)[0].startswith(
        "jobs/orders.toml: file.endpoints: the format's records have {slot_local}"
    )


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("[guard]\nmin_rows = 2\nmax_rows = 1", "guard: min_rows = 2 is more than max_rows = 1"),
        ("[guard]\nmin_rows = -1", "guard.min_rows: must be at least 0, not -1"),
        ('[retry]\nrepeat = "5m"', "retry.repeat: repeats until the cutoff, and there is none"),
        ('[retry]\nafter = "5m"', 'retry.after: must be an array, not "5m"'),
        ('[retry]\nafter = ["0s"]', "retry.after[0]: must be longer than nothing"),
        ('[retry]\norder = "Strict"', "retry.order: unknown value \"Strict\"; did you mean 'strict'?"),
        ("[sorce]", "sorce: unknown key; did you mean 'source'?"),
    ],
)
def test_guard_and_retry_make_sense(desk: Desk, more: str, problem: str) -> None:
    assert desk.problems({"jobs/orders.toml": f"{JOB}\n{more}\n"})[0].startswith(f"jobs/orders.toml: {problem}")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('name = "x"', "name: unknown key; a job's name is the name of its file"),
        ('direction = "pull"', "source: unknown key; keys: description, direction, enabled, file, guard, load"),
        ('direction = "psh"', "direction: unknown value \"psh\"; did you mean 'push'?; values: pull, push"),
        ("direction = 5", "direction: unknown value 5; values: pull, push"),
        ("schedule = 5", "schedule: must be a table, not 5"),
        ("enabled = 1", "enabled: must be true or false, not 1"),
    ],
)
def test_the_head_of_a_job_makes_sense(desk: Desk, line: str, problem: str) -> None:
    assert desk.problems({"jobs/orders.toml": f"{line}\n{JOB}"})[0].startswith(f"jobs/orders.toml: {problem}")


def test_the_repositorys_own_project_is_right(models: OptionModels) -> None:
    load(Path(__file__).parents[2] / "config.example.toml", models)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("[source]", "[schedule]\ncron = true\n[source]", "schedule.cron: must be a text"),
        ('query = "select', 'query = ""\n# query = "select', "source.query: must not be empty"),
        ('endpoint = "bank"', "endpoint = 5", "file.endpoint: must be a text"),
    ],
)
def test_a_key_of_which_exactly_one_is_needed_is_not_told_as_missing_where_its_value_is_wrong(
    desk: Desk, old: str, new: str, problem: str
) -> None:
    (only,) = desk.problems({"jobs/orders.toml": replaced(JOB, old, new)})
    assert only.startswith(f"jobs/orders.toml: {problem}")


def test_the_name_of_a_file_cannot_begin_a_line_of_its_own(desk: Desk) -> None:
    found = desk.problems({"jobs/a\nerror: b.toml": JOB})
    assert any(r"jobs/a\nerror: b.toml" in line for line in found)
    assert not any("\n" in line for line in found)
