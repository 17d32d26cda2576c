"""What a server says of a file: the attributes of SFTP version 3 (draft-ietf-secsh-filexfer-02, 5)."""

from __future__ import annotations

import stat as modes
from datetime import UTC, datetime

from batchxfer.endpoints.sftp.wire import Reader
from batchxfer.ports import FileStat

_HAS_SIZE, _HAS_OWNER, _HAS_MODE, _HAS_TIMES, _HAS_MORE = 0x01, 0x02, 0x04, 0x08, 0x80000000


def file_stat(reader: Reader) -> FileStat:
    """The next attributes of a reply. A size that is not told is -1."""
    flags = reader.u32()
    size = reader.u64() if flags & _HAS_SIZE else -1
    if flags & _HAS_OWNER:
        reader.u64()
    mode = reader.u32() if flags & _HAS_MODE else None
    modified = None
    if flags & _HAS_TIMES:
        reader.u32()
        modified = datetime.fromtimestamp(reader.u32(), UTC)
    if flags & _HAS_MORE:
        for _ in range(reader.u32()):
            reader.string(), reader.string()
    return FileStat(size=size, kind=_kind(mode), modified=modified)


def _kind(mode: int | None) -> str:
    """A server that tells no mode is taken to speak of a file."""
    if mode is None or modes.S_IFMT(mode) == 0 or modes.S_ISREG(mode):
        return "file"
    if modes.S_ISDIR(mode):
        return "folder"
    return "link" if modes.S_ISLNK(mode) else "other"
