"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

EXACT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
ID = sa.String(26).with_variant(sa.String(26, collation="C"), "postgresql")
INSTANT = sa.Text().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")
COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

RUN_STATES = "'pending', 'running', 'retrying', 'held', 'failed', 'delivered', 'skipped', 'excluded', 'missing'"
DELIVERY_STATES = "'pending', 'sending', 'publishing', 'delivered', 'retrying', 'failed', 'held', 'excluded'"


def upgrade() -> None:
    _what_is_due()
    _attempts_and_artifacts()
    _deliveries()
    _events()


def _what_is_due() -> None:
    op.create_table(
        "meta",
        sa.Column("key", EXACT, nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="meta_pk"),
    )
    op.create_table(
        "slots",
        sa.Column("job", EXACT, nullable=False),
        sa.Column("slot", INSTANT, nullable=False),
        sa.Column("interval_start", INSTANT, nullable=False),
        sa.Column("interval_end", INSTANT, nullable=False),
        sa.Column("business_date", sa.Date(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("job", "slot", name="slots_pk"),
    )
    op.create_table(
        "snapshots",
        sa.Column("id", EXACT, nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="snapshots_pk"),
    )
    op.create_table(
        "runs",
        sa.Column("id", ID, nullable=False),
        sa.Column("job", EXACT, nullable=False),
        sa.Column("slot", INSTANT, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("status", EXACT, nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("retry_at", INSTANT),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("snapshot", EXACT),
        sa.Column("guard_released", sa.Boolean(), nullable=False),
        sa.Column("ending", EXACT),
        sa.Column("claim", ID),
        sa.Column("owner", sa.Text()),
        sa.Column("claimed_at", INSTANT),
        sa.Column("lease_until", INSTANT),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="runs_pk"),
        sa.ForeignKeyConstraint(["job", "slot"], ["slots.job", "slots.slot"], name="runs_job_fk"),
        sa.ForeignKeyConstraint(["snapshot"], ["snapshots.id"], name="runs_snapshot_fk"),
        sa.UniqueConstraint("job", "slot", "revision", name="runs_job_slot_revision_once"),
        sa.CheckConstraint(f"status IN ({RUN_STATES})", name=op.f("runs_status_known")),
        sa.CheckConstraint(
            "ending IN ('skipped', 'excluded', 'missing', 'held', 'failed')", name=op.f("runs_ending_known")
        ),
    )
    op.create_index("runs_by_slot", "runs", ["slot"])
    op.create_index("runs_by_status", "runs", ["status"])
    op.create_index("runs_claimed", "runs", ["claim"], unique=True)


def _attempts_and_artifacts() -> None:
    op.create_table(
        "attempts",
        sa.Column("id", ID, nullable=False),
        sa.Column("run", ID, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("endpoint", EXACT),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("claim", ID, nullable=False),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("ended_at", INSTANT),
        sa.Column("outcome", EXACT),
        sa.Column("error", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="attempts_pk"),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], name="attempts_run_fk"),
        sa.UniqueConstraint("run", "position", name="attempts_run_position_once"),
        sa.UniqueConstraint("run", "endpoint", "number", name="attempts_run_endpoint_number_once"),
        sa.CheckConstraint(
            "outcome IN ('delivered', 'built', 'transient', 'permanent', 'held', 'abandoned')",
            name=op.f("attempts_outcome_known"),
        ),
        sa.CheckConstraint("(ended_at IS NULL) = (outcome IS NULL)", name=op.f("attempts_ended_with_outcome")),
    )
    op.create_table(
        "artifacts",
        sa.Column("id", ID, nullable=False),
        sa.Column("run", ID, nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("rows", COUNT, nullable=False),
        sa.Column("bytes", COUNT, nullable=False),
        sa.Column("sha256", EXACT, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("pruned_at", INSTANT),
        sa.Column("dropped_at", INSTANT),
        sa.PrimaryKeyConstraint("id", name="artifacts_pk"),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], name="artifacts_run_fk"),
    )
    current = sa.text("dropped_at IS NULL")
    op.create_index("artifacts_by_run", "artifacts", ["run"])
    op.create_index(
        "artifacts_one_current", "artifacts", ["run"], unique=True, sqlite_where=current, postgresql_where=current
    )


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", ID, nullable=False),
        sa.Column("run", ID, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("endpoint", EXACT, nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("status", EXACT, nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("retry_at", INSTANT),
        sa.Column("retries", sa.Integer(), nullable=False),
        sa.Column("begun_at", INSTANT),
        sa.Column("settled_at", INSTANT),
        sa.Column("delivered_at", INSTANT),
        sa.Column("bytes", COUNT),
        sa.Column("sha256", EXACT),
        sa.Column("evidence", sa.Text()),
        sa.Column("error", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="deliveries_pk"),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], name="deliveries_run_fk"),
        sa.UniqueConstraint("run", "endpoint", name="deliveries_run_endpoint_once"),
        sa.CheckConstraint(f"status IN ({DELIVERY_STATES})", name=op.f("deliveries_status_known")),
        sa.CheckConstraint(
            "status <> 'delivered' OR (delivered_at IS NOT NULL AND evidence IS NOT NULL)",
            name=op.f("deliveries_delivered_with_evidence"),
        ),
        sa.CheckConstraint(
            "status <> 'retrying' OR retry_at IS NOT NULL", name=op.f("deliveries_retrying_with_instant")
        ),
        sa.CheckConstraint(
            "status NOT IN ('retrying', 'failed', 'held', 'excluded') OR reason IS NOT NULL",
            name=op.f("deliveries_stopped_with_reason"),
        ),
    )
    op.create_index("deliveries_by_status", "deliveries", ["status"])
    op.create_table(
        "delivery_files",
        sa.Column("delivery", ID, nullable=False),
        sa.Column("role", EXACT, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("status", EXACT, nullable=False),
        sa.Column("temp_path", sa.Text()),
        sa.Column("created", sa.Boolean(), nullable=False),
        sa.Column("bytes", COUNT),
        sa.Column("sha256", EXACT),
        sa.PrimaryKeyConstraint("delivery", "role", name="delivery_files_pk"),
        sa.ForeignKeyConstraint(["delivery"], ["deliveries.id"], name="delivery_files_delivery_fk"),
        sa.CheckConstraint("role IN ('data', 'checksum', 'done')", name=op.f("delivery_files_role_known")),
        sa.CheckConstraint(
            "status IN ('pending', 'sending', 'publishing', 'published')", name=op.f("delivery_files_status_known")
        ),
    )


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("id", COUNT, nullable=False, autoincrement=True),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("run", ID),
        sa.Column("kind", EXACT, nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="events_pk"),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], name="events_run_fk"),
    )
    op.create_index("events_by_run", "events", ["run", "id"])
