"""The demo: the example project's jobs, sent to partners on this machine, with what goes wrong at night."""

from __future__ import annotations

import gzip
import io
import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.tree import Tree

from batchxfer.demo.shell import Command, Shell, inside
from batchxfer.demo.stage import Stage, stage
from batchxfer.errors import ExitCode

LINES_SHOWN = 3
CUT_AFTER_BYTES = 100_000
SHOWN_ID_CHARACTERS = 12


# What may be typed, and what it is for.
Hint = tuple[str, str]


def tell(folder: Path, command: Command, now: datetime, *, quiet: bool = False) -> Mapping[str, object]:
    """Play the demo in `folder`, and return what was typed and delivered. Prints nothing where `quiet`.

    `command` carries out the words after `batchxfer`. Raises UsageError when the folder is somebody's, DemoError when a
    command does not end as it should.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    console = Console(highlight=False, quiet=quiet)
    way_back = [*activation(), (f"cd {shlex.quote(str(folder))}", "the project: config.toml, jobs/, formats/")]
    with stage(folder.absolute(), now) as scene:
        story = Story(scene, Shell(command=command, quiet=quiet), console)
        with inside(scene.folder):
            story.tell(folder, way_back)
            runs = story.shell.ask("runs", "--limit", "100")["runs"]
    return {"folder": str(scene.folder), "commands": story.shell.typed, "runs": runs}


class Story:
    def __init__(self, scene: Stage, shell: Shell, console: Console) -> None:
        self.scene = scene
        self.shell = shell
        self.console = console
        self.scenes = 0

    def tell(self, folder: Path, way_back: Sequence[Hint]) -> None:
        self.console.print(
            f"\nA shop with a SQLite database, and four partners behind one SFTP server on 127.0.0.1, port "
            f"{self.scene.partner.port}; all of it made for you in [bold]{escape(str(folder))}[/]. The jobs are the example "
            "project's as they are, and a line that begins with $ is a command as you would type it."
        )
        self.is_the_configuration_right()
        self.each_format()
        self.nothing_is_sent_too()
        self.another_server_answers()
        self.the_link_breaks()
        self.the_way_back()
        self.once_more()
        self.what_is_there_now()
        self.what_to_type_next(way_back)

    # --- scenes ------------------------------------------------------------------------------

    def is_the_configuration_right(self) -> None:
        self.scene_is("Is it right? Every file is read, nothing is connected to.")
        self.type("check")

    def each_format(self) -> None:
        self.scene_is("Query, write, send, each in the format that the partner asked for.")
        self.deliver("orders-to-bank", "Values between bars, a header and a trailer that count and add up:", first=True)
        self.deliver("customers-to-crm", "Names and values, of the customers that changed since the slot before:")
        self.deliver("labels-to-printer", "Lines as the query made them, into a folder of this machine:")
        self.deliver("prices-by-hand", "A spreadsheet, for two partners, by hand:", "--param", "currency=USD")

    def nothing_is_sent_too(self) -> None:
        self.scene_is("No rows. The file is sent all the same: a missing one could mean anything.")
        self.deliver("returns-to-warehouse", "The names of the columns, and no row:", first=True)

    def another_server_answers(self) -> None:
        self.scene_is("Another server answers in the partner's place.")
        own_key, logins = self.scene.partner.host_key, len(self.scene.partner.logins)
        self.scene.partner.host_key = self.scene.impostor
        self.type("run", "sales-to-accounting", expect=ExitCode.FAILED)
        self.scene.partner.host_key = own_key
        if len(self.scene.partner.logins) == logins:
            self.say("That server was told nothing, not even a user name. Now the right one is back:")
        self.type("retry", self.run_id("sales-to-accounting"))
        self.show("sales-to-accounting", "Fixed columns in Korea's encoding, where a syllable is two bytes wide:")

    def the_link_breaks(self) -> None:
        self.scene_is("The link breaks in the middle of a file.")
        self.scene.partner.cut_next_upload(CUT_AFTER_BYTES)
        self.type("run", "stock-to-warehouse", expect=ExitCode.RETRYING)
        self.say(
            f"The partner sees {self.seen_in('warehouse/stock')}. Trying again sends the file that was built; the query does "
            "not run twice:"
        )
        self.type("retry", self.run_id("stock-to-warehouse"))
        self.show("stock-to-warehouse", "JSON, compressed:")

    def the_way_back(self) -> None:
        self.scene_is(
            "The way back: a file of theirs is fetched once, loaded into a table, and moved to their archive."
        )
        left = self.scene.leave_shipments("shipments-0042.csv")
        self.show_lines(left, "The warehouse left this, with a typing error in its third record:", all_of_it=True)
        self.console.print()
        self.type("run", "shipments-from-warehouse")
        (file,) = self.last_run("shipments-from-warehouse")["files"]
        self.show_lines(Path(f"{file['local_path']}.bad.jsonl"), "The record that could not be read, beside the file:")

    def once_more(self) -> None:
        self.scene_is("Once more. What was delivered is left alone; a rerun gets a name of its own.")
        self.type("run", "orders-to-bank")
        self.console.print()
        self.type("rerun", self.run_id("orders-to-bank"))

    def what_is_there_now(self) -> None:
        self.scene_is("What the partners have, and what the ledger says.")
        if not self.console.quiet:
            self.console.print(folder_tree(self.scene.partners), folder_tree(self.scene.folder / "var/printer"))
            self.console.print()
        self.type("runs")

    def what_to_type_next(self, way_back: Sequence[Hint]) -> None:
        self.scene_is("What to type next. (The partners' server ends with the demo.)")
        for words, why in (
            *way_back,
            (f"batchxfer show {self.run_id('stock-to-warehouse')}", "one run in full: attempts, evidence, sha256"),
            ("batchxfer run orders-to-bank --dry-run", "the file that would be sent, and where to"),
            ("batchxfer init ~/my-project", "a project of your own"),
        ):
            self.console.print(f"  [bold]{escape(words):<48}[/] [dim]{escape(why)}[/]", soft_wrap=True)
        self.console.print()

    # --- telling -----------------------------------------------------------------------------

    def scene_is(self, title: str) -> None:
        self.scenes += 1
        self.console.print(f"\n[bold cyan]{self.scenes}[/]  [bold]{title}[/]\n")

    def say(self, text: str) -> None:
        self.console.print(f"\n{text}\n")

    def type(self, *words: str, expect: ExitCode = ExitCode.DONE) -> None:
        self.console.print(f"[bold green]$[/] [bold]batchxfer {escape(' '.join(words))}[/]", soft_wrap=True)
        self.shell.run(*words, expect=expect)

    def deliver(self, job: str, caption: str, *options: str, first: bool = False) -> None:
        if not first:
            self.console.print()
        self.type("run", job, *options)
        self.show(job, caption)

    def show(self, job: str, caption: str) -> None:
        """The beginning and the end of the file as the partner has it."""
        if self.console.quiet:
            return
        delivery = self.last_run(job)["deliveries"][0]
        self.show_lines(self.scene.remote(delivery["endpoint"], delivery["path"]), caption)

    def show_lines(self, path: Path, caption: str, *, all_of_it: bool = False) -> None:
        if self.console.quiet:
            return
        lines = read_lines(path)
        self.console.print(f"[dim]{caption}[/]")
        shown = lines if all_of_it or len(lines) <= LINES_SHOWN + 1 else [*lines[: LINES_SHOWN - 1], "…", lines[-1]]
        for line in shown:
            self.console.print(f"    [dim]│[/] {escape(line)}", no_wrap=True, overflow="ellipsis")

    def run_id(self, job: str) -> str:
        """As `runs` shows it: the beginning, which is enough to type."""
        return str(self.last_run(job)["run"])[:SHOWN_ID_CHARACTERS]

    def last_run(self, job: str) -> Any:
        return self.shell.ask("runs", "--job", job, "--limit", "1")["runs"][0]

    def seen_in(self, folder: str) -> str:
        """The names in a partner's folder that are not temporary ones."""
        here = self.scene.partners / folder
        names = [path.name for path in here.rglob("*") if path.is_file() and not path.name.startswith(".")]
        return ", ".join(names) or "no file"


def activation() -> list[Hint]:
    """What makes the shell find `batchxfer`, where it does not: the demo may have been started by make."""
    script = Path(sys.executable).parent / "activate"
    if shutil.which("batchxfer") or not script.is_file():
        return []
    near = Path(os.path.relpath(script))
    return [(f". {shlex.quote(str(near if '..' not in near.parts else script))}", "so that this shell finds batchxfer")]


def read_lines(path: Path) -> list[str]:
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp949")
    return text.splitlines()


def folder_tree(folder: Path) -> Tree:
    """The files below `folder`, with their sizes in bytes."""
    tree = Tree(f"[bold]{escape(folder.name)}/[/]", guide_style="dim")
    _grow(tree, folder)
    return tree


def _grow(tree: Tree, folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            _grow(tree.add(f"{escape(path.name)}/"), path)
        else:
            tree.add(f"{escape(path.name)}  [dim]{path.stat().st_size:,} bytes[/]")
