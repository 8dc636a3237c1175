"""Every line of the Online Retail data is sent, merged or left out; and no penny is lost. The oracle reads the file itself."""

import csv
import gzip
from collections import Counter, defaultdict
from decimal import Decimal
from importlib.resources import files

import pytest

from schemas.codec import decode_any, encode
from schemas.events import Customer, Purchase, Refund
from streams.replay import online_retail
from streams.replay.category import RULE, SERVICE_CODES, category

FOLDER = files("streams.replay").joinpath("data")


def written():
    with gzip.open(str(FOLDER.joinpath("online_retail.csv.gz")), "rt", encoding="utf-8", newline="") as text:
        yield from csv.DictReader(text)


class Oracle:
    """What the data say, in exact decimals, a line at a time."""

    def __init__(self):
        self.lines, self.sums, self.fates = 0, defaultdict(Decimal), Counter()
        self.customers, self.sales, self.goods = set(), Counter(), Counter()
        for row in written():
            self.lines += 1
            self.goods[row["StockCode"].strip(), row["Description"]] += 1
            quantity, price = int(row["Quantity"]), Decimal(row["UnitPrice"])
            if price < 0:
                fate = "left out: bad debt adjustment (negative price)"
            elif quantity < 0 and price == 0:
                fate = "left out: stock correction (negative quantity at no price)"
            else:
                fate = "kept"
                customer = row["CustomerID"].split(".")[0]
                self.customers |= {customer} - {""}
                self.sales[row["InvoiceNo"], row["InvoiceDate"], customer, quantity > 0] += 1
            self.fates[fate] += 1
            self.sums[fate] += quantity * price


@pytest.fixture(scope="module")
def oracle():
    return Oracle()


@pytest.fixture(scope="module")
def replayed():
    """What is to be known of all events; they are not kept."""
    account, seen = online_retail.Account(), defaultdict(int)
    net, sizes, joined, ids, last = Decimal(0), Counter(), {}, set(), None
    for number, event in enumerate(online_retail.events(account)):
        assert last is None or event.occurred_at >= last
        last = event.occurred_at
        seen[type(event)] += 1
        if number % 97 == 0:
            assert decode_any(encode(event)) == event
        if isinstance(event, Customer):
            assert event.customer_id not in joined
            joined[event.customer_id] = event.occurred_at
            continue
        if event.customer_id is not None:
            assert joined[event.customer_id] <= event.occurred_at
        assert event.event_id not in ids
        ids.add(event.event_id)
        sign = 1 if isinstance(event, Purchase) else -1
        for line in event.lines:
            assert line.category == "service" or line.product_id.upper() not in SERVICE_CODES
            net += sign * Decimal(str(line.quantity)) * Decimal(str(line.unit_price))
        sizes[len(event.lines)] += 1
    return account, seen, net, sizes, joined


def test_every_line_is_accounted_for(oracle, replayed):
    account, seen, _, sizes, _ = replayed
    assert oracle.lines == online_retail.LINES == account.lines == sum(account.fates.values()) == 541_909
    events = seen[Purchase] + seen[Refund]
    assert account.fates["sent"] == events
    assert account.fates["sent"] + account.fates["merged"] == oracle.fates["kept"]
    assert sum(size * count for size, count in sizes.items()) == oracle.fates["kept"]
    left_out = {fate: lines for fate, lines in account.fates.items() if fate.startswith("left out")}
    assert left_out == {fate: lines for fate, lines in oracle.fates.items() if fate != "kept"}
    assert set(account.fates) - set(left_out) == {"sent", "merged"}


def test_an_invoice_of_one_customer_and_minute_is_one_event(oracle, replayed):
    _, seen, _, sizes, _ = replayed
    assert seen[Purchase] + seen[Refund] == len(oracle.sales)
    assert sizes == Counter(oracle.sales.values())
    assert seen[Purchase] == sum(bought for *_, bought in oracle.sales)


def test_no_penny_is_lost(oracle, replayed):
    account, _, net, _, _ = replayed
    assert net == oracle.sums["kept"]
    left_out = sum(amount for fate, amount in oracle.sums.items() if fate != "kept")
    assert Decimal(account.left_out_e4) / 10_000 == left_out
    assert net + left_out == sum(oracle.sums.values()) == Decimal("9747747.934")


def test_every_customer_comes_once_with_the_first_sale(oracle, replayed):
    _, seen, _, _, joined = replayed
    assert set(joined) == oracle.customers
    assert len(joined) == seen[Customer] == 4_372


def test_a_limit_reads_so_many_lines():
    account = online_retail.Account()
    some = list(online_retail.events(account, limit=1_000))
    assert account.lines == 1_000
    assert sum(len(event.lines) for event in some if not isinstance(event, Customer)) == sum(
        lines for fate, lines in account.fates.items() if not fate.startswith("left out")
    )


@pytest.mark.parametrize(
    ("product", "description", "expected"),
    [
        ("22423", "REGENCY CAKESTAND 3 TIER", "kitchen"),
        ("post", "POSTAGE", "service"),  # the code counts, whatever its case and words
        ("M", "Manual BAG", "service"),
        ("85123A", "WHITE HANGING HEART T-LIGHT HOLDER", "lights"),  # a word within hyphens; lights before storage
        ("1", "christmas gift bag", "christmas"),  # the first rule wins, in any case
        ("1", "JUMBO BAG/RED", "bags"),
        ("1", "BAGUETTE", "other"),  # whole words only
        ("1", "", "other"),
    ],
)
def test_the_rule_of_categories(product, description, expected):
    assert category(product, description) == expected


def test_every_word_of_the_rule_leads_to_its_category_unless_an_earlier_one_has_it():
    seen = set()
    for name, words in RULE:
        for word in words:
            assert word.isupper()
            assert word in seen or category("1", f"A {word} B") == name
        seen |= set(words)


def test_every_category_is_met_and_most_goods_have_one(oracle):
    found = Counter()
    for goods, lines in oracle.goods.items():
        found[category(*goods)] += lines
    assert set(found) == {"service", "other", *(name for name, _ in RULE)}
    assert found["other"] < 0.35 * oracle.lines


def test_the_data_say_whose_they_are():
    text = FOLDER.joinpath("README.md").read_text()
    for named in (
        "Chen, D.",
        "10.24432/C5BW33",
        "CC BY 4.0",
        "https://creativecommons.org/licenses/by/4.0/",
        "UCI",
        "541,909",
    ):
        assert named in text
