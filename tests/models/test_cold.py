"""What is served before anything is learned."""

import subprocess
import sys

from models.cold import cold
from models.learning import Learning
from models.policy import Policy


def test_it_is_what_a_learner_who_has_learned_nothing_would_publish():
    assert cold() == Learning(Policy()).serving()


def test_who_only_scores_loads_neither_river_nor_what_fits_models():
    slow = "river", "sklearn", "scipy.optimize", "scipy.stats"
    program = f"import sys, streams.cli, streams.scoring, streams.worker; print(set({slow}) & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "set()\n"
