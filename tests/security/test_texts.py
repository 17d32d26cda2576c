"""What others say (servers, databases, names of files) is shown, and never obeyed: by a terminal, or by who reads a log."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from tests.databases import Database, Postgresql
from tests.e2e.command import Project, Said, make_project
from tests.servers.faults import Status
from tests.servers.partner import PASSWORD, Folder, Partner, serve

# Clears the screen, sets the title, an 8-bit CSI, turns the direction of text, rings, returns, and begins a line of its own.
HOSTILE = "no\x1b[2J\x1b]0;owned\x07\x9b31m\u202etxt.exe\u2028\u200f\x85\rX\nerror: FORGED everything is well"
RAW = ["\x1b", "\x07", "\x9b", "\x85", "\r", "\u202e", "\u2028", "\u200f", "\x00"]

SFTP = """
[endpoints.bank]
protocol = "sftp"
host = "127.0.0.1"
port = {port}
user = "batchxfer"
password = {{ env = "BANK" }}
host_key = ["{fingerprint}"]
partner = "Bank \u202ednab"
contact = "call \u200fme"
connect_timeout = "10s"
"""
JOB = """
description = "orders \u202e of the day"
[source]
database = "shop"
query_file = "query.sql"
[file]
format = "psv"
endpoint = "bank"
path = "{{job}}_{{slot_utc:%Y%m%d%H%M%S}}.psv"
"""


class SaysNo(Folder):
    """Refuses, in words that are made for terminals."""

    text = HOSTILE

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        raise Status(4, self.text)


class ForbidsIt(Folder):
    """Refuses for good."""

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        raise Status(3, HOSTILE)


class RefusesRename(SaysNo):
    open = Folder.open

    def rename(self, oldpath: bytes, newpath: bytes) -> None:
        raise Status(4, self.text)

    posix_rename = rename


class HasHostileNames(Folder):
    """Its names are hostile, in the listing and where it says where one is."""

    def realpath(self, path: bytes) -> bytes:
        return HOSTILE.replace("/", "").encode()

    async def scandir(self, path: bytes) -> Any:
        for name in (HOSTILE.replace("/", ""), "ordinary"):
            yield asyncssh.SFTPName(name.encode(), attrs=asyncssh.SFTPAttrs(size=1, permissions=0o100644))


def assert_harmless(*texts: str) -> None:
    for text in texts:
        assert [char for char in RAW if char in text] == [], text
        assert not any(line.lstrip().startswith("error: FORGED") for line in text.splitlines()), text


def harmless(said: Said) -> Said:
    assert_harmless(said.out, said.err)
    return said


@contextlib.contextmanager
def project_with(folder: Path, partner: Partner) -> Iterator[Project]:
    text = SFTP.format(port=partner.port, fingerprint=partner.fingerprint)
    project = make_project(folder / "project", config=f'[databases.shop]\nurl = "sqlite:///shop.db"\n{text}')
    for name in ("daily", "by-hand"):
        (project.folder / f"jobs/{name}.toml").unlink()
    project.job("orders", JOB.format())
    project.write("query.sql", "select 1 as a")
    project.environment["BANK"] = PASSWORD
    yield project


@pytest.mark.parametrize("behaviour", [SaysNo, RefusesRename, HasHostileNames])
def test_what_an_sftp_server_says_does_not_steer_a_terminal(tmp_path: Path, behaviour: type[Folder]) -> None:
    with serve(tmp_path / "remote", behaviour) as partner, project_with(tmp_path, partner) as project:
        done = harmless(project("run", "orders"))
        if behaviour is not HasHostileNames:
            assert done.code == 3
            assert "FORGED" in done.err, "what the server said is shown, on its own line"
        for words in (["status"], ["runs"], ["probe"], ["probe", "--json"], ["runs", "--json"], ["status", "--json"]):
            harmless(project(*words))
        identifier = project("runs", "--json").run["run"]
        harmless(project("show", identifier))
        harmless(project("show", identifier, "--json"))


def test_a_log_line_and_a_notice_stay_harmless(tmp_path: Path) -> None:
    with serve(tmp_path / "remote", ForbidsIt) as partner, project_with(tmp_path, partner) as project:
        config = project.folder / "config.toml"
        config.write_text(config.read_text() + '[[notify]]\non = ["failed"]\ncommand = ["./tell"]\n')
        project.write("tell", "#!/bin/sh\ncat > told; printf '%s' \"$0: \u001b[2J\\033[2J\u202e\" >&2; exit 1\n").chmod(
            0o700
        )
        assert harmless(project("run", "orders")).code == 1
        said = harmless(project("run", "--due"))
        told = (project.folder / "told").read_text()
        assert_harmless(told)
        assert "FORGED" in json.loads(told)["reason"]
        warning = json.loads(said.err.splitlines()[0])
        assert warning["action"] == "notify-failed"
        assert r"\x1b[2J" in warning["message"]


@pytest.mark.parametrize(
    "greeting",
    [
        HOSTILE.encode() + b"\r\n",
        b"SSH-2.0-" + HOSTILE.replace("\n", "").encode() + b"\r\n",
        b"SSH-1.5-old\x1b[2J\r\n",
        b"\x9b31m" * 50 + b"\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
)
def test_a_server_s_greeting_does_not_steer_a_terminal(tmp_path: Path, greeting: bytes) -> None:
    with says(greeting) as port:
        partner = Partner(tmp_path, port, "SHA256:" + "A" * 42 + "E", "", None, [])  # type: ignore[arg-type]
        with project_with(tmp_path, partner) as project:
            assert harmless(project("run", "orders")).code in (1, 3)
            harmless(project("probe"))
            harmless(project("hostkey", f"127.0.0.1:{port}"))


@contextlib.contextmanager
def says(greeting: bytes) -> Iterator[int]:
    """A server that says one thing to whoever comes, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve_all() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    with client, contextlib.suppress(OSError):
                        client.sendall(greeting)
                        client.shutdown(socket.SHUT_WR)
                        client.settimeout(5)
                        while client.recv(4096):
                            pass

        thread = threading.Thread(target=serve_all, daemon=True)
        thread.start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def test_what_a_server_says_as_it_hangs_up_does_not_steer_a_terminal(tmp_path: Path) -> None:
    class HangsUp(Folder):
        def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
            self.connection.disconnect(asyncssh.DISC_BY_APPLICATION, HOSTILE)
            return super().open(path, pflags, attrs)

    with serve(tmp_path / "remote", HangsUp) as partner, project_with(tmp_path, partner) as project:
        assert harmless(project("run", "orders")).code == 3


def test_what_a_database_says_does_not_steer_a_terminal(tmp_path: Path, shop: Database) -> None:
    with serve(tmp_path / "remote") as partner, project_with(tmp_path, partner) as project:
        config = project.folder / "config.toml"
        config.write_text(config.read_text().replace("sqlite:///shop.db", shop.url))
        quote = '"' if isinstance(shop, Postgresql) else "`"
        name = HOSTILE.replace("\n", " ").replace("\r", "")
        project.write("query.sql", f"select {quote}{name}{quote} from nowhere")
        assert harmless(project("run", "orders")).code == 1
        harmless(project("status"))
        # In a column's name and its value, in an error of ours.
        project.write("formats/psv.toml", 'kind = "delimited"\nquote = "none"\ndelimiter = "|"\n')
        project.write("query.sql", f"select '{name}|' as {quote}{name[:15]}{quote}")
        done = harmless(project("run", "orders", "--dry-run"))
        assert done.code == 1
        assert r"no\x1b" in done.err


def test_names_of_files_and_keys_stay_on_the_line_of_their_problem(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    project.write("jobs/a\nerror: FORGED.toml", "x = 1\n")
    project.write("jobs/b\x1b[2J\u202e.toml", "x = 1\n")
    project.write("jobs/c.toml", '"a\\nerror: FORGED \\u001b[2J\\u202e" = 1\n"\\u009b" = "\\u202e"\n')
    project.write("formats/f.toml", 'kind = "\\u001b[2J\\nerror: FORGED"\n')
    said = harmless(project("check"))
    assert said.code == 2
    assert any(r"a\nerror: FORGED.toml" in line for line in said.err.splitlines())
    harmless(project("check", "--json"))


@pytest.mark.parametrize(
    "words", [["run", HOSTILE], ["show", HOSTILE], ["probe", HOSTILE], [HOSTILE], ["--" + HOSTILE]]
)
def test_words_of_a_command_that_are_wrong_are_shown_harmlessly(tmp_path: Path, words: list[str]) -> None:
    project = make_project(tmp_path)
    assert harmless(project(*words)).code == 2
