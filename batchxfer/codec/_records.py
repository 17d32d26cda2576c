"""What decoders have in common: bytes on their way in, records on their way into batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from batchxfer.errors import UnreadableFile
from batchxfer.ports import BadRecord, Fields

BATCH_RECORDS = 65_536
MOST_SHOWN = 1000
LONGEST_RECORD = 64 << 20
_READ_BYTES = 1 << 20


def too_long() -> UnreadableFile:
    return UnreadableFile(
        "a record is longer than can be read, or a quote is open that is never closed",
        hint="look at the file near its last good record; is it the format that was agreed?",
    )


def unfinished(quote: str) -> UnreadableFile:
    return UnreadableFile(
        f"the file ends inside a value that began with {quote}",
        hint="it may be cut off: ask the partner to send it again",
    )


class Text:
    """Text that was read and not taken yet: `value` from `at` on; `ended` when no more comes."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self.value = ""
        self.at = 0
        self.ended = False

    def more(self) -> None:
        self.value, self.at = self.value[self.at :], 0
        if len(self.value) > LONGEST_RECORD:
            raise too_long()
        # Twice as much each time, so that a long record is not looked through too often.
        wanted = max(_READ_BYTES, len(self.value))
        read = self._feed.read_whole_characters(wanted)
        self.ended = not read
        self.value += read


class Feed:
    """The bytes of a file as a file object, and as text for those who take it record by record."""

    closed = False

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._left = b""
        self._ended = False
        self.text = Text(self)

    # as a file

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        self._give_text_back()
        pieces, known = [self._left] if self._left else [], len(self._left)
        while not self._ended and (size < 0 or known < size):
            piece = next(self._chunks, None)
            if piece is None:
                self._ended = True
            else:
                pieces.append(piece)
                known += len(piece)
        data = b"".join(pieces)
        taken = data if size < 0 else data[:size]
        self._left = data[len(taken) :]
        return taken

    def close(self) -> None:
        self.closed = True

    def pieces(self) -> Iterator[bytes]:
        """What is left, piece by piece."""
        # What was read as text comes by itself: what follows it is not copied then.
        if begun := self._text_given_back():
            yield begun
        while piece := self.read(_READ_BYTES):
            yield piece

    def at_end(self) -> bool:
        self._give_text_back()
        while not self._left and not self._ended:
            piece = next(self._chunks, None)
            self._ended = piece is None
            self._left = piece or b""
        return not self._left

    # as text

    def read_whole_characters(self, size: int) -> str:
        """Some text, "" at the end; what is not a whole character waits."""
        data = self._read_some(size)
        cut = len(data)
        while cut and data[cut - 1] & 0xC0 == 0x80:
            cut -= 1
        if cut and data[cut - 1] >= 0xC0 and not self._is_whole(data[cut - 1 :]):
            cut -= 1
        else:
            cut = len(data)
        self._left = data[cut:] + self._left
        return data[:cut].decode("utf-8", "surrogatepass")

    def _read_some(self, size: int) -> bytes:
        while not self._ended and len(self._left) < size:
            piece = next(self._chunks, None)
            self._ended = piece is None
            self._left += piece or b""
        taken, self._left = self._left[:size], self._left[size:]
        return taken

    def _is_whole(self, data: bytes) -> bool:
        first = data[0]
        wanted = 4 if first >= 0xF0 else 3 if first >= 0xE0 else 2
        return len(data) >= wanted

    def _give_text_back(self) -> None:
        """What was read as text and not taken is bytes again."""
        self._left = self._text_given_back() + self._left

    def _text_given_back(self) -> bytes:
        given = self.text.value[self.text.at :].encode("utf-8", "surrogatepass")
        self.text.value, self.text.at = "", 0
        return given


class Collector:
    """Records one by one, into batches."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = list(names)
        self._records: list[Sequence[str | None]] = []
        self._lines: list[int] = []
        self._bad: list[BadRecord] = []
        self._blank: list[BadRecord] = []
        self._size = 0

    @property
    def full(self) -> bool:
        return len(self._records) + len(self._bad) >= BATCH_RECORDS or self._size > 8 << 20

    def add(self, fields: Sequence[str | None], line: int) -> None:
        self._flush_blank()
        self._records.append(fields)
        self._lines.append(line)
        self._size += sum(len(field) for field in fields if field)

    def bad(self, record: BadRecord, *, blank: bool = False) -> None:
        """A bad record; a blank line at the end of the file is none."""
        if blank:
            self._blank.append(record)
            return
        self._flush_blank()
        self._bad.append(record)

    def _flush_blank(self) -> None:
        self._bad += self._blank
        self._blank = []

    def take(self, *, last: bool = False) -> Iterator[Fields | BadRecord]:
        """What was collected, and begin anew."""
        yield from self._bad
        if self._records:
            columns = list(zip(*self._records, strict=True)) if self._names else []
            arrays = [pa.array(column, pa.string()) for column in columns]
            yield Fields(
                batch=pa.RecordBatch.from_arrays(arrays, names=self._names), lines=pa.array(self._lines, pa.int64())
            )
        self._records, self._lines, self._bad, self._size = [], [], [], 0


def lines_of(feed: Feed, first: int = 1) -> Iterator[tuple[int, str]]:
    """The lines of a feed without their ends, numbered."""
    text, number = feed.text, first
    while True:
        end = text.value.find("\n", text.at)
        if end < 0:
            if text.ended:
                break
            text.more()
            continue
        yield number, text.value[text.at : end].removesuffix("\r")
        text.at, number = end + 1, number + 1
    if rest := text.value[text.at :]:
        text.at = len(text.value)
        yield number, rest.removesuffix("\r")
