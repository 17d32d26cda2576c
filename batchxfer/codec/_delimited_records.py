"""Delimited text record by record, as its format says, whatever that is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from batchxfer.codec._records import Feed, Text, unfinished


@dataclass
class Record:
    """One record: its fields, how many lines it takes, its text, and what is wrong with it beside its length."""

    fields: list[str | None]
    lines: int
    text: str
    fault: str | None = None


class Records:
    """Takes one record after another off a feed."""

    def __init__(self, options: Any) -> None:
        self._options = options
        delimiter, quote = re.escape(options.delimiter), re.escape(options.quote_char)
        # A last CR is what is left of a CRLF.
        stop = rf"{delimiter}|\r?\n|\r\Z"
        escaped = rf"{re.escape(options.escape)}[\s\S]|" if options.escape is not None else ""
        plain = rf"(?:{escaped}(?!{stop})[\s\S])*"
        if len(options.delimiter) == 1:
            # The same, a hundred times as fast: records may be long.
            escape = re.escape(options.escape or "")
            at_the_end = rf"{escape}\Z|" if escape else ""
            other = rf"[^{escape}{delimiter}\r\n]*"
            plain = rf"{other}(?:(?:{escaped}{at_the_end}\r(?!\n|\Z)){other})*"
        # Nothing is given back: else a value whose end is not here yet would seem to end at the first of two quotes.
        quoted = rf"{quote}(?P<quoted>(?:[^{quote}]++|{quote}{quote})*+){quote}(?P<rest>{plain})"
        field = rf"(?:{quoted}|(?!{quote})(?P<plain>{plain}))" if options.quote != "none" else rf"(?P<plain>{plain})"
        self._field = re.compile(rf"{field}(?P<end>{delimiter}|\r?\n|\r?\Z)")
        self._fault: str | None = None
        self._unescape = re.compile(rf"{re.escape(options.escape)}([\s\S])") if options.escape is not None else None

    def read(self, feed: Feed, line: int) -> Record | None:
        text = feed.text
        while True:
            found = self._try(text, line)
            if found is not None:
                return found
            if text.ended:
                return None
            text.more()

    def _try(self, text: Text, line: int) -> Record | None:
        """The next record; None where it is not whole yet, or there is none."""
        if text.at == len(text.value):
            return None
        fields: list[str | None] = []
        at, self._fault = text.at, None
        while True:
            match = self._field.match(text.value, at)
            if match is None or (match.end() == len(text.value) and not text.ended):
                if text.ended:
                    raise unfinished(self._options.quote_char)
                return None
            fields.append(self._value(match, text.ended and match["end"] in ("", "\r")))
            at = match.end()
            if match["end"] != self._options.delimiter:
                break
            if at == len(text.value) and text.ended:
                fields.append(self._read_plain(""))
                break
        whole = text.value[text.at : at]
        text.at = at
        return Record(fields=fields, lines=max(whole.count("\n"), 1), text=whole.rstrip("\r\n"), fault=self._fault)

    def _value(self, match: re.Match[str], last: bool) -> str | None:
        groups = match.groupdict()
        if groups.get("quoted") is not None:
            quote = self._options.quote_char
            return groups["quoted"].replace(quote * 2, quote) + groups["rest"]
        plain = groups["plain"]
        if last and self._options.quote != "none" and plain.startswith(self._options.quote_char):
            raise unfinished(self._options.quote_char)
        return self._read_plain(plain)

    def _read_plain(self, plain: str) -> str | None:
        if plain == self._options.null:
            return None
        if self._unescape is None or self._options.escape not in plain:
            return plain
        text = self._unescape.sub(r"\1", plain)
        if text != self._options.null:
            self._fault = self._fault or self._misread(plain)
        return text

    def _misread(self, plain: str) -> str | None:
        """What an escape means before a letter or a digit is another agreement: with some a line feed, here the letter."""
        options = self._options
        for character in self._unescape.findall(plain) if self._unescape is not None else ():
            if character.isalnum() and character not in options.escape + options.delimiter:
                return f"the escape {options.escape!r} stands before {character!r}, which needs none"
        return None
