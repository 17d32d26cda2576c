"""The databases: where rows come from."""
