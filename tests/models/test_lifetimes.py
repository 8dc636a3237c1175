"""Buy-till-you-die models against integrals and simulated customers, and their entrants against the laws."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

from models.lifetimes import bg_nbd, gamma_gamma, pareto_nbd
from models.lifetimes import draws as module
from models.lifetimes.draws import Draws
from models.lifetimes.entrant import LifetimeEntrant
from models.lifetimes.fit import fit
from models.lifetimes.predict import Customers, alive, mean_order, next_purchase_days, none_within, purchases
from models.lifetimes.serve import score_lifetimes, with_intercept
from models.serving import predict
from schemas.lifetimes import Lifetimes
from schemas.serving import LifetimeModel, decode_model, encode_model

SHOP = (0.6, 80.0, 0.6, 70.0)
MODEL = Lifetimes(version="1", family="pareto_nbd", r=0.6, alpha=80.0, s=0.6, beta=70.0, p=6.0, q=4.0, gamma=15.0,
                  customers=100, orders=2.0, tenure_days=100.0, recency_days=40.0, mean_order=25.0)  # fmt: skip


def one(*values):
    return [np.array([float(value)]) for value in values]


# Oracles: the papers' integrals, done by brute force.


def naive_pareto(x, tx, seen, parameters=SHOP):
    """The chance density of a history: rate and lifetime of every possible customer, weighted."""
    r, alpha, s, beta = parameters

    def history(rate):
        """Over all times of leaving."""
        stays = ((beta) / (beta + seen)) ** s * rate**x * math.exp(-rate * seen)
        left = integrate.quad(
            lambda t: s * beta**s / (beta + t) ** (s + 1) * rate**x * math.exp(-rate * t), tx, seen, epsabs=0
        )[0]
        return stays + left

    def weighted(rate):
        return alpha**r * rate ** (r - 1) * math.exp(-alpha * rate) / math.gamma(r) * history(rate)

    low = integrate.quad(lambda u: weighted(u**4) * 4 * u**3, 0.0, 1.0, limit=200, epsabs=0)[
        0
    ]  # the density is steep at 0
    return low + integrate.quad(weighted, 1.0, 5.0, limit=200, epsabs=0)[0]


@pytest.mark.parametrize(("x", "tx", "seen"), [(0, 0, 30), (1, 12, 200), (3, 150, 160), (7, 20, 300), (12, 290, 300)])
def test_the_likelihood_is_the_integral_over_rates_and_lifetimes(x, tx, seen):
    found = pareto_nbd.log_likelihood(SHOP, *one(x, tx, seen))[0][0]
    assert found == pytest.approx(math.log(naive_pareto(x, tx, seen)), abs=1e-5)


@pytest.mark.parametrize("parameters", [(0.3, 5.0, 3.0, 400.0), (4.0, 300.0, 0.05, 2.0), (1.0, 50.0, 1.0, 50.0)])
def test_the_likelihood_holds_for_other_shops_too(parameters):
    found = pareto_nbd.log_likelihood(parameters, *one(2, 40, 120))[0][0]
    assert found == pytest.approx(math.log(naive_pareto(2, 40, 120, parameters)), abs=1e-5)


def naive_bg(x, tx, seen, parameters):
    r, alpha, a, b = parameters
    mix = math.gamma(a + b) / math.gamma(a) / math.gamma(b)

    def history(rate, gone):
        left = gone * (1 - gone) ** (x - 1) * rate**x * math.exp(-rate * tx) if x else 0.0
        return (1 - gone) ** x * rate**x * math.exp(-rate * seen) + left

    def weighted(rate):
        inner = integrate.quad(lambda p: mix * p ** (a - 1) * (1 - p) ** (b - 1) * history(rate, p), 0, 1, epsabs=0)[0]
        return alpha**r * rate ** (r - 1) * math.exp(-alpha * rate) / math.gamma(r) * inner

    low = integrate.quad(lambda u: weighted(u**4) * 4 * u**3, 0.0, 1.0, limit=200, epsabs=0)[0]
    return low + integrate.quad(weighted, 1.0, 5.0, limit=200, epsabs=0)[0]


@pytest.mark.parametrize(("x", "tx", "seen"), [(0, 0, 30), (1, 12, 200), (5, 150, 160)])
def test_bg_nbd_is_the_integral_over_rates_and_chances_of_leaving(x, tx, seen):
    shop = (0.6, 60.0, 1.3, 2.5)
    found = bg_nbd.log_likelihood(shop, *one(x, tx, seen))[0][0]
    assert found == pytest.approx(math.log(naive_bg(x, tx, seen, shop)), abs=1e-5)


def test_gamma_gamma_is_the_integral_over_customers_means():
    p, q, gamma, orders, mean = 6.0, 4.0, 15.0, 3.0, 9.0

    def weighted(nu):
        shape = p * orders
        density = (nu * orders) ** shape * mean ** (shape - 1) * math.exp(-nu * orders * mean) / math.gamma(shape)
        return gamma**q * nu ** (q - 1) * math.exp(-gamma * nu) / math.gamma(q) * density

    expected = math.log(integrate.quad(weighted, 0, 50, limit=400)[0])
    assert gamma_gamma.log_likelihood((p, q, gamma), *one(orders, mean))[0][0] == pytest.approx(expected, abs=1e-6)


HISTORIES = [np.array(column, dtype=float) for column in zip(
    (0, 0, 30), (0, 0, 0), (1, 12, 200), (1, 50, 50), (3, 150, 160), (7, 20, 300), (200, 290, 300), strict=True)]  # fmt: skip
ORDERS, MEANS = np.array([1.0, 2.0, 9.0, 300.0]), np.array([0.5, 20.0, 35.0, 900.0])
parameter = st.floats(-3.0, 5.0)


@pytest.mark.parametrize(
    "likelihood",
    [
        lambda logs: pareto_nbd.log_likelihood(tuple(np.exp(logs)), *HISTORIES),
        lambda logs: bg_nbd.log_likelihood(tuple(np.exp(logs)), *HISTORIES),
        lambda logs: gamma_gamma.log_likelihood(tuple(np.exp(logs[:3]) + np.eye(3)[1]), ORDERS, MEANS),
    ],
    ids=["pareto_nbd", "bg_nbd", "gamma_gamma"],
)
@settings(deadline=None)
@given(logs=st.tuples(parameter, parameter, parameter, parameter))
def test_slopes_are_the_change_of_the_likelihood(likelihood, logs):
    at = np.array(logs)
    _, slopes = likelihood(at)
    for which, slope in enumerate(slopes):
        aside = np.where(np.arange(4) == which, 1e-5, 0.0)
        change = (likelihood(at + aside)[0] - likelihood(at - aside)[0]) / 2e-5
        assert slope == pytest.approx(change, rel=1e-4, abs=1e-4)


# Simulated customers: what is predicted comes.


def simulated(family, parameters, n=6_000, seen=200.0, after=90.0, seed=1):
    """Histories of customers who first bought within `seen` days, and their purchases afterwards."""
    draw = np.random.default_rng(seed)
    r, alpha, s, beta = parameters
    rows, future = [], []
    for _ in range(n):
        rate, tenure = draw.gamma(r) / alpha, draw.uniform(1.0, seen)
        end = draw.exponential(1.0 / (draw.gamma(s) / beta)) if family == "pareto_nbd" else math.inf
        chance = draw.beta(s, beta) if family == "bg_nbd" else 0.0
        t, times = 0.0, []
        while True:
            t += draw.exponential(1.0 / rate)
            if t > min(end, tenure + after):
                break
            times.append(t)
            if draw.random() < chance:
                break
        past = [time for time in times if time <= tenure]
        orders = len(past) + 1
        worth = draw.gamma(4.0, 1.0 / draw.gamma(5.0, 1.0 / 40.0), orders).sum()
        rows.append((tenure - (past[-1] if past else 0.0), orders, worth, tenure))
        future.append(len(times) - len(past))
    return Customers(*np.array(rows).T), np.array(future, dtype=float)


@pytest.mark.parametrize(("family", "shop"), [("pareto_nbd", SHOP), ("bg_nbd", (0.6, 60.0, 1.3, 2.5))])
def test_what_is_fitted_foretells_what_comes(family, shop):
    customers, came = simulated(family, shop)
    model = fit(family, customers.recency, customers.orders, customers.spend, customers.tenure)
    assert model.r == pytest.approx(shop[0], rel=0.2)
    assert model.alpha == pytest.approx(shop[1], rel=0.25)
    assert purchases(model, customers, 90.0).sum() / came.sum() == pytest.approx(1.0, abs=0.06)
    assert none_within(model, customers, 90.0).mean() == pytest.approx((came == 0).mean(), abs=0.015)
    order = np.argsort(purchases(model, customers, 90.0))
    for some in np.array_split(order, 5):  # not in total alone
        assert none_within(model, customers, 90.0)[some].mean() == pytest.approx((came[some] == 0).mean(), abs=0.05)
    assert mean_order(model, customers).mean() == pytest.approx(40.0, rel=0.06)  # 4 x 40 / (5 - 1)


def test_half_of_those_who_are_there_buy_within_the_days_that_are_told():
    shop = (2.0, 60.0, 0.6, 1e7)  # nobody leaves
    customers, _ = simulated("pareto_nbd", shop, n=1_500)
    _, early = simulated("pareto_nbd", shop, n=1_500, after=1e-9)
    model = msgspec.structs.replace(MODEL, r=2.0, alpha=60.0, s=0.6, beta=1e7)
    days = next_purchase_days(model, customers)
    silent = [none_within(model, Customers(*(column[i : i + 1] for column in msgspec.structs.astuple(customers))), d)[0]
              for i, d in enumerate(days[:200].tolist())]  # fmt: skip
    assert np.allclose(silent, 0.5, atol=1e-3)
    assert early.sum() == 0


def test_silence_speaks_against_being_there_and_the_more_the_faster_somebody_bought():
    known = Customers(*map(np.array, ([1.0, 60.0, 60.0], [10.0, 10.0, 2.0], [100.0] * 3, [100.0] * 3)))
    here = alive(MODEL, known)
    assert here[0] > 0.9 > here[2] > here[1]


# Laws.

rows = st.lists(
    st.tuples(st.floats(0, 400), st.integers(0, 300), st.floats(-50, 1e5), st.floats(0, 400)), min_size=1, max_size=30
)


def serving(target, family="pareto_nbd"):
    model = msgspec.structs.replace(MODEL, family=family, **({"s": 0.8, "beta": 2.5} if family == "bg_nbd" else {}))
    link = "logit" if target == "churn" else "log1p"
    return with_intercept(
        LifetimeModel(task=target, version="1", target=target, days=90.0, prior=0.4, lifetimes=model, link=link)
    )


def features(some):
    natural = np.array([(min(recency, tenure), orders, spend, tenure) for recency, orders, spend, tenure in some])
    return (np.sign(natural) * np.log1p(np.abs(natural))).astype(np.float16).astype(np.float64)


@pytest.mark.parametrize("family", ["pareto_nbd", "bg_nbd"])
@pytest.mark.parametrize("target", ["churn", "value", "purchases"])
@given(some=rows)
@settings(max_examples=25, deadline=None)
def test_a_row_is_scored_alike_in_any_company(target, family, some):
    model, x = serving(target, family), features(some)
    z, effects = score_lifetimes(model, x)
    assert np.isfinite(z).all()
    assert np.isfinite(effects).all()
    for i in range(len(x)):
        alone, reasons = score_lifetimes(model, x[i : i + 1])
        assert alone[0] == z[i]
        assert (reasons[0] == effects[i]).all()
    values = [predict(model, value) for value in z.tolist()]
    assert all(0.0 <= value <= (1.0 if target == "churn" else model.cap) for value in values)


def test_a_model_comes_back_from_its_bytes():
    model = serving("value")
    assert decode_model(encode_model(model)) == model


def test_what_moves_a_score_is_told_of_whom_it_moves():
    long_gone, steady = features([(300.0, 5, 100.0, 380.0), (2.0, 5, 100.0, 380.0)])
    _, effects = score_lifetimes(serving("value"), np.array([long_gone, steady]))
    recency = list(serving("value").features).index("recency_days")
    assert effects[0].argmin() == recency
    assert effects[1][recency] > effects[0][recency]


def test_effects_add_up_to_the_score_but_for_what_the_link_bends():
    some = [(3.0, 4, 400.0, 90.0), (60.0, 2, 50.0, 120.0), (1.0, 30, 9_000.0, 300.0)]
    model = serving("value")
    z, effects = score_lifetimes(model, features(some))
    assert np.allclose(model.intercept + effects.sum(axis=1), z, atol=0.15)


@pytest.mark.parametrize("target", ["churn", "value", "purchases"])
def test_an_entrant_scores_as_what_it_is_compiled_to(target):
    entrant = LifetimeEntrant(target, 90.0, 0.5, MODEL)
    names = ("recency_days", "orders", "spend", "tenure_days")
    examples = [
        dict(zip(names, row, strict=True)) for row in features([(3, 4, 40, 90), (60, 2, 50, 120), (0, 1, 9, 0)])
    ]
    for x in examples:
        entrant.learn_one(x, 1.0)
    compiled = entrant.compiled(target, "3", names)
    for x in examples:
        z, _ = score_lifetimes(compiled, np.array([[x[name] for name in names]]))
        assert entrant.score_one(x) == pytest.approx(predict(compiled, float(z[0])), rel=1e-9)


def test_prepared_or_not_an_entrant_answers_the_same_bits():
    names = ("recency_days", "orders", "spend", "tenure_days")
    examples = [
        dict(zip(names, row, strict=True)) for row in features([(d, 1 + d % 5, 30, 2 * d) for d in range(1, 60)])
    ]
    plain, prepared = LifetimeEntrant("value", 90.0, 0.0, MODEL), LifetimeEntrant("value", 90.0, 0.0, MODEL)
    prepared.prepare(examples)
    for number, x in enumerate(examples):
        assert plain.score_one(x) == prepared.score_one(x)
        plain.learn_one(x, number % 7)
        prepared.learn_one(x, number % 7)


def test_a_restored_entrant_has_the_same_future():
    entrant = LifetimeEntrant("value", 90.0, 0.0, MODEL)
    names = ("recency_days", "orders", "spend", "tenure_days")
    examples = [
        dict(zip(names, row, strict=True)) for row in features([(d, 1 + d % 5, 30, 2 * d) for d in range(1, 40)])
    ]
    for x in examples[:20]:
        entrant.learn_one(x, 12.0)
    again = LifetimeEntrant.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(entrant.state())))
    for x in examples[20:]:
        assert again.score_one(x) == entrant.score_one(x)
        entrant.learn_one(x, 3.0)
        again.learn_one(x, 3.0)
    assert again.compiled("value", "1", names) == entrant.compiled("value", "1", names)


def drawn(n, seed):
    customers, _ = simulated("pareto_nbd", SHOP, n=n, seed=seed)
    return list(zip(*(column.tolist() for column in msgspec.structs.astuple(customers)), strict=True))


def test_restored_draws_have_the_same_future_and_stay_bounded(monkeypatch):
    monkeypatch.setattr(module, "CAPACITY", 2_000)
    draws = Draws()
    for row in drawn(600, 3):
        draws.learn_one(*row)
    again = Draws.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(draws.state())))
    for row in drawn(2_500, 4):
        draws.learn_one(*row)
        again.learn_one(*row)
    assert draws.state() == again.state()
    assert draws.fits > 3
    assert len(draws.rows) == 4 * 2_000
    assert draws.fitted["pareto_nbd"].r == pytest.approx(SHOP[0], rel=0.3)


def test_who_never_ordered_says_nothing_and_a_shop_where_all_are_alike_still_fits():
    draws = Draws()
    assert not draws.learn_one(0.0, 0.0, 0.0, 0.0)
    assert draws.drawn == 0
    for _ in range(400):
        draws.learn_one(5.0, 1.0, 0.0, 5.0)
    assert draws.fits > 0
    one_more = Customers(*one(5, 1, 0, 5))
    for model in draws.fitted.values():
        assert 0.0 <= purchases(model, one_more, 90.0)[0] < 5.0
