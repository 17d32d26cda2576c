"""Lines back into one text column."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from batchxfer.codec._records import Collector, Feed, lines_of
from batchxfer.definitions import FormatOptions
from batchxfer.errors import UnreadableFile
from batchxfer.model import Column
from batchxfer.ports import BadRecord, Fields


class Decoder:
    """One file of lines (ports.Decoder)."""

    patient = False

    def __init__(self, options: FormatOptions, columns: tuple[Column, ...] | None) -> None:
        if columns is None or len(columns) != 1:
            raise UnreadableFile(
                "a format of lines fills one column of the table", hint="name it with [[columns]] in the format"
            )
        self._name = columns[0].name

    @property
    def names(self) -> tuple[str, ...]:
        return (self._name,)

    def decode(self, chunks: Iterable[bytes]) -> Iterator[Fields | BadRecord]:
        collector = Collector(self.names)
        for number, line in lines_of(Feed(chunks)):
            collector.add([line], number)
            if collector.full:
                yield from collector.take()
        yield from collector.take(last=True)
