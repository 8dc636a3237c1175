"""Brand choice: what is known before it, what is learned of it, and what it must not see."""

import math
from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from scipy.optimize import minimize

from models.brand.at_usual import Against, AtUsualPrices, at_usual
from models.brand.book import OWN_SHARE, BrandBook
from models.brand.choice import START, ConditionalLogit, LastBrand, OwnShare, softmax
from models.brand.loyalty import loyalty, rule
from models.brand.situation import FEATURES, Situation, last_brand
from models.brand.standings import learn_market, meet
from models.brand.taste import GONE, MAX_BRANDS, MAX_CATEGORIES, RECENT, Offer, bought, remember, tell
from models.league.snapshot import freeze, thaw
from models.receipt import read
from schemas.choice import ChoiceModel, Standing, decode_choice, encode_choice
from schemas.events import Alternative, Line, Purchase
from schemas.state import CustomerState, Remembered, Taste, decode_remembered, encode_remembered
from schemas.state import Standing as Kept

AT = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = ("ash", "birch", "cedar")


def purchase(brand, alternatives=None, price=1.0, category="tea", quantity=1.0, currency="GBP"):
    line = Line(
        product_id=f"p-{brand}", quantity=quantity, unit_price=price, category=category, brand=brand,
        alternatives=alternatives,
    )  # fmt: skip
    return Purchase(event_id="e", customer_id="a", occurred_at=AT, currency=currency, channel="web", lines=(line,))


def alternatives(prices, promoted):
    return tuple(
        Alternative(brand=name, unit_price=price, promoted=deal)
        for name, price, deal in zip(NAMES, prices, promoted, strict=True)
    )


def naive_choices(n, seed, weights=(2.0, -3.0, 1.5)):
    """Customers with a true taste, met by prices and promotions: (taste, offers, chosen) in order."""
    draw, tastes, market = np.random.default_rng(seed), {}, {}
    for name in NAMES:
        meet(market, name)
    for _ in range(n):
        kept = tastes.setdefault(int(draw.integers(40)), {})
        taste = kept.get("tea", Taste())
        prices = np.exp(draw.normal(0, 0.2, 3))
        deals = draw.random(3) < 0.2
        offers = [Offer(*one) for one in zip(NAMES, prices.tolist(), deals.tolist(), strict=True)]
        own = np.array([taste.counts.get(name, 0) + 0.5 for name in NAMES])
        utility = weights[0] * np.log(own / own.sum()) + weights[1] * np.log(prices) + weights[2] * deals
        chosen = int(draw.choice(3, p=softmax(utility.tolist())))
        yield msgspec.convert(msgspec.to_builtins(taste), Taste), offers, chosen, market
        learn_market(market, offers, NAMES[chosen], None)
        event = purchase(NAMES[chosen], alternatives(prices.tolist(), deals.tolist()), float(prices[chosen]))
        tell(read(event), kept, 0.0, 0)


def test_the_logit_beats_both_trivial_answers_where_price_and_habit_count():
    losses = dict.fromkeys(("logit", "own", "last"), 0.0)
    learners = {"logit": ConditionalLogit(), "own": OwnShare(), "last": LastBrand()}
    for taste, offers, chosen, market in naive_choices(1_500, seed=1):
        situation = Situation(taste, offers, market)
        for name, learner in learners.items():
            p = learner.score_one(situation)
            assert math.isclose(math.fsum(p), 1.0, rel_tol=1e-9)
            losses[name] -= math.log(p[chosen])
            learner.learn_one(situation, chosen)
    assert losses["logit"] < 0.9 * min(losses["own"], losses["last"])


def test_online_weights_come_near_the_batch_optimum():
    """The oracle: maximum a posteriori on the same rows, by a general optimiser."""
    rows, places, learner = [], [], ConditionalLogit()
    for taste, offers, chosen, market in naive_choices(3_000, seed=2):
        frozen = {name: Standing(weight=standing.weight, usual=standing.usual) for name, standing in market.items()}
        situation = Situation(taste, offers, frozen)  # offsets of their own are left out on both sides
        rows.append(np.array(situation.rows))
        places.append(chosen)
        learner.learn_one(situation, chosen)
    x, y, start = np.array(rows), np.array(places), np.array(START)

    def loss(w):
        u = x @ w
        u -= u.max(axis=1, keepdims=True)
        logs = u - np.log(np.exp(u).sum(axis=1, keepdims=True))
        return -logs[np.arange(len(y)), y].sum() + 2.0 * ((w - start) ** 2).sum()

    best = minimize(loss, start, method="L-BFGS-B").x
    assert loss(np.array(learner.weights)) / len(y) < loss(best) / len(y) + 0.005


@given(st.lists(st.floats(0.1, 10.0), min_size=3, max_size=3), st.lists(st.booleans(), min_size=3, max_size=3))
def test_what_was_chosen_cannot_be_seen_in_what_could_be_had(prices, promoted):
    could = alternatives(prices, promoted)
    paid = dict(zip(NAMES, prices, strict=True))
    seen = [bought(read(purchase(name, could, paid[name])))[0].offers for name in NAMES]
    assert seen[0] == seen[1] == seen[2]
    # Where the alternatives leave out the brand bought, it alone would say nothing of its promotion.
    for name in NAMES:
        others = tuple(one for one in could if one.brand != name)
        offers = bought(read(purchase(name, others, paid[name])))[0].offers
        assert {offer.promoted for offer in offers} == {None}
        assert [offer.brand for offer in offers] == sorted(NAMES)


def test_a_personal_coupon_is_not_the_price_that_others_met():
    could = alternatives([2.0, 2.0, 2.0], [False, False, False])
    offers = bought(read(purchase("ash", could, price=0.5)))[0].offers
    assert {offer.price for offer in offers} == {2.0}


def at_random(told_of, paid_of, n=600, seed=3):
    """Choices that nothing foretells: what the alternatives say of each, and what is paid at which shelf price."""
    draw, book, tastes = np.random.default_rng(seed), BrandBook("GBP"), {}
    for number in range(n):
        shelf = dict(zip(NAMES, draw.choice([4.0, 4.5, 5.0], 3).tolist(), strict=True))
        brand = NAMES[int(draw.integers(3))]
        could = tuple(Alternative(brand=name, unit_price=price) for name, price in told_of(shelf, brand).items())
        event = purchase(brand, could, paid_of(shelf[brand], draw))
        for row in tell(read(event), tastes.setdefault(int(draw.integers(60)), {}), number, number // 20):
            book.bought(row)
    return book


def others(shelf, brand):
    return {name: price for name, price in shelf.items() if name != brand}


@pytest.mark.parametrize(
    ("told_of", "paid_of"),
    [
        (others, lambda shelf, _: round(0.93 * shelf, 2)),  # everybody has a coupon
        (others, lambda shelf, draw: round(shelf * draw.uniform(0.8, 1.0), 2)),
        (lambda shelf, brand: dict.fromkeys(others(shelf, brand)), lambda shelf, _: shelf),  # the others have no price
        (lambda shelf, _: dict.fromkeys(shelf), lambda shelf, _: shelf),
        (lambda shelf, brand: others(shelf, brand) | {brand: None}, lambda shelf, _: round(0.93 * shelf, 2)),
        (lambda shelf, _: shelf, lambda shelf, _: round(0.93 * shelf, 2)),
        (others, lambda shelf, _: shelf),
    ],
)
def test_a_price_that_only_who_was_chosen_has_gives_nothing_away(told_of, paid_of):
    report = at_random(told_of, paid_of).choices.report()["models"]["conditional_logit"]
    assert 0.28 < report["accuracy"] < 0.42
    assert report["auc"] < 0.57
    assert report["log_loss"] > math.log(3.0) - 0.02


def test_what_is_paid_is_compared_where_it_is_what_stands_on_the_shelf():
    """Among the dearest and the cheapest everybody takes the cheapest, and the brand bought is named by nobody."""
    draw, book = np.random.default_rng(1), BrandBook("GBP")
    for number in range(600):
        shelf = dict(zip(NAMES, draw.permutation([4.0, 4.5, 5.0]).tolist(), strict=True))
        brand = min(shelf, key=shelf.__getitem__)
        dearer = tuple(Alternative(brand=name, unit_price=price) for name, price in others(shelf, brand).items())
        for row in tell(read(purchase(brand, dearer, 4.0 if number % 5 else 4.5)), {}, number, number // 20):
            book.bought(row)
    unseen = book.shelves["tea"]
    assert unseen.found < 0.3 * unseen.asked  # at 4.00 none was ever told to stand there: nobody knows
    assert all(standing.usual is None for standing in book.markets["tea"].values())
    known = at_random(others, lambda shelf, _: shelf)
    assert known.shelves["tea"].found > 0.95 * known.shelves["tea"].asked
    assert all(standing.usual is not None for name, standing in known.markets["tea"].items() if name in NAMES)


def test_a_coupon_makes_no_customer_one_who_buys_cheaply():
    tastes: dict[str, Taste] = {}
    for _ in range(5):
        could = tuple(Alternative(brand=name, unit_price=5.0) for name in NAMES[1:])
        tell(read(purchase("ash", could, 4.0)), tastes, 0.0, 0)
    assert (tastes["tea"].bought, tastes["tea"].priced, tastes["tea"].relative_e3) == (5, 0, 0)


def mixed(book, prices, promoted=(False,) * 3):
    """Choices in pounds, and as many of the same brands in yen at these prices."""
    tastes = {"GBP": {}, "JPY": {}}
    for number in range(120):
        brand = NAMES[number % 7 % 3]
        for currency, could in (("GBP", [10.0, 9.0, 8.0]), ("JPY", prices)):
            paid = could[NAMES.index(brand)] or 0.0
            event = purchase(brand, alternatives(could, promoted), paid, currency=currency)
            for row in tell(read(event), tastes[currency], number, number):
                book.bought(row)
    return book


def test_prices_in_another_currency_compare_with_none_and_the_choice_counts():
    found, unknown = mixed(BrandBook("GBP"), [1_900.0, 1_700.0, 1_500.0]), mixed(BrandBook("GBP"), [None] * 3)
    usual = {name: math.exp(one.usual) for name, one in found.markets["tea"].items()}
    assert usual == pytest.approx({"ash": 10.0, "birch": 9.0, "cedar": 8.0})
    assert found.choices.examples == unknown.choices.examples == 240
    for name in NAMES:
        sums = found.categories["tea"].brands[name]
        assert sums == unknown.categories["tea"].brands[name]
        assert sums.offered == [240, 0]  # at its usual price each time, for nobody says that it was promoted


def test_a_brand_of_which_neither_price_nor_promotion_is_known_was_on_offer_neither_way():
    found = mixed(BrandBook("GBP"), [1_900.0, 1_700.0, 1_500.0], promoted=(None, True, False))
    offered = [found.categories["tea"].brands[name].offered for name in NAMES]
    assert offered == [[120, 0], [0, 240], [240, 0]]


def test_a_choice_is_foreseen_from_what_was_known_before_it():
    def loss(brand):
        book, tastes = BrandBook("GBP"), {}
        for number in range(60):
            for row in tell(read(purchase(NAMES[number % 2])), tastes, number, number):
                book.bought(row)
        before = {name: quality.log_loss for name, quality in book.choices.fresh.items()}
        for row in tell(read(purchase(brand)), tastes, 60.0, 60):
            book.bought(row)
        return {name: math.exp(before[name] - quality.log_loss) for name, quality in book.choices.fresh.items()}

    found = [loss(brand) for brand in ("ash", "birch", "a brand that nobody knows")]
    for name in ("conditional_logit", "own_share", "last_brand"):
        assert math.isclose(math.fsum(one[name] for one in found), 1.0, rel_tol=1e-6), name


@given(st.lists(st.tuples(st.sampled_from("abcdefghijkl"), st.sampled_from("0123456789")), max_size=80))
def test_a_taste_is_bounded_and_exact_within_its_bounds(purchases):
    tastes = {}
    for brand, category in purchases:
        tell(read(purchase(brand, category=category)), tastes, 0.0, 0)
        taste = tastes[category]
        assert last_brand(taste) == brand
        assert len(tastes) <= MAX_CATEGORIES
        assert len(taste.counts) <= MAX_BRANDS
        assert len(taste.recent) <= RECENT
        assert all(place == GONE or place < len(taste.counts) for place in taste.recent)
    few = [(brand, category) for brand, category in purchases if brand in "abc" and category in "01"]
    tastes = {}
    for brand, category in few:
        tell(read(purchase(brand, category=category)), tastes, 0.0, 0)
    for category, taste in tastes.items():
        mine = [brand for brand, where in few if where == category]
        assert taste.counts == {brand: mine.count(brand) for brand in dict.fromkeys(mine)}
        assert taste.bought == len(mine)
        assert [list(taste.counts)[place] for place in taste.recent] == mine[-RECENT:]


def test_a_customer_without_brands_costs_a_byte_and_old_states_load():
    state = CustomerState(seen_at=1.0)
    body = encode_remembered(Remembered(state))
    old = msgspec.msgpack.decode(body)
    place = CustomerState.__struct_fields__.index("brands")
    assert old[0][place] == {}
    del old[0][place:]  # what a release without brands did not write
    assert decode_remembered(msgspec.msgpack.encode(old)) == Remembered(state, Kept())
    assert len(msgspec.msgpack.encode(state.brands)) == 1


def test_a_purchase_of_several_brands_is_one_choice_of_the_main_one():
    lines = (
        Line(product_id="1", quantity=1, unit_price=2, category="tea", brand="ash"),
        Line(product_id="2", quantity=3, unit_price=1, category="tea", brand="birch"),
        Line(product_id="3", quantity=9, unit_price=1, category="tea"),
        Line(product_id="4", quantity=1, unit_price=5, brand="cedar"),
    )
    event = Purchase(event_id="e", customer_id="a", occurred_at=AT, currency="GBP", channel="web", lines=lines)
    tea, other = bought(read(event))
    assert (tea.category, tea.brand, other.category, other.brand) == ("tea", "birch", "other", "cedar")
    tastes = {}
    remember(tastes, tea)
    assert tastes["tea"].counts == {"ash": 1, "birch": 1}
    assert tastes["tea"].bought == 1


def test_a_published_model_says_what_the_league_says():
    book, tastes = BrandBook("GBP"), {}
    for number in range(50):
        for row in tell(read(purchase(NAMES[number % 3 and 1])), tastes, number, number):
            book.bought(row)
    model = decode_choice(encode_choice(book.compiled()))
    book.choices.champion = "own_share"
    trivial = book.compiled()
    for taste in (tastes["tea"], Taste(), Taste(2, {"elm": 2}, bytes([0, 0])), Taste(3, {"ash": 3}, b"\0", 3, 400, 1)):
        situation = Situation(taste, None, book.markets["tea"])
        learner = book.choices.entrants["conditional_logit"]
        for published, judged in ((model, learner), (trivial, OwnShare())):
            p = dict(zip(situation.names, judged.score_one(situation), strict=True))
            found = {name: AtUsualPrices(published).of("tea", taste, name) for name in p}
            assert found == pytest.approx(p)
    assert sum(OWN_SHARE) == 2.0
    assert AtUsualPrices(model).of("tea", Taste(), "elm") is None
    assert AtUsualPrices(model).of("jam", Taste(), "ash") is None


def test_what_was_made_of_a_model_is_kept_until_there_is_another():
    def published(offset):
        market = {name: Standing(offset=offset * (name == "ash")) for name in NAMES}
        return ChoiceModel(version="1", features=FEATURES, weights=START, markets={"tea": market})

    model = published(0.0)
    before = at_usual(model)
    stays = before.of("tea", Taste(), "ash")
    assert at_usual(model) is before
    assert at_usual(published(2.0)).of("tea", Taste(), "ash") > stays
    assert at_usual(model).of("tea", Taste(), "ash") == stays


def test_a_restored_book_has_the_same_future():
    def feed(book, tastes, seed):
        draw = np.random.default_rng(seed)
        for number in range(120):
            who = int(draw.integers(9))
            event = purchase(
                NAMES[int(draw.integers(3))], alternatives(np.exp(draw.normal(0, 0.2, 3)).tolist(), [False] * 3)
            )
            for row in tell(read(event), tastes.setdefault(who, {}), number, number // 7):
                book.bought(row)
            text = "late again" if draw.random() < 0.5 else "thank you"
            said = {"at": 0.0, "day": number // 7, "brand": "ash", "category": "tea"}
            book.said(said | {"rating": 1.0 if text == "late again" else 5.0, "text": text})
            book.said(said | {"rating": None, "text": text})
        return book

    original, tastes = BrandBook("GBP"), {}
    feed(original, tastes, 3)
    restored = BrandBook("GBP")
    restored.restore(thaw(freeze(original.state(), b"k"), b"k"))
    copy = msgspec.msgpack.decode(msgspec.msgpack.encode(tastes), type=dict[int, dict[str, Taste]])
    one, other = feed(original, tastes, 4), feed(restored, copy, 4)
    assert one.report() == other.report()
    assert one.tasks() == other.tasks()
    assert encode_choice(one.compiled()) == encode_choice(other.compiled())


def test_wild_prices_leave_the_weights_finite():
    learner, market = ConditionalLogit(), {}
    for number in range(200):
        offers = [Offer("a", 1e-6, True), Offer("b", 1e9, False), Offer("c", None, None)]
        for offer in offers:
            meet(market, offer.brand)
        situation = Situation(Taste(), offers, market)
        learner.learn_one(situation, number % 3)
        learn_market(market, offers, "abc"[number % 3], None)
    assert np.isfinite(learner.weights).all()
    assert np.abs(learner.weights).max() < 50


def test_a_market_keeps_a_bounded_number_of_brands():
    market = {}
    for number in range(200):
        learn_market(market, None, f"brand {number}", 1.0)
    assert len(market) <= 26
    assert sum(standing.weight for standing in market.values()) > 100


@pytest.mark.parametrize(
    ("taste", "stays", "usual", "words"),
    [
        (Taste(4, {"a": 1, "b": 3}, bytes([1, 0, 1, 1]), price_e4=10_000), 0.9, None, "3 of the last 4: stays"),
        (Taste(2, {"b": 2}, bytes([0, 0]), price_e4=9_000), 0.7, 0.0, "2 of the last 2, last cheap: stays"),
        (Taste(1, {"b": 1}, bytes([0]), price_e4=10_000), 0.3, math.log(0.5), "the only time, dear: leaves"),
        (Taste(1, {"b": 1}, bytes([0]), promoted=True), 0.5, None, "the only time, promoted: may leave"),
    ],
)  # fmt: skip
def test_the_rule_says_why(taste, stays, usual, words):
    assert rule(taste, "b", stays, usual).endswith(words)


SIX, THREE, TWO = (Taste(8, {"a": n, "b": 8 - n}, bytes([1] * (8 - n) + [0] * n), price_e4=9_000) for n in (6, 3, 2))


@pytest.mark.parametrize(
    ("taste", "stays", "parts", "words"),
    [  # parts: by how much a is dearer than b, then what price, liking and habit do for a
        (SIX, 0.3, (0.1, -2.0, -1.0, 0.5), "6 of the last 8: leaves for b, cheaper"),
        (SIX, 0.3, (-0.1, -2.0, -1.0, 0.5), "6 of the last 8: leaves for b, dearer"),
        (SIX, 0.3, (0.1, -1.0, -2.0, 0.5), "6 of the last 8: leaves for b, popular"),
        (SIX, 0.3, (0.1, 0.0, 0.5, -2.0), "6 of the last 8: leaves for b, for a change"),
        (replace(SIX, counts={"a": 6, "b": 90}), 0.3, (0.1, 0.0, 0.5, -2.0), "6 of the last 8: leaves for b, by habit"),
        (SIX, 0.39, (0.1, -0.2, 0.5, 0.1), "6 of the last 8: leaves for others"),
        (THREE, 0.7, (-0.1, 2.0, 1.0, 0.0), "3 of the last 8: stays, cheaper"),
        (THREE, 0.7, (-0.1, 1.0, 2.0, 0.0), "3 of the last 8: stays, popular"),
        (THREE, 0.7, (-0.1, 1.0, 0.0, 2.0), "3 of the last 8: stays, of late"),
        (replace(TWO, counts={"a": 40, "b": 6}), 0.7, (0.1, 0.0, 0.0, 2.0), "2 of the last 8: stays, by habit"),
        (SIX, 0.7, (0.1, 0.0, 0.0, 2.0), "6 of the last 8, last cheap: stays"),  # as one expects
        (THREE, 0.3, (0.1, 0.0, 0.0, -2.0), "3 of the last 8, last cheap: leaves"),
        (SIX, 0.5, (0.1, 0.0, 0.0, 0.1), "6 of the last 8, last cheap: may leave"),
        (Taste(1, {"a": 1}, b"\0"), 0.3, (0.1, -2.0, 0.0, 0.0), "the only time: leaves"),
    ],
)
def test_where_the_last_purchases_point_the_other_way_the_rule_says_what_does_not(taste, stays, parts, words):
    assert rule(taste, "a", stays, 0.0, lambda: Against("b", *parts)) == words


@given(
    st.lists(st.floats(-2, 2), min_size=len(FEATURES), max_size=len(FEATURES)),
    st.lists(st.tuples(st.floats(0.1, 50), st.floats(-1, 1), st.floats(-2, 2)), min_size=2, max_size=5),
    st.lists(st.integers(0, 4), min_size=1, max_size=16),
    st.integers(-900, 900),
)
def test_what_speaks_for_a_brand_adds_up_to_its_log_odds_against_the_likeliest_other(weights, brands, bought, dear):
    market = {str(n): Standing(weight, usual, offset) for n, (weight, usual, offset) in enumerate(brands)}
    usual = AtUsualPrices(ChoiceModel(version="1", features=FEATURES, weights=tuple(weights), markets={"tea": market}))
    names = [str(n % len(brands)) for n in bought]
    counts = {name: names.count(name) for name in dict.fromkeys(names)}
    places = bytes(list(counts).index(name) for name in names)
    taste, brand = Taste(len(names), counts, places, priced=9, relative_e3=dear), names[-1]
    found = usual.against("tea", taste, brand, usual.utilities("tea", taste, brand))
    chances = {name: usual.of("tea", taste, name) for name in market}
    assert found.rival == max((name for name in market if name != brand), key=chances.__getitem__)
    odds = math.log(chances[brand] / chances[found.rival])
    assert found.price + found.liked + found.habit == pytest.approx(odds, abs=1e-6)
    rows = Situation(taste, None, market)
    mine, theirs = (rows.rows[int(name)] for name in (brand, found.rival))
    by_name = {name: w * (a - b) for name, w, a, b in zip(FEATURES, weights, mine, theirs, strict=True)}
    assert found.price == pytest.approx(by_name["price"] + by_name["price_by_taste"], abs=1e-6)
    offsets = market[brand].offset - market[found.rival].offset
    assert found.liked == pytest.approx(by_name["market_share"] + offsets, abs=1e-6)


def test_a_customer_who_leaves_against_the_counts_is_told_for_whom():
    market = {"ash": Standing(), "birch": Standing(offset=6.0), "cedar": Standing(offset=5.0)}
    model = ChoiceModel(version="1", features=FEATURES, weights=START, markets={"tea": market})
    state = CustomerState(seen_at=0.0)
    for brand in ("birch", *["ash"] * 3):
        tell(read(purchase(brand)), state.brands, 0.0, 0)
    assert loyalty(state, AtUsualPrices(model))["loyalty_rule"] == "3 of the last 4: leaves for birch, popular"
    alone = msgspec.structs.replace(model, markets={"tea": {"ash": Standing()}})
    assert loyalty(state, AtUsualPrices(alone))["loyalty_rule"] == "3 of the last 4: stays"


def test_loyalty_is_served_for_the_main_category_and_not_made_up():
    model = ChoiceModel(
        version="1", features=FEATURES, weights=START, markets={"tea": {"ash": Standing(), "birch": Standing()}}
    )
    state = CustomerState(seen_at=0.0)
    assert loyalty(state, AtUsualPrices(model)) == {}
    for brand in ("ash", "birch", "birch"):
        tell(read(purchase(brand)), state.brands, 0.0, 0)
    tell(read(purchase("ash", category="jam")), state.brands, 0.0, 0)
    served = loyalty(state, AtUsualPrices(model))
    assert (served["brand"], served["loyalty_rule"].split(",")[0]) == (
        "tea:birch",
        "2 of the last 3: stays",
    )
    assert float(served["loyalty"]) > 0.6
    empty = ChoiceModel(version="1", features=FEATURES, weights=START)
    assert loyalty(state, None) == loyalty(state, AtUsualPrices(empty))
    assert loyalty(state, None)["loyalty"] == f"{2 / 5:.4f}"
