"""Names in the configuration → adapters: the only place that finds them.

An adapter is the module of the value in the TOML: `kind = "json-lines"` is batchxfer.codec.json_lines.
"""

from __future__ import annotations

import importlib
import logging
import pkgutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, cast

from batchxfer import config, urls
from batchxfer.connections import Connections
from batchxfer.credentials import peek, resolve, secrets_of
from batchxfer.definitions import DatabaseOptions, FormatOptions
from batchxfer.errors import CredentialError, HeldError, Problem, UsageError
from batchxfer.facts import Backup
from batchxfer.model import Column
from batchxfer.ports import Clock, Codec, Decoder, Endpoint, Ledger, Source, Target
from batchxfer.redaction import hide

if TYPE_CHECKING:
    from batchxfer.activity import Listener
    from batchxfer.operations import Operations
    from batchxfer.runner import Runner
    from batchxfer.worker import Worker

log = logging.getLogger("batchxfer")

POSTGRESQL_SCHEMES = ("postgresql", "postgres")


def module_name(value: str) -> str:
    """The module of a value in the TOML."""
    return value.replace("-", "_")


def names(package: str) -> list[str]:
    """The values that name a module of `package` (codec, endpoints), sorted."""
    folder = importlib.import_module(f"batchxfer.{package}")
    modules = (module.name for module in pkgutil.iter_modules(folder.__path__) if not module.name.startswith("_"))
    return sorted(name.replace("_", "-") for name in modules)


def adapter(package: str, value: str) -> ModuleType:
    return importlib.import_module(f"batchxfer.{package}.{module_name(value)}")


def option_models() -> config.OptionModels:
    """The adapters' own option models, for config.load."""
    return config.OptionModels(
        formats={name: adapter("codec", name).Options for name in names("codec")},
        endpoints={name: adapter("endpoints", name).Options for name in names("endpoints")},
    )


def load_project(path: Path) -> config.Project:
    """The project of the configuration file `path`. Raises ConfigError with every problem."""
    return config.load(path, option_models())


def load_sound_part(path: Path) -> tuple[config.Project, list[Problem]]:
    """The project without what has a problem in `jobs/` or `formats/`, and the problems. Raises ConfigError for its own."""
    return config.load_sound_part(path, option_models())


@dataclass(frozen=True)
class Toolbox:
    """The adapters of one project, made when they are asked for. An endpoint is made once: it learns of its server."""

    project: config.Project
    _endpoints: dict[str, Endpoint] = field(default_factory=dict, repr=False, compare=False)

    def source(self, name: str) -> Source:
        return cast(Source, self._database(name, "Source"))

    def target(self, name: str) -> Target:
        return cast(Target, self._database(name, "Target"))

    def _database(self, name: str, role: str) -> object:
        options = self.project.config.databases.get(name)
        if options is None:
            raise HeldError(f"database {name!r} is no longer in config.toml", hint="bring it back, then retry")
        url = self.database_url(options)
        module = _database_adapter(url)
        password = resolve(options.password, self.project.folder) if options.password else None
        return cast(object, getattr(module, role)(name, options, url=url, password=password))

    def database_url(self, options: DatabaseOptions) -> str:
        """The URL as the adapters take it: its secret resolved, a relative SQLite file below the project's folder."""
        url = options.url
        if isinstance(url, str):
            return self.project.absolute_url(url)
        text = resolve(url, self.project.folder).reveal()
        _hide_url(text)
        return self.project.absolute_url(text)

    def codec(self, options: FormatOptions, columns: tuple[Column, ...]) -> Codec:
        return cast(Codec, adapter("codec", options.kind).Codec(options, columns))

    def decoder(self, options: FormatOptions, columns: tuple[Column, ...] | None) -> Decoder:
        return cast(Decoder, adapter("codec", options.kind).Decoder(options, columns))

    def import_load(self, database: str, options: FormatOptions) -> None:
        # The database's first: an early load connects while the rest is imported.
        url = self.project.config.databases[database].url
        if isinstance(url, str):
            _database_adapter(url)
        from batchxfer import decoding  # noqa: F401

        adapter("codec", options.kind).Decoder  # noqa: B018 - importing it is all that is wanted

    def format(self, text: str) -> FormatOptions:
        import orjson

        keys = orjson.loads(text)
        return cast(FormatOptions, adapter("codec", keys["kind"]).Options.model_validate(keys))

    def connection_limit(self, name: str) -> int:
        return self.project.config.endpoints[name].connections

    def endpoint(self, name: str) -> Endpoint:
        if name not in self._endpoints:
            options = self.project.config.endpoints[name]
            made = adapter("endpoints", options.protocol).Endpoint(name, options, self.project.folder)
            self._endpoints[name] = cast(Endpoint, made)
        return self._endpoints[name]


def _database_adapter(url: str) -> ModuleType:
    scheme = url.partition(":")[0].partition("+")[0]
    return adapter("databases", "postgresql" if scheme in POSTGRESQL_SCHEMES else "sqlalchemy")


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """A project with its ledger open: what a command works with."""

    project: config.Project
    ledger: Ledger
    toolbox: Toolbox
    connections: Connections
    clock: Clock
    environment: str | None
    listener: Listener | None = None
    worker: Worker
    """The one of its ledger, whatever the configuration: it knows all that is worked on here."""

    @cached_property
    def runner(self) -> Runner:
        from batchxfer.runner import Runner

        return Runner(
            self.project,
            self.ledger,
            self.toolbox,
            self.connections,
            self.clock,
            environment=self.environment,
            listener=self.listener,
        )

    @cached_property
    def operations(self) -> Operations:
        from batchxfer.operations import Operations

        return Operations(self.project, self.ledger, self.runner, self.worker, self.clock)

    def renewed(self, project: config.Project) -> Workplace:
        """The same ledger, and whoever works on it, with another configuration."""
        hide_secrets(project)
        toolbox = Toolbox(project)
        return replace(
            self,
            project=project,
            toolbox=toolbox,
            connections=Connections(toolbox.endpoint, toolbox.connection_limit),
            environment=environment(project),
        )


@contextmanager
def workplace(
    project: config.Project, clock: Clock, *, create: bool, migrate: bool = True, listener: Listener | None = None
) -> Iterator[Workplace | None]:
    """Open the project's ledger; None where a new project has none yet and `create` is false.

    `create` makes the ledger of a new project, and never one where a ledger was: LedgerError says so. Without `migrate` that of
    an earlier batchxfer is refused.
    """
    from batchxfer.worker import Worker

    hide_secrets(project)
    ledger = open_ledger(project, clock, create=create, migrate=migrate)
    if ledger is None:
        yield None
        return
    toolbox = Toolbox(project)
    try:
        with Connections(toolbox.endpoint, toolbox.connection_limit) as connections:
            yield Workplace(
                project=project,
                ledger=ledger,
                toolbox=toolbox,
                connections=connections,
                clock=clock,
                environment=environment(project),
                listener=listener,
                worker=Worker(ledger, ledger.owner),
            )
    finally:
        ledger.close()


def hide_secrets(project: config.Project) -> None:
    """Hide every secret of the project that can be read: a server may know, and say, one that is not used here."""
    urls_of_databases = [options.url for options in project.config.databases.values()]
    for ref in secrets_of(project.config):
        text = peek(ref, project.folder)
        if text is not None and ref in urls_of_databases:
            _hide_url(text)
        elif text is not None:
            hide(text)


def _hide_url(text: str) -> None:
    for part in urls.secrets_in(text):
        hide(part)


def open_ledger(project: config.Project, clock: Clock, *, create: bool, migrate: bool = True) -> Ledger | None:
    from batchxfer.ledger.opening import open_ledger as opened

    password = project.config.ledger_password
    return opened(
        project.ledger_url,
        resolve(password, project.folder) if password else None,
        spool=project.spool,
        clock=clock,
        create=create,
        migrate=migrate,
    )


def ledger_file(project: config.Project) -> Path | None:
    """The file of a SQLite ledger; None for another one."""
    from batchxfer.ledger import copying

    return copying.file_of(project.ledger_url)


def back_up(project: config.Project, to: Path | None, now: datetime) -> Backup:
    """Copy the ledger to the new file `to`; where that is a folder, or nothing, to a new name in it, or beside the ledger.

    Raises UsageError, with what to type, for a ledger that is no file.
    """
    from batchxfer.ledger import copying

    ledger = copying.file_of(project.ledger_url)
    if ledger is None:
        raise UsageError(
            "the ledger is in PostgreSQL: its own program copies it, also while batchxfer runs",
            hint=copying.dump_command(project.ledger_url, to or Path("ledger.dump")),
        )
    if not ledger.is_file():
        from batchxfer.ledger.opening import refuse_lost
        from batchxfer.ledger.project import read_id

        refuse_lost(f"ledger {ledger}", project.spool, read_id(project.spool))
    if to is None or to.is_dir():
        to = (to or ledger.parent) / f"{ledger.stem}-{now:%Y%m%dT%H%M%SZ}{ledger.suffix}"
    return copying.backup(ledger, to.absolute(), now)


def environment(project: config.Project) -> str | None:
    """What this machine calls itself, stripped; None where nothing is said, or what says it is not on this machine.

    A copy of another machine's configuration has nothing else wrong with it: its other endpoints go on.
    """
    said = project.config.environment
    try:
        return resolve(said, project.folder, public=True).reveal().strip() if said else None
    except CredentialError as error:
        log.warning("`environment` in config.toml: %s", error.message, extra={"action": "environment-unknown"})
        return None
