"""On a shop whose brands are known in truth, models find who prefers which, what prices do, and what is thought."""

import math
from collections import Counter, defaultdict

import msgspec
import numpy as np
import pytest

from models.brand.at_usual import AtUsualPrices
from models.brand.book import BrandBook
from models.brand.choice import LastBrand, OwnShare
from models.brand.situation import Situation, last_brand
from models.brand.standings import brand_name
from models.brand.taste import Told, tell
from models.market.book import Market
from models.market.tell import observed
from models.market.tell import tell as tell_market
from models.policy import Policy
from models.receipt import read
from schemas.events import Feedback, Observation, Purchase, Refund, Sale
from schemas.state import CustomerState
from streams.replay.files import order_of
from streams.replay.simulated import Simulation
from streams.replay.simulated.brands import LIKED, PROMOTED, RIVALS, SOLD, TASTE, usual_index
from streams.replay.simulated.world import BRANDS, CATEGORIES

CUSTOMERS, EVENTS, SEED = 300, 12_000, 5
HALF = 270 * 86_400.0


def shop(*, brands=True, events=EVENTS):
    return Simulation(CUSTOMERS, events, SEED, brands=brands)


@pytest.fixture(scope="module")
def told():
    simulation = shop()
    return simulation, list(simulation.events())


class BestGuess:
    """Bayes' rule for who knows the shop's laws and a customer's segment, and sees what was bought: likings as particles."""

    def __init__(self, truth):
        self.truth = truth
        self.likings = np.random.default_rng(1).normal(0.0, TASTE, (300, 4))
        self.weights = defaultdict(lambda: np.zeros(300))

    def chances(self, customer, line):
        """Probability of each brand with each liking, shape (300, 4), and how probable these are."""
        category = CATEGORIES.index(line.category)
        prices = np.array([one.unit_price for one in line.alternatives])
        promoted = np.array([one.promoted for one in line.alternatives])
        z = np.array(LIKED)[list(SOLD[category])] + PROMOTED * promoted
        z = z + self.truth.price_response(customer) * np.log(prices) + self.likings
        power = np.exp(z - z.max(axis=1, keepdims=True))
        weights = np.exp(self.weights[customer, category] - self.weights[customer, category].max())
        return power / power.sum(axis=1, keepdims=True), weights / weights.sum()

    def take(self, customer, line):
        """Learn one choice. Returns the probability that it had."""
        p, weights = self.chances(customer, line)
        place = [one.brand for one in line.alternatives].index(line.brand)
        self.weights[customer, CATEGORIES.index(line.category)] += np.log(p[:, place])
        return float(weights @ p[:, place])


class Learned(msgspec.Struct):
    book: BrandBook
    market: Market
    best: BestGuess
    tastes: dict
    losses: Counter = msgspec.field(default_factory=Counter)
    judged: int = 0
    responses: list = []


def response(learner, one, market):
    """By how much the log odds of a brand rise, by the model, where its price rises by one unit of log: a tenth less."""
    odds = []
    for factor in (1.0, 0.9):
        offers = [
            offer._replace(price=offer.price * factor) if offer.brand == one.brand else offer for offer in one.offers
        ]
        situation = Situation(one.taste, offers, market)
        p = learner.score_one(situation)[situation.names.index(one.brand)]
        odds.append(math.log(p / (1 - p)))
    return (odds[1] - odds[0]) / math.log(0.9)


@pytest.fixture(scope="module")
def learned(told):
    simulation, events = told
    start = events[0].occurred_at.timestamp() + HALF
    found = Learned(
        BrandBook("GBP"), Market(), BestGuess(simulation.brands), defaultdict(lambda: CustomerState(seen_at=0.0))
    )
    policy, day = Policy(currency="GBP"), 0
    for event in events:
        at, today = event.occurred_at.timestamp(), event.occurred_at.toordinal()
        if today > day:
            found.book.close(today)
            found.market.take({"close": today})
            day = today
        match event:
            case Feedback():
                row = {name: getattr(event, name) for name in ("brand", "category", "rating", "text")}
                found.book.said(row | {"at": at, "day": today})
            case Observation():
                found.market.take(observed(event, policy))
            case Purchase() | Refund():
                state = None if event.customer_id is None else found.tastes[event.customer_id]
                receipt = read(event)
                found.market.take(tell_market(receipt, state, policy) | {"day": today})
                for row in tell(receipt, None if state is None else state.brands, at, today):
                    if state is not None and isinstance(event, Purchase):
                        judge(simulation, found, event, msgspec.convert(row["told"], Told), counts=at >= start)
                    found.book.bought(row)
    return found


def judge(simulation, found, event, one, *, counts):
    """Ask everybody before a choice is learned; what counts is a choice of one line, in the second half."""
    who, lines = event.customer_id, [line for line in event.lines if line.category == one.category]
    best = [found.best.take(who, line) for line in lines]
    if len(lines) > 1 or not counts:
        return
    found.judged += 1
    situation = Situation(one.taste, one.offers, found.book.markets[one.category])
    place = situation.names.index(one.brand)
    asked = {"model": found.book.choices, "own share": OwnShare(), "last brand": LastBrand()}
    for name, learner in asked.items():
        found.losses[name] -= math.log(learner.score_one(situation)[place])
    found.losses["best guess"] -= math.log(best[0])
    found.losses["truth"] -= math.log(simulation.brands.chances(who, lines[0])[one.brand])
    if found.judged % 20 == 0:
        by_model = response(found.book.choices.entrants["conditional_logit"], one, found.book.markets[one.category])
        found.responses.append((by_model, simulation.brands.price_response(who)))


def test_customers_and_what_they_buy_are_those_of_the_shop_without_brands(told):
    _, events = told
    assert len(events) == EVENTS
    assert [order_of(event) for event in events] == sorted(order_of(event) for event in events)
    assert len({event.event_id for event in events}) == EVENTS
    assert events == list(shop().events())
    plain = shop(brands=False).events()
    for event in events:
        if isinstance(event, Feedback | Observation):
            continue
        other = next(plain)
        if isinstance(event, Sale):
            assert [(line.product_id, line.quantity) for line in event.lines] == [
                (line.product_id, line.quantity) for line in other.lines
            ]
            event, other = (msgspec.structs.replace(one, lines=()) for one in (event, other))  # noqa: PLW2901 - the rest
        assert event == other


def test_what_comes_back_is_what_was_bought(told):
    _, events = told
    last = {}
    for event in events:
        for line in event.lines if isinstance(event, Sale) else ():
            key = (event.customer_id, line.product_id)
            if isinstance(event, Purchase):
                last[key] = (line.brand, line.unit_price)
            else:
                assert (line.brand, line.unit_price) == last[key]


def test_told_probabilities_come_true(told):
    simulation, events = told
    chance, came = [], []
    for event in events:
        for line in event.lines if isinstance(event, Purchase) else ():
            for brand, p in simulation.brands.chances(event.customer_id, line).items():
                chance.append(p)
                came.append(brand == line.brand)
    chance, came = np.array(chance), np.array(came)
    for some in np.array_split(np.argsort(chance), 5):
        error = 4 * np.sqrt((chance[some] * (1 - chance[some])).sum())
        assert abs(chance[some].sum() - came[some].sum()) < error


def test_choices_are_foreseen_nearly_as_by_who_knows_the_truth(learned):
    assert learned.judged > 800
    losses = {name: loss / learned.judged for name, loss in learned.losses.items()}
    print({name: round(loss, 3) for name, loss in losses.items()})  # noqa: T201 - pytest -rP shows it
    assert losses["truth"] < losses["best guess"] < losses["model"] < losses["own share"]
    assert (losses["own share"] - losses["model"]) / (losses["own share"] - losses["best guess"]) > 0.6


def test_what_price_does_is_found(learned):
    by_model, truth = np.array(learned.responses).T
    print(f"price response: model {by_model.mean():.2f}, truth {truth.mean():.2f}")  # noqa: T201 - pytest -rP shows it
    assert len(truth) > 50
    assert by_model.mean() == pytest.approx(truth.mean(), rel=0.4)


def test_the_favourite_brand_of_who_buys_often_is_found(told, learned):
    simulation, _ = told
    usual = AtUsualPrices(learned.book.compiled())
    hits = asked = 0
    for customer, state in learned.tastes.items():
        for category, taste in state.brands.items():
            if taste.bought < 8:
                continue
            asked += 1
            names = [BRANDS[b] for b in SOLD[CATEGORIES.index(category)]]
            best = max(names, key=lambda name: usual.of(category, taste, name) or 0.0)
            hits += best == simulation.brands.favourite(customer, category)
    print(f"favourites: {hits} of {asked}")  # noqa: T201 - pytest -rP shows it
    assert asked > 100
    assert hits / asked > 0.6  # by chance .25


def test_loyalty_is_the_chance_that_the_truth_gives_the_last_brand(told, learned):
    simulation, _ = told
    usual, served, true = AtUsualPrices(learned.book.compiled()), [], []
    for customer, state in learned.tastes.items():
        for category, taste in state.brands.items():
            brand = last_brand(taste)
            if brand is not None and taste.bought >= 3:
                served.append(usual.of(category, taste, brand))
                true.append(simulation.brands.usually(customer, category)[brand])
    served, true = np.array(served), np.array(true)
    assert len(true) > 300
    assert np.corrcoef(served, true)[0, 1] > 0.5
    for some in np.array_split(np.argsort(served), 4):
        assert served[some].mean() == pytest.approx(true[some].mean(), abs=0.1)


def test_a_promotion_lifts_a_brand_as_much_as_it_does(told, learned):
    _, events = told
    chosen = defaultdict(lambda: [[0, 0], [0, 0]])
    for event in events:
        for line in event.lines if isinstance(event, Purchase) else ():
            for offer in line.alternatives:
                n = chosen[brand_name(line.category, offer.brand)][offer.promoted]
                n[0] += 1
                n[1] += offer.brand == line.brand
    report = learned.book.report()
    for name, ((n, usual), (promoted_n, promoted)) in chosen.items():
        if min(n, promoted_n) > 100:
            assert report[name]["share_at_usual_price"] == pytest.approx(usual / n, abs=0.08)
            assert report[name]["share_when_promoted"] == pytest.approx(promoted / promoted_n, abs=0.12)
            assert report[name]["share_when_promoted"] > report[name]["share_at_usual_price"]


def test_what_is_thought_of_each_brand_is_found(told, learned):
    simulation, events = told
    said = defaultdict(list)
    for event in events:
        if isinstance(event, Feedback):
            said[event.brand].append(simulation.brands.negative(event.brand, event.occurred_at.timestamp()))
    found, true = [], []
    for brand in BRANDS:
        images = [one for name, one in learned.book.images.brands.items() if name.endswith(f":{brand}")]
        days = [day for image in images for day in image.days.values()]
        found.append(sum(day.negative for day in days) / sum(day.count for day in days))
        true.append(np.mean(said[brand]))
    print("negative:", [f"{brand} {a:.2f} {b:.2f}" for brand, a, b in zip(BRANDS, found, true, strict=True)])  # noqa: T201 - pytest -rP shows it
    assert found == pytest.approx(true, abs=0.12)
    assert np.corrcoef(found, true)[0, 1] > 0.8
    sayings = learned.book.tasks()["sentiment"]
    assert sayings["models"][sayings["champion"]]["accuracy"] > 0.8


def test_what_rivals_ask_is_found(learned):
    found = learned.market.report("GBP")["all"]["competitors"]["price_index"]
    assert set(found) == set(RIVALS)
    for seller, one in found.items():
        assert one["index"] == pytest.approx(usual_index(seller), rel=0.1)
