"""SFTP servers, on paramiko's transport: `Options`, `Endpoint`, and what a server's host keys are.

options → endpoint → connecting (link, hostkeys, login, keys) → session (wire, transfer), with watchdog over all of it and
failures to say what went wrong.
"""

from __future__ import annotations

from batchxfer.endpoints.sftp.driver import import_driver
from batchxfer.endpoints.sftp.endpoint import Endpoint
from batchxfer.endpoints.sftp.options import Options

__all__ = ["Endpoint", "Options", "scan_host_keys"]


def scan_host_keys(host: str, port: int, timeout: float) -> list[tuple[str, str]]:
    """(type, fingerprint) of each key that the server at `host` has, without logging in; `timeout` in seconds a connection.

    Raises NetworkError, AlgorithmError.
    """
    import_driver()
    from batchxfer.endpoints.sftp.scan import scan

    return scan(host, port, timeout)
