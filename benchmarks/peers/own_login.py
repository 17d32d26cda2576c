"""batchxfer's SFTP endpoint by itself."""

from __future__ import annotations

from pathlib import Path

from batchxfer.endpoints import sftp
from batchxfer.ports import Endpoint, Session


def endpoint(host: str, port: str, user: str, key: str, host_key: str) -> Endpoint:
    """With every option as it comes; paths start at the server's root folder."""
    known = {"host": host, "port": int(port), "user": user, "private_key": key, "host_key": [host_key], "root": "/"}
    options = sftp.Options.model_validate({"protocol": "sftp", **known})
    return sftp.Endpoint("partner", options, Path.cwd())


def login(*server: str) -> Session:
    return endpoint(*server).connect()
