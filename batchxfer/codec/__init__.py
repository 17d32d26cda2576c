"""The codecs: one module a kind, found by its name. What needs Arrow stands beside it, in `_write_KIND` and `_read_KIND`."""
