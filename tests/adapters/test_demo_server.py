"""The demo's partner, talked to by clients that nobody here wrote: paramiko's own and OpenSSH's."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from batchxfer.demo import keys
from batchxfer.demo.server import LOOPBACK, Account, Partner
from tests.needs import missing


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    keys.create(path)
    return path


@pytest.fixture
def partner(tmp_path: Path, key: Path) -> Iterator[Partner]:
    folder = tmp_path / "bank"
    folder.mkdir()
    account = Account(folder=folder, key_fingerprint=keys.load(key).fingerprint, password="tr0mpete")
    keys.create(tmp_path / "host")
    with Partner({"bank": account}, keys.load(tmp_path / "host")) as partner:
        yield partner


@pytest.fixture
def sftp(partner: Partner, key: Path) -> Iterator[paramiko.SFTPClient]:
    with login(partner, pkey=keys.load(key)) as transport:
        client = paramiko.SFTPClient.from_transport(transport)
        assert client is not None
        yield client


def login(partner: Partner, **way: object) -> paramiko.Transport:
    transport = paramiko.Transport((LOOPBACK, partner.port))
    transport.connect(username="bank", **way)
    return transport


def test_only_the_right_key_or_password_comes_in(partner: Partner, tmp_path: Path) -> None:
    keys.create(tmp_path / "stranger")
    for way in ({"pkey": keys.load(tmp_path / "stranger")}, {"password": "wrong"}):
        with pytest.raises(paramiko.AuthenticationException):
            login(partner, **way)
    with login(partner, password="tr0mpete") as transport:
        assert transport.is_authenticated()
    assert set(partner.logins) == {"bank"}


def test_a_file_comes_back_as_it_was_sent(sftp: paramiko.SFTPClient, tmp_path: Path) -> None:
    content = bytes(range(256)) * 4000
    with sftp.open("a.bin", "wx") as file:
        file.set_pipelined(True)
        file.write(content)
    assert (tmp_path / "bank" / "a.bin").read_bytes() == content
    with sftp.open("/a.bin") as file:
        assert file.read() == content
    assert sftp.stat("a.bin").st_size == len(content)
    assert sftp.listdir(".") == ["a.bin"]


def test_an_exclusive_open_and_a_plain_rename_refuse_a_name_that_exists(
    sftp: paramiko.SFTPClient, tmp_path: Path
) -> None:
    bank = tmp_path / "bank"
    (bank / "old").write_text("old")
    (bank / "new").write_text("new")
    with pytest.raises(OSError, match="Failure"):
        sftp.open("old", "wx")
    with pytest.raises(OSError, match="Failure"):
        sftp.rename("new", "old")
    assert (bank / "old").read_text() == "old"
    sftp.posix_rename("new", "old")
    assert (bank / "old").read_text() == "new"
    assert not (bank / "new").exists()


def test_nothing_outside_the_account_s_folder_is_seen(sftp: paramiko.SFTPClient, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sftp.stat("../key")
    with sftp.open("../../escaped", "wx") as file:
        file.write(b"x")
    assert [path.name for path in (tmp_path / "bank").iterdir()] == ["escaped"]


def test_missing_folders_and_files_are_said_to_be_missing(sftp: paramiko.SFTPClient) -> None:
    with pytest.raises(FileNotFoundError):
        sftp.open("no/such/folder", "wx")
    with pytest.raises(FileNotFoundError):
        sftp.rename("nothing", "something")
    sftp.mkdir("in")
    assert sftp.listdir("in") == []


def test_the_link_is_cut_once_and_in_the_middle_of_a_file(partner: Partner, key: Path, tmp_path: Path) -> None:
    partner.cut_next_upload(100_000)
    with pytest.raises((OSError, EOFError, paramiko.SSHException)):
        put(partner, key, b"x" * 300_000)
    assert 0 < (tmp_path / "bank" / "a").stat().st_size < 100_000
    put(partner, key, b"x" * 300_000)
    assert (tmp_path / "bank" / "a").stat().st_size == 300_000


def put(partner: Partner, key: Path, content: bytes) -> None:
    with login(partner, pkey=keys.load(key)) as transport:
        client = paramiko.SFTPClient.from_transport(transport)
        assert client is not None
        with client.open("a", "w") as file:
            file.write(content)


def test_the_next_connection_sees_the_new_host_key(partner: Partner, key: Path, tmp_path: Path) -> None:
    keys.create(tmp_path / "impostor")
    before = partner.fingerprint
    partner.host_key = keys.load(tmp_path / "impostor")
    with login(partner, pkey=keys.load(key)) as transport:
        assert transport.get_remote_server_key().fingerprint == partner.fingerprint != before


def test_openssh_s_client_can_put_get_and_list(partner: Partner, key: Path, tmp_path: Path) -> None:
    if shutil.which("sftp") is None:
        missing("OpenSSH's sftp")
    known = tmp_path / "known_hosts"
    host_key = partner.host_key
    known.write_text(f"[{LOOPBACK}]:{partner.port} {host_key.get_name()} {host_key.get_base64()}\n")
    (tmp_path / "up").write_bytes(b"0123456789" * 50_000)
    commands = f"mkdir in\nput {tmp_path}/up in/up\nrename in/up in/done\nls -l in\nget in/done {tmp_path}/down\n"
    options = ["StrictHostKeyChecking=yes", f"UserKnownHostsFile={known}", f"IdentityFile={key}", "IdentitiesOnly=yes"]
    words = ["sftp", "-F", "none", "-b", "-", "-P", str(partner.port), *(f"-o{option}" for option in options)]
    done = subprocess.run([*words, f"bank@{LOOPBACK}"], input=commands, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert "500000" in done.stdout
    assert (tmp_path / "down").read_bytes() == (tmp_path / "up").read_bytes()
