"""What is served before anything is learned."""

import subprocess
import sys

import pytest

from models.cold import cold, persisting
from models.learning import Learning
from models.policy import Policy


@pytest.mark.parametrize("days", [10.0, 30.0, 90.0])
def test_it_is_what_a_learner_who_has_learned_nothing_would_publish(days):
    assert cold(days) == Learning(Policy(window_days=days)).serving()


@pytest.mark.parametrize(
    ("days", "last"), [(1.0, 7), (7.0, 7), (14.0, 7), (15.0, 30), (50.0, 30), (60.0, 90), (365.0, 90)]
)
def test_more_of_the_same_is_of_a_window_about_as_long(days, last):
    assert persisting("value", days) == f"spend_{last}d"
    assert persisting("purchases", days) == f"orders_{last}d"


def test_a_shop_that_looks_thirty_days_ahead_is_served_and_judged_by_the_last_thirty():
    learning = Learning(Policy(window_days=30.0))
    for task, feature in (("value", "spend_30d"), ("purchases", "orders_30d")):
        served = getattr(learning.serving(), task)
        assert dict(zip(served.features, served.weights, strict=True))[feature] == 1.0
        assert learning.leagues[task].entrants()["persistence"].feature == feature


def test_who_only_scores_loads_neither_river_nor_what_fits_models():
    slow = "river", "sklearn", "scipy.optimize", "scipy.stats"
    program = f"import sys, streams.cli, streams.scoring, streams.worker; print(set({slow}) & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "set()\n"
