"""What was fetched: each version of a partner's file, in each run that took it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

EXACT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
ID = sa.String(26).with_variant(sa.String(26, collation="C"), "postgresql")
INSTANT = sa.Text().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")
COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "fetched_files",
        sa.Column("id", ID, nullable=False),
        sa.Column("file", ID, nullable=False),
        sa.Column("run", ID, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("job", EXACT, nullable=False),
        sa.Column("endpoint", EXACT, nullable=False),
        sa.Column("path", EXACT, nullable=False),
        sa.Column("size", COUNT, nullable=False),
        sa.Column("modified", INSTANT),
        sa.Column("status", EXACT, nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("bytes", COUNT),
        sa.Column("sha256", EXACT),
        sa.Column("local_path", sa.Text()),
        sa.Column("moved_to", sa.Text()),
        sa.Column("gone", sa.Boolean(), nullable=False),
        sa.Column("rows", COUNT),
        sa.Column("bad_rows", COUNT),
        sa.Column("bad_path", sa.Text()),
        sa.Column("seen_at", INSTANT, nullable=False),
        sa.Column("fetched_at", INSTANT),
        sa.Column("loaded_at", INSTANT),
        sa.Column("done_at", INSTANT),
        sa.PrimaryKeyConstraint("id", name="fetched_files_pk"),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], name="fetched_files_run_fk"),
        sa.UniqueConstraint("run", "file", name="fetched_files_run_file_once"),
        sa.CheckConstraint(
            "status IN ('seen', 'fetched', 'loaded', 'done', 'skipped', 'refused', 'excluded')",
            name=op.f("fetched_files_status_known"),
        ),
        sa.CheckConstraint(
            "status NOT IN ('fetched', 'loaded', 'done') OR (sha256 IS NOT NULL AND local_path IS NOT NULL)",
            name=op.f("fetched_files_fetched_with_digest"),
        ),
    )
    op.create_index("fetched_files_by_path", "fetched_files", ["job", "endpoint", "path", "id"])
    op.create_index("fetched_files_by_content", "fetched_files", ["job", "sha256"])
