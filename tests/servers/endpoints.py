"""Endpoints for the servers of these tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from batchxfer.endpoints import sftp
from tests.servers.openssh import OpenSSH
from tests.servers.partner import Partner

PASSWORD_VARIABLE = "PARTNER_PASSWORD"


def to_openssh(server: OpenSSH, root: Path, **keys: Any) -> sftp.Endpoint:
    """An endpoint that logs in with the server's own user key and pins its ed25519 key; `keys` change that, None drops."""
    table = {
        "host": server.host,
        "port": server.port,
        "user": server.user,
        "private_key": str(server.private_key),
        "host_key": [server.host_key()],
        "root": str(root),
    }
    return _endpoint(table | keys, server.folder)


def to_partner(partner: Partner, **keys: Any) -> sftp.Endpoint:
    """An endpoint that logs in with the password that is in PASSWORD_VARIABLE."""
    table = {
        "host": partner.host,
        "port": partner.port,
        "user": partner.user,
        "password": {"env": PASSWORD_VARIABLE},
        "host_key": [partner.fingerprint],
    }
    return _endpoint(table | keys, partner.root)


def _endpoint(table: dict[str, Any], base: Path) -> sftp.Endpoint:
    given = {key: value for key, value in table.items() if value is not None}
    complaints = list(sftp.Options.complaints({"protocol": "sftp", **given}))
    assert not complaints, complaints
    return sftp.Endpoint("partner", sftp.Options.model_validate({"protocol": "sftp", **given}), base)
