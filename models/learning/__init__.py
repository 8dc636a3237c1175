"""All that is learned, as one function of the examples in their order."""

from models.learning.leagues import LIFETIMES
from models.learning.learning import Learning

__all__ = ["LIFETIMES", "Learning"]
