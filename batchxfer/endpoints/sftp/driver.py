"""Imports paramiko, without the half of that which is for nothing here."""

from __future__ import annotations

import contextlib
import sys


def import_driver() -> None:
    """Import paramiko where it was not yet, and Invoke not with it: 40 ms, for `Match exec` in the files that configure
    OpenSSH's own client. paramiko does without where it is not installed."""
    if {"paramiko", "invoke"} & sys.modules.keys():
        return
    sys.modules["invoke"] = None  # type: ignore[assignment] # whoever imports it now meets ImportError
    try:
        # A paramiko that would insist is imported as ever, by whoever imports it next.
        with contextlib.suppress(ImportError):
            import paramiko  # noqa: F401
    finally:
        del sys.modules["invoke"]
