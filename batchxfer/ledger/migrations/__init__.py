"""The ledger's schema, step by step; `opening` runs what is missing."""
