"""Text to bytes in any of Python's text encodings, as one stream, and never to bytes that read back as another text."""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from functools import cached_property

from batchxfer.suggestions import closest

REPLACEMENT = "?"
FILLER = "\u3164".encode("euc_kr")

# They exist for programs' sources and host names, or leave the encoding of a character to its neighbours.
_NOT_FOR_FILES = frozenset({"idna", "punycode", "raw-unicode-escape", "unicode-escape", "undefined", "charmap"})
_FEW = ("utf-8", "utf-8-sig", "utf-16", "ascii", "latin-1", "cp1252", "cp949", "euc-kr", "shift_jis", "gb18030", "big5")


def encoding_problem(name: str) -> str | None:
    """Why files cannot be written in the encoding `name`, or None."""
    try:
        found = codecs.lookup(name)
        "".encode(name)
    except (LookupError, ValueError):
        near = closest(name, _FEW)
        return f"unknown encoding {name!r}" + (f"; did you mean {near!r}?" if near else "")
    if found.name.replace("_", "-") in _NOT_FOR_FILES:
        return f"the encoding {found.name} is not one for files"
    return None


def is_stateful(name: str) -> bool:
    """Whether the bytes of a character depend on the text before it (escape sequences)."""
    return codecs.lookup(name).name.startswith(("iso2022", "hz", "utf-7"))


def is_utf8(name: str) -> bool:
    return codecs.lookup(name).name == "utf-8"


class Unencodable(Exception):
    """A text that the encoding does not have; `characters` are the ones to blame, where single ones are."""

    def __init__(self, characters: Iterable[str]) -> None:
        self.characters = frozenset(characters)
        super().__init__(", ".join(f"{c!r} (U+{ord(c):04X})" for c in sorted(self.characters)))


class Charset:
    """One encoding, and what it does with the characters that it lacks. It has no state: see Stream."""

    def __init__(self, name: str, *, replace: bool) -> None:
        self.name = name
        self._replace = replace
        self._codec = codecs.lookup(name).name
        # A byte-order mark stands at the start of a file, not in each value.
        plain = {"utf-16": "utf-16-le", "utf-32": "utf-32-le", "utf-8-sig": "utf-8"}
        self.is_euc_kr = self._codec == "euc_kr"
        self._plain = plain.get(self._codec, self._codec)
        self._known: dict[str, bool] = {}

    @cached_property
    def keeps_ascii(self) -> bool:
        """Whether an ASCII text is its own bytes, wherever it stands."""
        return not is_stateful(self.name) and all(chr(n).encode(self.name, "replace") == bytes([n]) for n in range(128))

    def clean(self, text: str) -> str:
        """The text with `?` for what the encoding lacks. Raises Unencodable where that is not wanted."""
        lacking = self.lacking(text)
        if not lacking:
            return text
        if not self._replace:
            raise Unencodable(lacking)
        return text.translate(dict.fromkeys(map(ord, lacking), REPLACEMENT))

    def lacking(self, text: str) -> set[str]:
        """The characters of `text` that the encoding lacks."""
        return {character for character in set(text) if not self._has(character)}

    def size(self, text: str) -> int:
        """How many bytes a clean text takes."""
        return len(text.encode(self._plain))

    def _has(self, character: str) -> bool:
        known = self._known.get(character)
        if known is None:
            known = self._known[character] = self._reads_back(character)
        return known

    def _reads_back(self, character: str) -> bool:
        try:
            encoded = character.encode(self._plain)
            if encoded.decode(self._plain) != character:
                return False
        except UnicodeError:
            return False
        # Python writes the Hangul syllables that KS X 1001 lacks as eight bytes, a filler and three letters, which hardly
        # any other reader puts together again.
        return not self.is_euc_kr or len(encoded) <= 2


class Stream:
    """The bytes of one file: one byte-order mark, one run of escape sequences, whatever pieces the text comes in."""

    def __init__(self, charset: Charset) -> None:
        self._charset = charset
        self._encoder = codecs.getincrementalencoder(charset.name)()
        self._decoder = codecs.getincrementaldecoder(charset.name)()
        self._begun = False
        self._held_back = ""  # written, but not in the bytes yet: it may combine with what follows

    def encode_utf8(self, data: memoryview) -> bytes | memoryview:
        """As `encode`, for a text that comes as UTF-8."""
        raw = data.tobytes()
        if self._charset.keeps_ascii and not self._held_back and raw.isascii():
            return data
        return self.encode(str(raw, "utf-8"))

    def encode(self, text: str) -> bytes:
        """The bytes of the next piece. Raises Unencodable; the stream is of no use afterwards."""
        if not text:
            return b""
        self._begun = True
        state = self._encoder.getstate(), self._decoder.getstate(), self._held_back
        try:
            return self._encode(text)
        except UnicodeError:
            cleaned = self._charset.clean(text)
        self._encoder.setstate(state[0])
        self._decoder.setstate(state[1])
        self._held_back = state[2]
        try:
            return self._encode(cleaned)
        except UnicodeError:
            raise Unencodable(()) from None

    def end(self) -> bytes:
        """What the encoding wants at the end of a text; nothing at the end of an empty one."""
        return self._check("", self._encoder.encode("", True)) if self._begun else b""

    def _encode(self, text: str) -> bytes:
        return self._check(text, self._encoder.encode(text))

    def _check(self, text: str, encoded: bytes) -> bytes:
        expected, read = self._held_back + text, self._decoder.decode(encoded)
        self._held_back = expected[len(read) :]
        if not expected.startswith(read) or len(self._held_back) > 1:
            raise UnicodeError("it does not read back equal")
        if self._charset.is_euc_kr and FILLER in encoded and self._charset.lacking(text):
            raise UnicodeError("other readers do not read it back equal")
        return encoded
