"""Scheduled batch file transfer: query, write, deliver, and prove it."""

__version__ = "0.1.0"
