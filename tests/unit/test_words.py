"""What is said, in words that are true where they are said."""

from __future__ import annotations

import pytest

from batchxfer.cli.words import without_retry


@pytest.mark.parametrize(
    ("hint", "said"),
    [
        ("check the disk; it is tried again", "check the disk"),
        (
            "it is tried again; where the file is large, raise the deadline",
            "where the file is large, raise the deadline",
        ),
        ("it is tried again", None),
        ("ask the partner", "ask the partner"),
        # What to type comes behind it.
        ("have the folder made, or see create_folders, then retry", "have the folder made, or see create_folders"),
        ("bring it back, then retry", "bring it back"),
        (None, None),
    ],
)
def test_no_retry_is_promised_where_there_is_none(hint: str | None, said: str | None) -> None:
    assert without_retry(hint) == said
