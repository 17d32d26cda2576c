"""The ledger on SQLite and PostgreSQL. Kept light: `opening.open_ledger` is imported where a ledger is opened."""
