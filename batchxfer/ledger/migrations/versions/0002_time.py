"""How far each job is planned, what is paused, and what somebody is to be told."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

EXACT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
ID = sa.String(26).with_variant(sa.String(26, collation="C"), "postgresql")
INSTANT = sa.Text().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")

OPEN = sa.text("over_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "marks",
        sa.Column("job", EXACT, nullable=False),
        sa.Column("first_seen", INSTANT, nullable=False),
        sa.Column("planned_until", INSTANT, nullable=False),
        sa.Column("interval_end", INSTANT),
        sa.PrimaryKeyConstraint("job", name="marks_pk"),
    )
    op.create_table(
        "pauses",
        sa.Column("subject", EXACT, nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("since", INSTANT, nullable=False),
        sa.Column("until", INSTANT),
        sa.PrimaryKeyConstraint("subject", name="pauses_pk"),
    )
    op.create_table(
        "notices",
        sa.Column("id", ID, nullable=False),
        sa.Column("kind", EXACT, nullable=False),
        sa.Column("subject", EXACT, nullable=False),
        sa.Column("job", EXACT),
        sa.Column("run", ID),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("told_at", sa.Text(), nullable=False),
        sa.Column("over_at", INSTANT),
        sa.PrimaryKeyConstraint("id", name="notices_pk"),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], name="notices_run_fk"),
        sa.CheckConstraint(
            "kind IN ('failed', 'held', 'late', 'missing', 'recovered')", name=op.f("notices_kind_known")
        ),
    )
    op.create_index(
        "notices_open_once", "notices", ["kind", "subject"], unique=True, sqlite_where=OPEN, postgresql_where=OPEN
    )
