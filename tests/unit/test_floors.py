"""The floors of the house: imports point downwards only, and each ban has a reason.

A new module is placed by hand: write its name on its floor in FLOORS below. An adapter needs no entry: its folder is its
floor.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent

import pytest

PACKAGE = "batchxfer"
ROOT = Path(__file__).resolve().parents[2] / PACKAGE


@dataclass(frozen=True, kw_only=True)
class Floor:
    """Modules (or whole folders) that may import the floors below but `not_these`, and where `together` one another."""

    name: str
    modules: str
    reason: str
    together: bool = False
    not_these: Sequence[str] = ()

    @property
    def rooms(self) -> Sequence[str]:
        return self.modules.split()


# Lowest first.
FLOORS = (
    Floor(name="package", modules="__init__", reason="importing the package costs nothing"),
    Floor(name="secrets", modules="redaction", reason="whatever is said is said without them"),
    Floor(name="errors", modules="errors", reason="everything may fail"),
    Floor(
        name="words", modules="quantities suggestions zones", reason="how people write things, whatever they are for"
    ),
    Floor(name="model", modules="model", reason="the values that every part speaks of"),
    Floor(name="contracts", modules="fields definitions facts ports", together=True, reason="what the parts agree on"),
    Floor(
        name="writing",
        modules="""
            values instants conversions plain reading totals charset templates shapes paths globs sql compression
            checksums
        """,
        together=True,
        reason="how values, names and bytes are written: the same for every adapter",
    ),
    Floor(
        name="decisions",
        modules="""
            cron calendars occurrences slots planner dispatch planned
            telling families proof retry resolve health judging diagnosis
        """,
        together=True,
        reason="a decision is a value that follows from values, so that a test needs no world",
    ),
    Floor(name="threads", modules="beside", reason="a call in a thread of its own is ended in one way"),
    Floor(
        name="world",
        modules="credentials ids shortages writeback",
        reason="what the work and the adapters both need of the world",
    ),
    Floor(
        name="adapters",
        modules="databases codec endpoints ledger",
        not_these=["decisions"],
        reason="an adapter supplies small primitives; what to do with them is decided above, once for all of them",
    ),
    Floor(
        name="work",
        modules="""
            tables urls format_checks job_checks pull_checks config schemas
            layout controls decoding spool connections contents growing headstart incoming push pull load early_load
            naming snapshots activity settling runner inbox worker operations
            puller pull_attempt looking fetching intake afterwards
            ticking waiting crew notify pruning systemd holidays_seen
            suspects sights reconciling doctor
        """,
        together=True,
        not_these=["adapters"],
        reason="the work knows ports; which adapter stands behind one only wiring knows",
    ),
    Floor(name="wiring", modules="wiring", reason="the only place that finds adapters by their names in the config"),
    Floor(name="uses", modules="scheduler starter demo", reason="each stands on its own"),
    Floor(name="commands", modules="cli __main__", together=True, reason="words in, words out"),
)


@dataclass(frozen=True, kw_only=True)
class Ban:
    """Names (a module, or `module.attribute`) that only `allowed` modules or folders use."""

    names: Sequence[str]
    allowed: Sequence[str]
    reason: str


BANS = (
    Ban(names=["paramiko"], allowed=["endpoints.sftp", "demo"], reason="SSH has one owner, which knows its traps"),
    Ban(names=["adbc_driver_postgresql", "adbc_driver_manager"], allowed=["databases.postgresql"], reason="one owner"),
    Ban(
        names=["psycopg"],
        allowed=[
            "databases.postgresql",
            "databases._postgresql_session",
            "databases._postgresql_tables",
            "databases._postgresql_load",
            "ledger",
        ],
        reason="elsewhere a port is spoken, not a driver",
    ),
    Ban(names=["sqlalchemy"], allowed=["databases", "ledger"], reason="elsewhere a port is spoken"),
    Ban(names=["alembic"], allowed=["ledger"], reason="only the ledger has a schema of ours"),
    Ban(
        names=["apscheduler"], allowed=["scheduler"], reason="it only wakes the daemon; slots are enumerated by cronsim"
    ),
    Ban(names=["cronsim"], allowed=["cron"], reason="one reading of cron for plan, run, serve and check"),
    Ban(names=["holidays"], allowed=["calendars"], reason="one reading of calendars"),
    Ban(
        names=["sqlite3"],
        allowed=[
            *["ledger", "demo", "starter"],
            *["databases._sqlite", "databases._sqlite_json", "databases._sqlite_rows", "databases._sqlite_process"],
        ],
        reason="a job's SQLite is read through SQLAlchemy, as any database",
    ),
    Ban(
        names=["pyarrow"],
        allowed=[
            "values",
            "instants",
            "conversions",
            "plain",
            "reading",
            "totals",
            "decoding",
            "layout",
            "spool",
            "compression",
            "load",
            "databases",
            "codec",
        ],
        reason="record batches live between source and codec; its import costs half a second",
    ),
    Ban(names=["typer", "click"], allowed=["cli"], reason="words in, words out"),
    Ban(names=["rich"], allowed=["cli", "demo"], reason="only commands draw"),
    Ban(names=["pymysql"], allowed=["databases._mysql_wire"], reason="SQLAlchemy calls it; rows come off its socket"),
    Ban(names=["asyncssh", "oracledb", "pymssql"], allowed=[], reason="tests' or SQLAlchemy's, not ours"),
    Ban(
        names=["os.environ", "os.environb", "os.getenv", "os.putenv"],
        allowed=["cli", "scheduler", "demo", "credentials", "endpoints.sftp.login"],
        reason="the environment is an argument; credentials reads the one name that { env } gives, and login the address of "
        "the user's SSH agent",
    ),
    Ban(
        names=["datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.time", "time.time_ns"],
        allowed=["cli", "scheduler", "demo"],
        reason="a Clock is handed in, so that tests own time",
    ),
    Ban(names=["pendulum.now", "pendulum.today"], allowed=["cli", "scheduler", "demo"], reason="a Clock is handed in"),
    Ban(
        names=["signal"],
        # _sqlite_rows is the program of a process of its own.
        allowed=["cli", "scheduler", "databases._sqlite_rows"],
        reason="a signal belongs to the process, not to a library",
    ),
    Ban(names=["locale"], allowed=[], reason="bytes do not depend on the machine's locale"),
    Ban(
        names=["pickle", "marshal", "shelve"],
        # What passes between a process and the one that it has started is not kept.
        allowed=["databases._sqlite_rows", "databases._sqlite_process"],
        reason="what is kept is text that a person can read",
    ),
)

# Imports that may close a circle.
KNOWN_CIRCLES = {
    ("cli.starting", "cli.process"): "the demo is a command that types commands",
}

PURE = ("words", "model", "contracts", "writing", "decisions")

PURE_BAN = Ban(
    names=[
        *["os", "socket", "ssl", "select", "subprocess", "shutil", "tempfile", "glob", "io.open", "open", "input"],
        *["time", "random", "secrets", "threading", "multiprocessing", "concurrent", "asyncio", "sqlite3", "http"],
        *["urllib.request", "logging", "print", "uuid.uuid1", "uuid.uuid4"],
    ],
    allowed=[],
    reason="a pure module takes values and gives values: no I/O, no clock, no chance",
)

# Method names that only a path or a file has: what pathlib hides from the imports.
PURE_METHODS = {"read_text", "write_text", "read_bytes", "write_bytes", "unlink", "mkdir", "rmdir", "iterdir", "touch"}

HEAVY = {
    "pyarrow",
    "paramiko",
    "sqlalchemy",
    "adbc_driver_postgresql",
    "psycopg",
    "alembic",
    "apscheduler",
    "cryptography",
}


# --- reading a module ------------------------------------------------------------------------------


@dataclass(kw_only=True)
class Names:
    """What a module's text speaks of: internal modules it imports, outside names it imports or uses, methods it calls."""

    internal: set[str] = field(default_factory=set)
    outside: set[str] = field(default_factory=set)
    methods: set[str] = field(default_factory=set)


class Reader(ast.NodeVisitor):
    def __init__(self, module: str, is_package: bool, known: set[str]) -> None:
        self.names = Names()
        self.known = known
        self.folder = module.split(".") if is_package else module.split(".")[:-1]
        self.aliases: dict[str, str] = {}
        self.typing_only = False
        self.typing_names: set[str] = set()

    def visit_If(self, node: ast.If) -> None:
        before = self.typing_only
        self.typing_only = before or "TYPE_CHECKING" in ast.dump(node.test)
        for child in node.body:
            self.visit(child)
        self.typing_only = before
        for child in node.orelse:
            self.visit(child)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.note(alias.name)
            self.remember(alias.asname or alias.name.split(".")[0])
            self.aliases[alias.asname or alias.name.split(".")[0]] = (
                alias.name if alias.asname else alias.name.split(".")[0]
            )

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = node.module or ""
        if node.level:
            folder = [PACKAGE, *self.folder][: len(self.folder) + 2 - node.level]
            base = ".".join([*folder, base] if base else folder)
        for alias in node.names:
            self.note(f"{base}.{alias.name}")
            self.remember(alias.asname or alias.name)
            self.aliases[alias.asname or alias.name] = f"{base}.{alias.name}"

    def visit_Attribute(self, node: ast.Attribute) -> None:
        dotted = ast.unparse(node)
        head, _, tail = dotted.partition(".")
        if (
            head in self.aliases
            and head not in self.typing_names
            and all(part.isidentifier() for part in dotted.split("."))
        ):
            self.note(f"{self.aliases[head]}.{tail}")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Attribute):
            self.names.methods.add(node.func.attr)
        elif isinstance(node.func, ast.Name) and node.func.id not in self.aliases:
            self.note(node.func.id)
        self.generic_visit(node)

    def remember(self, name: str) -> None:
        """A name that exists for type checkers only is used in annotations only, which cost nothing."""
        (self.typing_names.add if self.typing_only else self.typing_names.discard)(name)

    def note(self, dotted: str) -> None:
        if dotted == PACKAGE or dotted.startswith(f"{PACKAGE}."):
            self.names.internal.add(longest_known(dotted, self.known))
        elif not self.typing_only:
            self.names.outside.add(dotted)


def longest_known(dotted: str, known: set[str]) -> str:
    """The module that `batchxfer.a.b.Name` comes from, without the package's name."""
    parts = dotted.split(".")[1:]
    while parts and ".".join(parts) not in known:
        parts.pop()
    return ".".join(parts) or "__init__"


def module_name(path: Path, root: Path) -> str:
    parts = list(path.relative_to(root).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def read_package(root: Path) -> dict[str, Names]:
    paths = {module_name(path, root): path for path in sorted(root.rglob("*.py"))}
    result = {}
    for module, path in paths.items():
        reader = Reader(module, path.name == "__init__.py" and path.parent != root, set(paths))
        reader.visit(ast.parse(path.read_text("utf-8")))
        reader.names.internal.discard(module)
        result[module] = reader.names
    return result


# --- the rules -------------------------------------------------------------------------------------


def within(module: str, rooms: Sequence[str]) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


def uses(name: str, banned: str) -> bool:
    """`datetime.datetime.now` uses `datetime.now`; `os.path` uses `os`; `signals` does not use `signal`."""
    if "." in banned:
        return name == banned or name.endswith(f".{banned}") or name.startswith(f"{banned}.")
    return name.split(".")[0] == banned


def room_of(module: str) -> tuple[int, str] | None:
    """The floor's number and the room; None for a module that nobody has placed yet."""
    places = ((number, room) for number, floor in enumerate(FLOORS) for room in floor.rooms)
    return next(((number, room) for number, room in places if within(module, [room])), None)


def unplaced(package: dict[str, Names]) -> Iterator[str]:
    for module in package:
        if room_of(module) is None:
            yield f"{module}: stands on no floor; add it to the floor it belongs to in FLOORS, {Path(__file__).name}"


def upward_imports(package: dict[str, Names]) -> Iterator[str]:
    for module, names in package.items():
        for other in sorted(names.internal - {"__init__"}):
            here, there = room_of(module), room_of(other)
            if here and there and not may_import(here, there):
                floor, above = FLOORS[here[0]], FLOORS[there[0]]
                yield f"{module} ({floor.name}) imports {other} ({above.name}): {floor.reason}"


def may_import(here: tuple[int, str], there: tuple[int, str]) -> bool:
    floor = FLOORS[here[0]]
    if here[0] == there[0]:
        return here[1] == there[1] or floor.together
    return there[0] < here[0] and FLOORS[there[0]].name not in floor.not_these


def banned_names(package: dict[str, Names]) -> Iterator[str]:
    for module, names in package.items():
        for ban in BANS:
            if not within(module, ban.allowed):
                yield from breaches(module, names, ban)


def breaches(module: str, names: Names, ban: Ban) -> Iterator[str]:
    for banned in ban.names:
        if any(uses(name, banned) for name in names.outside):
            yield f"{module} uses {banned}: {ban.reason} (only in: {', '.join(ban.allowed) or 'nowhere'})"


def impure(package: dict[str, Names]) -> Iterator[str]:
    pure = {name: floor for floor in FLOORS for name in floor.rooms if floor.name in PURE}
    for module, names in package.items():
        if within(module, list(pure)):
            yield from breaches(module, names, PURE_BAN)
            for method in sorted(PURE_METHODS & names.methods):
                yield f"{module} calls .{method}(): {PURE_BAN.reason}"


def cycles(package: dict[str, Names]) -> Iterator[str]:
    """Cycles of imports, late ones included: two modules that need each other are one idea."""
    done: set[str] = set()

    def walk(module: str, path: list[str]) -> Iterator[str]:
        if module in path:
            yield " → ".join([*path[path.index(module) :], module])
            return
        if module in done:
            return
        for other in sorted(package[module].internal):
            if (module, other) not in KNOWN_CIRCLES:
                yield from walk(other, [*path, module])
        done.add(module)

    for module in package:
        yield from walk(module, [])


def adapters_of_adapters(package: dict[str, Names], root: Path) -> Iterator[str]:
    """An adapter is a module that a TOML value names: it holds the class of its port."""
    ports = {"databases": "Source", "codec": "Codec", "endpoints": "Endpoint"}
    adapters = set()
    for module in package:
        folder, _, name = module.partition(".")
        path = root / folder / f"{name.replace('.', '/')}.py"
        if folder in ports and path.is_file():
            tree = ast.parse(path.read_text("utf-8"))
            if any(isinstance(node, ast.ClassDef) and node.name == ports[folder] for node in tree.body):
                adapters.add(module)
    for module in sorted(adapters):
        for other in sorted(package[module].internal & adapters):
            yield f"{module} imports {other}: an adapter can be taken away without touching another"


RULES = {
    "placed": unplaced,
    "downwards": upward_imports,
    "owned": banned_names,
    "pure": impure,
    "acyclic": cycles,
}


def complaints(root: Path, rule: str) -> list[str]:
    return list(RULES[rule](read_package(root)))


# --- the house as it is ----------------------------------------------------------------------------


def test_every_module_stands_on_a_floor() -> None:
    assert complaints(ROOT, "placed") == []


def test_imports_point_downwards_only() -> None:
    assert complaints(ROOT, "downwards") == []


def test_a_driver_the_clock_and_the_environment_have_their_rooms() -> None:
    assert complaints(ROOT, "owned") == []


def test_pure_modules_do_nothing_to_the_world() -> None:
    assert complaints(ROOT, "pure") == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert complaints(ROOT, "acyclic") == []


def test_adapters_do_not_import_each_other() -> None:
    assert list(adapters_of_adapters(read_package(ROOT), ROOT)) == []


def test_help_needs_no_heavy_import() -> None:
    """`batchxfer --help` answers in under 0.3 s, and shell completion asks at each tab."""
    code = f"""
        import sys
        from batchxfer.cli import main

        sys.argv = ["batchxfer", "--help"]
        assert main() == 0
        print(*(set({sorted(HEAVY)}) & sys.modules.keys()), file=sys.stderr)
    """
    done = subprocess.run([sys.executable, "-c", dedent(code)], capture_output=True, text=True, check=True)
    loaded = done.stderr.split()
    assert loaded == []


# --- the rules themselves can be broken ------------------------------------------------------------


def house(root: Path, **modules: str) -> Path:
    """A package with these modules; `__` in a name is a folder."""
    for name, text in {"__init__": "", **modules}.items():
        path = root / (name if name.startswith("__") else name.replace("__", "/"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".py").write_text(dedent(text), "utf-8")
    return root


@pytest.mark.parametrize(
    ("rule", "modules", "part"),
    [
        ("placed", {"helpers": ""}, "helpers: stands on no floor; add it"),
        ("downwards", {"errors": "import batchxfer.model", "model": ""}, "errors (errors) imports model"),
        ("downwards", {"retry": "from batchxfer import runner", "runner": ""}, "retry (decisions) imports runner"),
        ("downwards", {"retry": "def f():\n    from batchxfer.runner import go", "runner": ""}, "imports runner"),
        ("downwards", {"runner": "from .wiring import find", "wiring": ""}, "runner (work) imports wiring"),
        ("downwards", {"push": "import batchxfer.endpoints.sftp", "endpoints__sftp": ""}, "imports endpoints.sftp"),
        (
            "downwards",
            {"endpoints__sftp": "from batchxfer.runner import x", "runner": ""},
            "sftp (adapters) imports runner",
        ),
        (
            "downwards",
            {"codec__lines": "from ..endpoints import local", "endpoints__local": ""},
            "imports endpoints.local",
        ),
        (
            "downwards",
            {"endpoints__sftp": "from batchxfer import retry", "retry": ""},
            "imports retry (decisions): an adapter",
        ),
        ("owned", {"push": "import paramiko"}, "push uses paramiko: SSH has one owner"),
        ("owned", {"endpoints__local": "from paramiko.sftp import CMD_CLOSE"}, "endpoints.local uses paramiko"),
        ("owned", {"runner": "def f():\n    import sqlalchemy.exc"}, "runner uses sqlalchemy"),
        ("owned", {"runner": "import os\nx = os.environ['HOME']"}, "runner uses os.environ"),
        ("owned", {"runner": "from os import environ"}, "runner uses os.environ"),
        ("owned", {"runner": "import os as o\nx = o.getenv('A')"}, "runner uses os.getenv"),
        ("owned", {"runner": "import datetime as dt\nx = dt.datetime.now(dt.UTC)"}, "runner uses datetime.now"),
        ("owned", {"worker": "from datetime import UTC, datetime\nx = datetime.now(UTC)"}, "worker uses datetime.now"),
        ("owned", {"worker": "from time import time"}, "worker uses time.time"),
        ("owned", {"worker": "import signal"}, "worker uses signal"),
        ("pure", {"retry": "import socket"}, "retry uses socket"),
        ("pure", {"slots": "def f():\n    return open('x')"}, "slots uses open"),
        ("pure", {"proof": "def f(p):\n    p.write_text('x')"}, "proof calls .write_text()"),
        ("acyclic", {"push": "import batchxfer.spool", "spool": "import batchxfer.push"}, "push → spool → push"),
    ],
)
def test_a_broken_rule_is_seen(tmp_path: Path, rule: str, modules: dict[str, str], part: str) -> None:
    found = complaints(house(tmp_path, **modules), rule)
    assert len(found) == 1, found
    assert part in found[0]


def test_one_adapter_importing_another_is_seen(tmp_path: Path) -> None:
    root = house(
        tmp_path,
        codec__lines="class Codec: ...",
        codec__joining="def join(): ...",
        codec__delimited="from batchxfer.codec import joining, lines\nclass Codec: ...",
    )
    found = list(adapters_of_adapters(read_package(root), root))
    assert [text.partition(":")[0] for text in found] == ["codec.delimited imports codec.lines"]


@pytest.mark.parametrize(
    "modules",
    [
        {"ports": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pyarrow"},
        {"slots": "from datetime import datetime, timedelta\ndef f(now: datetime): ..."},
        {"worker": "import time\ndef f(): return time.monotonic()"},
        {"endpoints__sftp": "import paramiko\nfrom batchxfer.endpoints import transfer", "endpoints__transfer": ""},
        {"databases__postgresql": "import batchxfer.credentials", "credentials": "import os\nos.environ.get('X')"},
    ],
)
def test_what_is_allowed_is_not_complained_about(tmp_path: Path, modules: dict[str, str]) -> None:
    root = house(tmp_path, **modules)
    assert [text for rule in RULES for text in complaints(root, rule)] == []
