"""The codecs: one module a kind, found by its name."""
