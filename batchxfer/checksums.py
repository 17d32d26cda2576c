"""What a checksum file says of a file: the lines of `sha256sum`, of BSD and OpenSSL, or a digest alone. Pure."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass

_BY_LENGTH = {32: "md5", 40: "sha1", 56: "sha224", 64: "sha256", 96: "sha384", 128: "sha512"}
"""The algorithm by the number of hex digits."""

_HEX = r"(?P<digest>[0-9A-Fa-f]+)"
_LINES = (
    re.compile(rf"\\?{_HEX}(?:[ \t]+\*?(?P<name>.+))?"),
    re.compile(rf"\\?(?P<said>[\w/-]+) ?\((?P<name>.+)\) ?= ?{_HEX}"),
    re.compile(rf"(?P<said>[\w/-]+):[ \t]*{_HEX}(?:[ \t]+\*?(?P<name>.+))?"),
)
_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16", codecs.BOM_UTF8: "utf-8-sig"}


@dataclass(frozen=True, kw_only=True)
class Checksum:
    """A digest in lower-case hex, and the file that it is said to be of, where one is named."""

    algorithm: str
    digest: str
    name: str | None


def read(content: bytes) -> list[Checksum]:
    """The checksums of a file, in their order; lines that hold none are passed over."""
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "utf-8")
    lines = content.decode(encoding, "replace").splitlines()
    return [found for line in lines for found in _read_line(line.strip())]


def of(found: list[Checksum], name: str) -> Checksum | None:
    """The one that is meant for the file `name`: a single one is, whatever it calls the file, else the last that names it."""
    if len(found) == 1:
        return found[0]
    return next((each for each in reversed(found) if each.name == name), None)


def is_begun(content: bytes) -> bool:
    """Whether a file that holds no checksum may be one whose writing has only begun."""
    text = content.decode("utf-8", "replace").strip()
    return re.fullmatch(r"[0-9A-Fa-f]{0,127}", text) is not None


def _read_line(line: str) -> Iterator[Checksum]:
    for pattern in _LINES:
        match = pattern.fullmatch(line)
        if match is None:
            continue
        groups = match.groupdict()
        algorithm = _BY_LENGTH.get(len(groups["digest"]))
        said = groups.get("said", algorithm or "").lower().replace("sha2-", "sha").replace("-", "")
        if algorithm is not None and said == algorithm:
            name = groups["name"]
            bare = None if name is None else re.split(r"[\\/]", name)[-1]
            yield Checksum(algorithm=algorithm, digest=groups["digest"].lower(), name=bare)
        return
