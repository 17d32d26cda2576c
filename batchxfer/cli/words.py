"""Values in words: sizes, counts, durations, ids, and what a delivery's evidence means."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING

from batchxfer.quantities import counted as counted

if TYPE_CHECKING:
    from batchxfer.model import Evidence

ID_LENGTH = 12
"""Characters of a run's id that are shown: its millisecond and ten random bits."""

EVIDENCE = {
    "size": "after the upload the server reported as many bytes as were sent",
    "readback": "read back from the server after the upload, with the same sha256",
    "reply": "the server accepted every write and the rename; nothing was read back",
    "looked": "found under its final name after a lost reply, with the same sha256",
    "inferred": "taken under both names, and this partner takes files at once",
    "accepted": "a person says that it arrived",
    "equal": "it was there already, with the same sha256",
}


def evidence_words(evidence: Evidence) -> str:
    """`how: what that means`, for a person and for the partner."""
    known = EVIDENCE.get(evidence.how, "")
    said = evidence.detail or known
    if evidence.how == "accepted" and evidence.detail:
        said = f"{known}: {evidence.detail}"
    return f"{evidence.how}: {said}" if said else evidence.how


def size(count: int) -> str:
    """`512 B`, `56.7 kB`, `1.2 GB`: decimal units."""
    if count < 1000:
        return f"{count} B"
    number = float(count)
    for unit in ("kB", "MB", "GB", "TB"):
        number /= 1000
        if number < 999.95 or unit == "TB":
            return f"{number:.1f} {unit}"
    raise AssertionError


def duration(value: timedelta) -> str:
    """`0.3 s`, `12 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`."""
    seconds = value.total_seconds()
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    for size_, unit, smaller_size, smaller in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size_:
            rest = whole % size_ // smaller_size
            return f"{whole // size_} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"


def short_ids(ids: Iterable[str]) -> dict[str, str]:
    """Each id's shown beginning: as long as it takes to tell these apart."""
    distinct = sorted(set(ids))
    length = ID_LENGTH
    while len({value[:length] for value in distinct}) < len(distinct):
        length += 1
    return {value: value[:length] for value in distinct}


def without_retry(hint: str | None) -> str | None:
    """The hint of an attempt without its promise of another one: there is none, or it is said when."""
    promise = "it is tried again"
    said = (hint or "").removesuffix(promise).removeprefix(f"{promise}; ").removesuffix("; ")
    return said.removesuffix("then retry").rstrip(",; ") or None
