"""`probe`, `hostkey` and `run` against real SFTP servers, and servers that do as they like."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.command import DAILY, ROWS, Project, make_project
from tests.servers import faults
from tests.servers.openssh import OpenSSH, openssh_fixture  # noqa: F401
from tests.servers.partner import PASSWORD, USER, Folder, serve

SLOT = "2026-01-05T06:00"


def with_endpoint(folder: Path, **keys: object) -> Project:
    """A project whose job `daily` goes to the endpoint `bank`."""
    project = make_project(folder)
    lines = ["", "[endpoints.bank]", 'protocol = "sftp"', *(f"{key} = {value}" for key, value in keys.items())]
    config = project.folder / "config.toml"
    config.write_text(config.read_text() + "\n".join(lines) + "\n")
    project.job("daily", DAILY.replace('"out"', '"bank"'))
    return project


def to_openssh(folder: Path, server: OpenSSH, **keys: object) -> Project:
    root = folder / "remote"
    root.mkdir(parents=True)
    return with_endpoint(
        folder / "project",
        host=f'"{server.host}"',
        port=server.port,
        user=f'"{server.user}"',
        private_key=f'"{server.private_key}"',
        **{"host_key": f'["{server.host_key()}"]', "root": f'"{root}"', **keys},
    )


@contextmanager
def partner(folder: Path, behaviour: type[Folder]) -> Iterator[Project]:
    """A project for a server of another maker that behaves as it likes."""
    with serve(folder / "remote", behaviour) as server:
        project = with_endpoint(
            folder / "project",
            host='"127.0.0.1"',
            port=server.port,
            user=f'"{USER}"',
            password='{ env = "BANK" }',
            host_key=f'["{server.fingerprint}"]',
        )
        project.environment["BANK"] = PASSWORD
        yield project


def seen(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "remote").iterdir())


def test_probe_says_what_openssh_can_do_and_leaves_nothing_there(tmp_path: Path, openssh: OpenSSH) -> None:
    project = to_openssh(tmp_path, openssh)
    said = project("probe", "bank", "--json")
    assert said.code == 0
    (answer,) = said.document["endpoints"]
    assert (answer["endpoint"], answer["connected"], answer["error"], answer["advice"]) == ("bank", True, None, [])
    found = answer["found"]
    assert openssh.host_key() in found["host_key"]
    assert found["server"].startswith("SSH-2.0-OpenSSH")
    for what in ("write", "exclusive_create", "stat", "read_back", "rename", "posix_rename", "remove"):
        assert found[what] is True, what
    assert found["rename_over"] == "refused"
    assert found["round_trip_ms"] > 0
    assert seen(tmp_path) == []
    told = project.process("probe")
    assert told.code == 0
    assert told.out.startswith("out: connected\n")
    assert "\nbank: connected\n" in told.out


def test_probe_of_a_server_whose_rename_overwrites_says_so(tmp_path: Path) -> None:
    with partner(tmp_path, faults.RenameOverwrites) as project:
        (answer,) = project("probe", "bank", "--json").document["endpoints"]
        assert answer["found"]["rename_over"] == "overwrites"
        assert any("a plain rename overwrites here" in advice for advice in answer["advice"])
        assert seen(tmp_path) == []


def test_probe_of_a_mailbox_advises_what_can_be_verified(tmp_path: Path) -> None:
    with partner(tmp_path, faults.WriteOnlyMailbox) as project:
        said = project("probe", "bank", "--json")
        assert said.code == 0, "it was connected to"
        advice = " ".join(said.document["endpoints"][0]["advice"])
        assert 'verify = "reply"' in advice
        assert "could not be removed" not in advice
        assert seen(tmp_path) == []


def test_probe_where_nothing_may_be_written_names_the_folder_option(tmp_path: Path, openssh: OpenSSH) -> None:
    project = to_openssh(tmp_path, openssh)
    said = project("probe", "bank", "--folder", "not/there", "--json")
    assert said.code == 0
    assert "--folder" in said.document["endpoints"][0]["advice"][0]
    for folder in ("../up", "a\nb"):
        assert project("probe", "bank", "--folder", folder).code == 2


def test_probe_of_another_host_key_names_both_and_fails(tmp_path: Path, openssh: OpenSSH) -> None:
    pinned = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"
    project = to_openssh(tmp_path, openssh, host_key=f'["{pinned}"]')
    said = project("probe", "bank", "--json")
    assert said.code == 1
    (answer,) = said.document["endpoints"]
    assert (answer["connected"], answer["error"]["kind"]) == (False, "host-key")
    assert pinned in answer["error"]["message"]
    assert "SHA256:" in answer["error"]["message"].replace(pinned, "")
    run = project("run", "daily", "--slot", SLOT, "--json")
    assert (run.code, run.run["status"]) == (1, "failed")


def test_an_endpoint_of_another_environment_is_never_connected_to(tmp_path: Path, openssh: OpenSSH) -> None:
    project = to_openssh(tmp_path, openssh, environment='"production"')
    connections = openssh.log.count("Connection from")
    said = project("probe", "bank", "--json")
    assert (said.code, said.document["endpoints"][0]["error"]["kind"]) == (1, "environment")
    run = project("run", "daily", "--slot", SLOT, "--json")
    assert (run.code, run.run["status"]) == (4, "held")
    assert "production" in run.run["reason"]
    assert openssh.log.count("Connection from") == connections


def test_a_machine_that_was_given_no_name_is_another_environment(tmp_path: Path, openssh: OpenSSH) -> None:
    """A copy of production's files: what `environment` points to was not copied with them."""
    project = to_openssh(tmp_path, openssh, environment='"production"')
    config = (project.folder / "config.toml").read_text()
    project.write("config.toml", 'environment = { file = "machine" }\n' + config)
    connections = openssh.log.count("Connection from")
    run = project("run", "daily", "--slot", SLOT, "--json")
    assert (run.code, run.run["status"]) == (4, "held")
    assert "and this machine has none" in run.run["reason"]
    assert openssh.log.count("Connection from") == connections
    project.write("machine", "production\n")
    assert project("retry", run.run["run"]).code == 0


def test_probe_of_an_unknown_endpoint_is_wrong_usage(tmp_path: Path, openssh: OpenSSH) -> None:
    said = to_openssh(tmp_path, openssh)("probe", "bnak")
    assert said.code == 2
    assert "did you mean 'bank'?" in said.err


def test_a_delivery_to_openssh_tells_the_key_of_the_server(tmp_path: Path, openssh: OpenSSH) -> None:
    project = to_openssh(tmp_path, openssh)
    run = project("run", "daily", "--slot", SLOT, "--json").run
    assert run["deliveries"][0]["server_key"] == openssh.host_key()
    assert (tmp_path / "remote/daily_20260105.psv").read_text("utf-8") == ROWS
    assert f"server key {openssh.host_key()}" in project("show", run["run"]).out
    assert seen(tmp_path) == ["daily_20260105.psv"]


# --- hostkey -------------------------------------------------------------------------------------


def test_hostkey_prints_the_line_to_paste_and_the_warning(tmp_path: Path, openssh: OpenSSH) -> None:
    said = Project(tmp_path).process("hostkey", f"{openssh.host}:{openssh.port}")
    assert said.code == 0
    pins = [openssh.host_key(kind) for kind in ("ed25519", "ecdsa", "rsa")]
    for pin in pins:
        assert pin in said.out
    (line,) = [line for line in said.out.splitlines() if line.startswith("host_key = [")]
    assert sorted(line.removeprefix("host_key = [").rstrip("]").replace('"', "").split(", ")) == sorted(pins)
    assert "compare them with what the partner tells you by another way" in said.err
    document = Project(tmp_path)("hostkey", f"{openssh.host}:{openssh.port}", "--json").document
    assert {key["fingerprint"] for key in document["keys"]} == set(pins)


@pytest.mark.parametrize("host", ["", ":22", "host:", "host:ssh", "host:0", "host:65536", "[::1"])
def test_what_is_no_host_is_wrong_usage(tmp_path: Path, host: str) -> None:
    assert Project(tmp_path)("hostkey", host).code == 2


def test_a_server_that_is_not_there_has_no_keys(tmp_path: Path) -> None:
    said = Project(tmp_path)("hostkey", "127.0.0.1:1", "--json")
    assert (said.code, said.document["error"]["kind"]) == (1, "network")
