"""paramiko's own client, as its documentation shows it."""

from __future__ import annotations

import paramiko


def login(host: str, port: str, user: str, key: str) -> paramiko.SSHClient:
    """A client that is logged in; a `with` closes it."""
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
    client.connect(host, int(port), user, key_filename=key, allow_agent=False, look_for_keys=False)
    return client
