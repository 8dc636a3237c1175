"""Sales by country and channel, where a shop asks for them: every amount in one of each, whoever sold it to whom."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from models.learning import Learning
from models.policy import Policy
from models.sales.dimensions import ALL, dimension_of
from models.shard import Shop
from schemas.events import Customer, Line, Purchase, Refund
from streams.backtest import backtest
from streams.errors import Misconfigured
from streams.lineage import Shelf
from streams.publishing import Published
from streams.redis.keys import Keys
from streams.settings import Settings, load_settings

AT = datetime(2026, 1, 1, tzinfo=UTC)
COUNTRIES = {"ann": "FR", "bob": "DE", "cid": 44, "dan": None, "eve": "x" * 90}


def events():
    draw = random.Random(7)
    for name, country in COUNTRIES.items():
        attributes = {} if country is None else {"country": country}
        yield Customer(event_id=f"c:{name}", occurred_at=AT, customer_id=name, attributes=attributes)
    for n in range(400):
        customer = draw.choice([*COUNTRIES, None])
        lines = [
            Line(product_id="p", category=draw.choice(["tea", "cups", None]), quantity=draw.randint(1, 3), unit_price=n / 7)
            for _ in range(draw.randint(1, 3))
        ]  # fmt: skip
        make = Refund if draw.random() < 0.2 else Purchase
        yield make(
            event_id=f"s:{n}", occurred_at=AT + timedelta(hours=2 * n + 1), customer_id=customer, lines=lines,
            currency=draw.choice(["GBP", "GBP", "EUR"]), channel=draw.choice(["web", "shop"]),
        )  # fmt: skip


def country_of(sale):
    country = COUNTRIES.get(sale.customer_id)
    return "other:country" if country is None else f"country:{str(country)[:64]}"


def e4(sale):
    sign = 1 if isinstance(sale, Purchase) else -1
    return sign * sum(round(line.quantity * line.unit_price * 10_000) for line in sale.lines)


def test_parts_by_country_and_channel_are_exact():
    told = list(events())
    found = backtest(told, Shop(Policy(split_by=("country", "channel")), partitions=2)).learning.sales.series
    expected = Counter()
    for sale in told:
        if isinstance(sale, Purchase | Refund) and sale.currency == "GBP":
            for series in (ALL, country_of(sale), f"channel:{sale.channel}"):
                expected[series] += e4(sale)
    kept = {None, "country", "channel"}
    assert {name: one.total_e4 for name, one in found.items() if dimension_of(name) in kept} == expected


def test_without_the_setting_there_is_none_and_all_else_is_the_same():
    plain = backtest(events(), Shop(Policy(), partitions=2)).learning
    split = backtest(events(), Shop(Policy(split_by=("country",)), partitions=2)).learning
    assert not {"country", "channel"} & {dimension_of(name) for name in plain.sales.series}
    assert {name: split.sales.series[name] for name in plain.sales.series} == plain.sales.series
    split.policy = Policy()
    again = Learning(Policy())
    again.restore(split.state(), split.parts())
    assert again.sales.series == plain.sales.series


def test_a_series_that_is_not_kept_any_more_is_gone_from_redis():
    settings = Settings()
    keys = Keys(settings.prefix)
    shown = Published(settings, {ALL, "category:gone"}, set(), set(), set(), Shelf({}))
    commands = shown.sales_and_segments(Learning(Policy()))
    assert ["UNLINK", keys.sales("category:gone")] in commands
    assert ["SREM", keys.series, "category:gone"] in commands
    assert ["SADD", keys.series, ALL] in commands
    assert not [one for one in shown.sales_and_segments(Learning(Policy())) if one[0] in ("UNLINK", "SREM")]


def test_the_setting_names_dimensions():
    assert load_settings(sales_by="channel, country").policy.split_by == ("country", "channel")
    assert load_settings().policy.split_by == ()
    with pytest.raises(Misconfigured, match=r"STREAMSCORE_SALES_BY: .*'city' is none of country, channel"):
        load_settings(sales_by="country,city")
