"""The demo's shop: a SQLite database with customers, orders, stock and prices, no returns, and no shipments yet."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

SCHEMA = """
create table customers (
    customer_id integer primary key, name text not null, email text, country text not null,
    newsletter integer not null, changed_at text not null
);
create table orders (
    order_id integer primary key, ordered_at text not null, customer_id integer not null references customers,
    currency text not null, amount_cents integer not null
);
create table stock (
    sku text primary key, title text not null, on_hand integer not null, weight_kg real, tags text not null,
    counted_at text not null
);
create table prices (sku text not null references stock, currency text not null, price_cents integer not null);
create table returns (
    order_id integer not null references orders, sku text not null, quantity integer not null, reason text,
    announced_at text not null
);
create table shipments (
    parcel text primary key, order_id integer not null, carrier text not null, weight_kg decimal(6,2), shipped_at timestamp
);
create index orders_at on orders (ordered_at);
create index customers_at on customers (changed_at);
"""

PEOPLE = (
    ("Ana García", "ES", "EUR"),
    ("김서연", "KR", "KRW"),
    ("Zoë O'Neill", "IE", "EUR"),
    ("Anders Åberg", "SE", "EUR"),
    ("이도윤", "KR", "KRW"),
    ('Max "Mäx" Müller', "DE", "EUR"),
    ("박하은", "KR", "KRW"),
    ("Grace Hopper", "US", "USD"),
)
THINGS: tuple[tuple[str, float | None, int, list[str]], ...] = (
    ("Linen shirt", 0.21, 4990, ["summer", "linen"]),
    ("Wool blanket 150×200", 1.4, 8900, ["home"]),
    ("Tea bowl, celadon", 0.35, 3250, ["home", "fragile"]),
    ("Rain coat", 0.8, 12950, ["outdoor"]),
    ('Notebook "Atlas"', None, 1290, []),
)
CUSTOMERS = 240
ARTICLES = 12_000
PRICED_ARTICLES = 300
DAYS = 70
ORDERS_A_DAY = 96
RATES = {"EUR": 1.0, "USD": 1.1, "KRW": 1600.0}


def create_shop(path: Path, now: datetime) -> None:
    """Write the database for the `DAYS` before `now`. The same hour of the same day gives the same rows."""
    end = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path)
    try:
        connection.executescript(SCHEMA)
        connection.executemany("insert into customers values (?, ?, ?, ?, ?, ?)", _customers(end))
        connection.executemany("insert into orders values (?, ?, ?, ?, ?)", _orders(end))
        connection.executemany("insert into stock values (?, ?, ?, ?, ?, ?)", _stock(end))
        connection.executemany("insert into prices values (?, ?, ?)", _prices())
        connection.commit()
    finally:
        connection.close()


def _text(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%d %H:%M:%S")


def _customers(end: datetime) -> Iterator[tuple[object, ...]]:
    for number in range(CUSTOMERS):
        name, country, _ = PEOPLE[number % len(PEOPLE)]
        email = f"customer{number:03}@mail.example" if number % 5 else None
        yield 1001 + number, name, email, country, number % 3 != 0, _text(end - timedelta(minutes=29 * number + 6))


def _orders(end: datetime) -> Iterator[tuple[object, ...]]:
    step = timedelta(days=1) / ORDERS_A_DAY
    total = DAYS * ORDERS_A_DAY
    for number in range(total):
        customer = number * 7 % CUSTOMERS
        currency = PEOPLE[customer % len(PEOPLE)][2]
        cents = round((1290 + number * 613 % 21_000) * RATES[currency])
        if currency == "KRW":
            cents -= cents % 100  # there is no smaller coin than one won
        yield 500_001 + number, _text(end - (total - number) * step), 1001 + customer, currency, cents


def _stock(end: datetime) -> Iterator[tuple[object, ...]]:
    for number in range(ARTICLES):
        title, weight, _, tags = THINGS[number % len(THINGS)]
        on_hand = number * 7919 % 400
        yield (
            f"A-{number:05}",
            title,
            on_hand,
            weight,
            json.dumps(tags),
            _text(end - timedelta(seconds=number * 37 % 86_400)),
        )


def _prices() -> Iterator[tuple[object, ...]]:
    for number in range(PRICED_ARTICLES):
        for currency, rate in RATES.items():
            yield f"A-{number:05}", currency, round(THINGS[number % len(THINGS)][2] * rate)
