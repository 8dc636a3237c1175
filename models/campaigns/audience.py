"""Who a campaign is for: a CEL expression over a customer's scores, segment and features.

Names and types are checked when it is compiled. Macros are off: comprehensions are the one part of
CEL whose cost is not bounded by the expression's length, and one customer's scalars need none.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final

from cel_expr_python import cel

from models.campaigns.moment import UNKNOWN, Moment

MAX_LENGTH: Final = 4_000
"""The longest expression, in characters."""

REMEMBERED: Final = 1_024
"""Answers remembered of an expression that reads numbers of segments and names alone; then it is asked anew."""

_MACRO: Final = re.compile("undeclared reference to '(has|all|exists|exists_one|map|filter)'")

Getter = Callable[[Moment], object]


def _score(task: str) -> Getter:
    return lambda moment: float(moment.scores.get(task, UNKNOWN))


def _feature(name: str) -> Getter:
    return lambda moment: float(moment.features[name])


def _known(number: int | None) -> int:
    return UNKNOWN if number is None else int(number)


# What an expression may name, and how it is read. `features.<name>` comes on top.
DOUBLES: Final[dict[str, Getter]] = {
    "churn": _score("churn"),
    "previous_churn": lambda moment: float(UNKNOWN if moment.previous_churn is None else moment.previous_churn),
    "response": _score("response"),
    "value": _score("value"),
}
INTS: Final[dict[str, Getter]] = {
    "segment": lambda moment: _known(moment.segment),
    "previous_segment": lambda moment: _known(moment.previous_segment),
    "best_segment": lambda moment: _known(moment.best_segment),
}
STRINGS: Final[dict[str, Getter]] = {
    "segment_name": lambda moment: moment.segment_name,
    "event": lambda moment: moment.kind,
}


_FEW: Final = frozenset({*INTS, *STRINGS})
"""Variables that take few values."""


class AudienceError(ValueError):
    """An expression that is refused.

    Attributes
    ----------
    line, column
        Where in the expression, from 1.
    """

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


@lru_cache(maxsize=8)  # one environment for all campaigns of a catalogue
def _environment(feature_names: tuple[str, ...]) -> Any:
    types = {
        **dict.fromkeys(DOUBLES, cel.Type.DOUBLE),
        **dict.fromkeys(INTS, cel.Type.INT),
        **dict.fromkeys(STRINGS, cel.Type.STRING),
        **{f"features.{name}": cel.Type.DOUBLE for name in feature_names},
    }
    return cel.NewEnv(config=cel.NewEnvConfigFromYaml("stdlib:\n  disable_macros: true\n"), variables=types)


def _refusal(error: Exception) -> AudienceError:
    found = list(re.finditer(r"ERROR: <input>:(\d+):(\d+): (.*)", str(error)))
    if not found:
        return AudienceError(str(error).removesuffix(" [CANCELLED]"))
    # A macro that is off also leaves its variable unknown; the macro is what the user has to hear of.
    first = next((one for one in found if _MACRO.search(one[3])), found[0])
    message = first[3].removesuffix(" [INVALID_ARGUMENT]").replace(" (in container '')", "")
    if re.search(r"\((double, int|int, double)\)", message):
        message += " (a double is compared with 2.0, an int with 2)"
    if _MACRO.search(message):
        message += " (macros are off)"
    return AudienceError(message, int(first[1]), int(first[2]))


class Audience:
    """A compiled expression.

    Parameters
    ----------
    expression
        CEL, of type bool. Variables: the doubles `churn`, `previous_churn`, `response`, `value`
        (-1.0 while unknown) and `features.<name>`; the ints `segment`, `previous_segment`,
        `best_segment` (-1 while unknown); the strings `segment_name` and `event`.
    feature_names
        The features that may be named.

    Attributes
    ----------
    names
        The variables that the expression reads.
    failures
        How many evaluations ended in an error since the start; for a metric, no decision reads it.
    last_failure
        The last such error, in words.

    Raises
    ------
    AudienceError
        A syntax error, an unknown name, a wrong type, or no bool.
    """

    def __init__(self, expression: str, feature_names: Sequence[str]) -> None:
        if len(expression) > MAX_LENGTH:
            raise AudienceError(f"{len(expression)} characters, of {MAX_LENGTH} allowed")
        try:
            self._compiled = _environment(tuple(feature_names)).compile(expression)
        except RuntimeError as error:  # the only error it has
            raise _refusal(error) from None
        if self._compiled.return_type() != cel.Type.BOOL:
            raise AudienceError(f"must be true or false, is {self._compiled.return_type().name().lower()}")
        self._getters = _read_by(self._compiled.serialize(), feature_names)
        self.expression = expression
        self.names = tuple(self._getters)
        self.failures = 0
        self.last_failure = ""
        self._answers: dict[tuple[object, ...], bool] | None = {} if self._getters.keys() <= _FEW else None

    def values(self, moment: Moment) -> dict[str, object]:
        """The variables that the expression reads, as it sees them. Raises `KeyError` for a missing feature."""
        return {name: read(moment) for name, read in self._getters.items()}

    def holds(self, moment: Moment) -> bool:
        """Whether the customer belongs. An error means no, and is counted."""
        try:
            result = self._answer(self.values(moment))
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            result = repr(error)
        if isinstance(result, bool):
            return result
        self.failures += 1
        self.last_failure = str(result)
        return False

    def _answer(self, values: dict[str, object]) -> object:
        """Evaluate; of what takes few values the answers are remembered."""
        if self._answers is None:
            return self._compiled.eval(data=values).value()
        key = tuple(values.values())
        known = self._answers.get(key)
        if known is not None:
            return known
        result = self._compiled.eval(data=values).value()
        if isinstance(result, bool):
            if len(self._answers) >= REMEMBERED:
                self._answers.clear()
            self._answers[key] = result
        return result


def _read_by(compiled: bytes, feature_names: Sequence[str]) -> dict[str, Getter]:
    """The variables that a checked expression names.

    The checker has resolved every name, whatever white space it was written with; in the serialised
    form each stands with its length before it. A string literal alike only binds a variable too many.
    """
    every = {**DOUBLES, **INTS, **STRINGS, **{f"features.{name}": _feature(name) for name in feature_names}}
    return {name: read for name, read in every.items() if bytes([len(name)]) + name.encode() in compiled}
