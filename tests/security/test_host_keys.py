"""Whoever answers with another key learns nothing: not a password, not a signature, not even whose account it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.command import Project, make_project
from tests.servers import partner as partners
from tests.servers.partner import PASSWORD, Partner, serve

OTHER_KEY = "SHA256:" + "A" * 42 + "E"
ENDPOINT = """
[endpoints.bank]
protocol = "sftp"
host = "127.0.0.1"
port = {port}
user = "batchxfer"
password = {{ env = "BANK" }}
{pin}
"""


class Doorkeeper(partners.Doorkeeper):
    """Writes down whoever begins to log in, by whatever method, `none` too."""

    heard: list[str]

    def begin_auth(self, username: str) -> bool:
        self.heard.append(username)
        return super().begin_auth(username)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    monkeypatch.setattr(Doorkeeper, "heard", names, raising=False)
    monkeypatch.setattr(partners, "Doorkeeper", Doorkeeper)
    return names


def project_for(folder: Path, partner: Partner, pin: str) -> Project:
    endpoint = ENDPOINT.format(port=partner.port, pin=pin)
    project = make_project(folder / "project", config=f'[databases.shop]\nurl = "sqlite:///shop.db"\n{endpoint}')
    for name in ("daily", "by-hand"):
        (project.folder / f"jobs/{name}.toml").unlink()
    project.job("orders", '[source]\ndatabase = "shop"\nquery = "select 1 as a"\n[file]\nformat = "psv"\nendpoint = "bank"\n'
                'path = "{job}_{slot_utc:%Y%m%d%H%M%S}.psv"\n')  # fmt: skip
    project.job("fetch", 'direction = "pull"\n[file]\nendpoint = "bank"\npath = "*.csv"\ndone_file = "{path}.done"\n')
    project.environment["BANK"] = PASSWORD
    return project


@pytest.mark.parametrize("pin", ['host_key = ["{other}"]', 'known_hosts = "known_hosts"'])
def test_a_server_with_another_key_hears_no_name_and_no_credential_from_any_command(
    tmp_path: Path, heard: list[str], pin: str
) -> None:
    with serve(tmp_path / "remote") as partner:
        project = project_for(tmp_path, partner, pin.format(other=OTHER_KEY))
        project.write(
            "known_hosts",
            "[127.0.0.1]:1 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl\n",
        )
        done = project("run", "orders", "--json")
        assert (done.code, done.run["deliveries"][0]["error"]["kind"]) == (1, "host-key")
        assert project("retry", done.run["run"]).code == 1
        assert project("run", "fetch").code == 1
        assert project("probe").code == 1
        assert project("hostkey", f"127.0.0.1:{partner.port}").code == 0
        assert project("run", "--due").code in (0, 1)
        assert len(partner.connections) >= 4
        assert heard == []


def test_the_same_server_with_the_right_key_hears_both(tmp_path: Path, heard: list[str]) -> None:
    with serve(tmp_path / "remote") as partner:
        project = project_for(tmp_path, partner, f'host_key = ["{partner.fingerprint}"]')
        assert project("run", "orders").code == 0
        assert (heard, partner.doors.asked) == (["batchxfer"], ["password"])
