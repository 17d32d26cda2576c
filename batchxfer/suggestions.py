"""What a mistyped name was probably meant to be."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

LISTED_NAMES = 12


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known name nearest to `word`, without regard to case; None where none is near."""
    by_folded = {name.casefold(): name for name in known}
    found = get_close_matches(word.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str], *, what: str = "known") -> str:
    """A hint for an unknown `word`: the nearest name, and the names that exist (`known: a, b`)."""
    names = sorted(set(known))
    near = closest(word, names)
    listed = ", ".join(names[:LISTED_NAMES]) + (", …" if len(names) > LISTED_NAMES else "")
    return "; ".join(
        part
        for part in (
            f"did you mean {near!r}?" if near else "",
            f"{what}: {listed}" if names else f"{what}: none",
        )
        if part
    )
