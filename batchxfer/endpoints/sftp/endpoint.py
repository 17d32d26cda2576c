"""`[endpoints.NAME]` with `protocol = "sftp"`: from its keys to a session."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from batchxfer.endpoints.sftp.driver import import_driver
from batchxfer.endpoints.sftp.options import Options

if TYPE_CHECKING:
    from batchxfer.endpoints.sftp.session import SftpSession


class Endpoint:
    """An SFTP server. Opens nothing, and imports no driver, until `connect`."""

    def __init__(self, name: str, options: Options, base: Path) -> None:
        self._name = name
        self._options = options
        self._base = base
        self._key_types: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        host = self._options.host.lower()
        shown = f"[{host}]" if ":" in host else host
        return f"sftp://{self._options.user}@{shown}:{self._options.port}"

    def connect(self) -> SftpSession:
        import_driver()
        from batchxfer.endpoints.sftp.connecting import connect

        session, key_type = connect(self._name, self._options, self._base, self._key_types)
        # Where only fingerprints are pinned, the type of the right key is known from now on.
        self._key_types = (key_type,)
        return session
