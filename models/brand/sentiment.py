"""Whether words are negative, neutral or positive: learned online from ratings, applied to text without one.

Words, pairs of neighbours and pieces of words are hashed into a bounded table (Weinberger et al. 2009, ICML);
two softmax regressions, one on words and pairs and one on words and pieces, learn with AdaGrad (Duchi et al.
2011, JMLR 12, 2121-2159), and their probabilities are averaged.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from itertools import groupby
from typing import Any, Final, Self
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

CLASSES: Final = ("negative", "neutral", "positive")
NEGATIVE: Final = 0
BUCKETS: Final = 1 << 17
MAX_TEXT: Final = 2_000
"""Characters of a text that are read."""
MAX_WORD: Final = 400
"""Letters of a word that pieces are made of; some scripts write a sentence as one."""
WORDS_RATE, PIECES_RATE = 0.1, 0.05
SPREAD: Final = 6.0
"""A text of n parts weighs `SPREAD / sqrt(n)` on each."""
BIAS_RATE: Final = 0.1
SOFT: Final = 0.01
"""First value of AdaGrad's sums of squares."""
COUNT_SMOOTH: Final = 0.3
_SIGNS: Final = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Kana and ideographs: written without spaces, and each a part of its own."""
_MARKS: Final = (
    "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u0900-\u0dff\u0e31-\u0e4e\u0eb1-\u0ece\u102b-\u103e"
)
"""Accents and vowel signs that are no letters of their own; without them words of such scripts fall to pieces."""
_LETTER: Final = f"(?:[{_MARKS}]|(?![{_SIGNS}])\\w)"
_TOKEN: Final = re.compile(rf"[{_SIGNS}]|[#@]?{_LETTER}+(?:'{_LETTER}+)?|[!?]+|\.\.+|[^\w\s]")
_IS_SIGN: Final = re.compile(f"[{_SIGNS}]")
_LINK: Final = re.compile(r"https?://\S+")
_DIGITS: Final = re.compile(r"\d+")
_LONG: Final = re.compile(r"(.)\1{2,}")
Ids = NDArray[np.int64]


def words(text: str) -> list[str]:
    """Lower-case words, marks and signs; numbers, links and drawn-out letters are made alike.

    >>> words("Sooooo late, 45 min!! http://t.co/x")
    ['soo', 'late', ',', '0', 'min', '!!', '<', 'link', '>']
    """
    text = text[:MAX_TEXT].lower().replace("\u2019", "'")
    text = _LONG.sub(r"\1\1", _DIGITS.sub("0", _LINK.sub(" <link> ", text)))
    return _TOKEN.findall(text)


def label(rating: float) -> int:
    """Place of a rating among `CLASSES`: up to two stars, three, from four.

    >>> [CLASSES[label(stars)] for stars in (1, 2, 3, 4, 5)]
    ['negative', 'negative', 'neutral', 'positive', 'positive']
    """
    return 0 if rating < 2.5 else 1 if rating < 3.5 else 2


class Saying:
    """One text about one brand, in parts."""

    def __init__(self, text: str, brand: str) -> None:
        self.words = words(text)
        self.about = [f"=brand {brand}", f"=length {min(len(self.words) // 4, 10)}"]

    @cached_property
    def single(self) -> Ids:
        """Buckets of words."""
        return _buckets([*self.words, *self.about])

    @cached_property
    def pairs(self) -> Ids:
        """Buckets of words and of pairs of neighbours."""
        pairs = zip(["^", *self.words], [*self.words, "$"], strict=True)
        return _buckets([*self.words, *(f"{one} {two}" for one, two in pairs), *self.about])

    @cached_property
    def pieces(self) -> Ids:
        """Buckets of words and of their pieces of three to five letters, of signs two and three."""
        return _buckets([*self.words, *_pieces(self.words), *self.about])


def _runs(some: Iterable[str]) -> Iterable[tuple[bool, str]]:
    """Words, neighbouring signs put together, and whether they are signs."""
    for is_sign, run in groupby(some, key=lambda word: _IS_SIGN.match(word) is not None):
        parts = list(run)
        yield from [(True, "".join(parts))] if is_sign else [(False, word) for word in parts]


def _pieces(some: Iterable[str]) -> Iterable[str]:
    for is_sign, word in _runs(some):
        edged = f"<{word[:MAX_WORD]}>"
        for size in (2, 3) if is_sign else (3, 4, 5):
            for start in range(len(edged) - size + 1):
                yield "~" + edged[start : start + size]


def _buckets(parts: Iterable[str]) -> Ids:
    return np.array(sorted({crc32(part.encode(errors="replace")) % BUCKETS for part in parts}), dtype=np.int64)


def _softmax(z: NDArray[Any]) -> NDArray[np.float64]:
    power = np.exp(z - z.max())
    return np.asarray(power / power.sum(), dtype=np.float64)


def _table(body: bytes) -> NDArray[np.float32]:
    return np.frombuffer(body, dtype=np.float32).reshape(-1, len(CLASSES))


class _Softmax:
    """Softmax regression on buckets; tables are made at the first example."""

    def __init__(self, parts: Callable[[Saying], Ids], rate: float) -> None:
        self.parts, self.rate = parts, rate
        self.weights: NDArray[np.float32] | None = None
        self.squares: NDArray[np.float32] | None = None
        self.bias = np.zeros(len(CLASSES))
        self.bias_squares = np.ones(len(CLASSES))

    def score(self, x: Saying) -> NDArray[np.float64]:
        ids = self.parts(x)
        z = self.bias.copy()
        if self.weights is not None:
            z += self.weights[ids].sum(axis=0, dtype=np.float64) * (SPREAD / np.sqrt(len(ids)))
        return _softmax(z)

    def learn(self, x: Saying, y: int) -> None:
        if self.weights is None or self.squares is None:
            self.weights = np.zeros((BUCKETS, len(CLASSES)), dtype=np.float32)
            self.squares = np.full((BUCKETS, len(CLASSES)), SOFT, dtype=np.float32)
        ids = self.parts(x)
        slope = self.score(x)
        slope[y] -= 1.0
        step = (slope * (SPREAD / np.sqrt(len(ids)))).astype(np.float32)
        self.squares[ids] += step * step
        self.weights[ids] -= np.float32(self.rate) * step / np.sqrt(self.squares[ids])
        self.bias_squares += slope * slope
        self.bias -= BIAS_RATE * slope / np.sqrt(self.bias_squares)

    def effect(self, word: str, parts: int) -> float:
        """What a word adds to the log odds of negative against the mean of the others, among so many parts."""
        if self.weights is None:
            return 0.0
        row = self.weights[_buckets([word])[0]]
        return float((row[0] - (row[1] + row[2]) / 2) * SPREAD / np.sqrt(parts))

    def state(self) -> dict[str, Any]:
        """Only buckets that were ever moved."""
        kept: dict[str, Any] = {"bias": self.bias.tolist(), "bias_squares": self.bias_squares.tolist(), "rows": None}
        if self.weights is not None and self.squares is not None:
            rows = np.flatnonzero((self.squares != np.float32(SOFT)).any(axis=1)).astype(np.int32)
            kept |= {"rows": rows.tobytes(), "weights": self.weights[rows].tobytes()}
            kept["squares"] = self.squares[rows].tobytes()
        return kept

    def become(self, state: Mapping[str, Any]) -> None:
        self.bias, self.bias_squares = np.array(state["bias"]), np.array(state["bias_squares"])
        if state["rows"] is not None:
            rows = np.frombuffer(state["rows"], dtype=np.int32)
            self.weights = np.zeros((BUCKETS, len(CLASSES)), dtype=np.float32)
            self.squares = np.full((BUCKETS, len(CLASSES)), SOFT, dtype=np.float32)
            self.weights[rows] = _table(state["weights"])
            self.squares[rows] = _table(state["squares"])


class Blend:
    """The mean of both regressions' probabilities."""

    kind = "words_and_pieces"

    def __init__(self) -> None:
        self.by_words = _Softmax(lambda x: x.pairs, WORDS_RATE)
        self.by_pieces = _Softmax(lambda x: x.pieces, PIECES_RATE)

    def score_one(self, x: Saying) -> list[float]:
        """Probability of each of `CLASSES`."""
        mean: list[float] = ((self.by_words.score(x) + self.by_pieces.score(x)) / 2.0).tolist()
        return mean

    def learn_one(self, x: Saying, y: int) -> None:
        """Learn one rated text."""
        self.by_words.learn(x, y)
        self.by_pieces.learn(x, y)

    def moved(self, x: Saying) -> dict[str, float]:
        """What words of three letters or more, or in other scripts, add to the log odds of negative, by words alone."""
        parts = len(x.pairs)
        return {
            word: self.by_words.effect(word, parts)
            for word in dict.fromkeys(x.words)
            if (word.isalpha() and len(word) > 2) or (word[0].isalpha() and not word.isascii())
        }

    def state(self) -> dict[str, Any]:
        """Plain data."""
        return {"kind": self.kind, "words": self.by_words.state(), "pieces": self.by_pieces.state()}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        """Return the learner whose state this was."""
        made = cls()
        made.by_words.become(state["words"])
        made.by_pieces.become(state["pieces"])
        return made


class NaiveBayes:
    """Naive Bayes on words alone, tempered by the text's length; counts and nothing else.

    Rennie et al. (2003), ICML, on why long texts make it too sure.
    """

    kind = "naive_bayes"

    def __init__(self) -> None:
        self.counts: NDArray[np.float32] | None = None
        self.seen = np.ones(len(CLASSES))

    def score_one(self, x: Saying) -> list[float]:
        """Probability of each of `CLASSES`."""
        z = np.log(self.seen / self.seen.sum())
        if self.counts is not None:
            rates = (self.counts[x.single] + COUNT_SMOOTH) / (self.seen + 2 * COUNT_SMOOTH)
            z = z + np.log(rates).sum(axis=0) * (2.0 / np.sqrt(len(x.single)))
        found: list[float] = _softmax(z).tolist()
        return found

    def learn_one(self, x: Saying, y: int) -> None:
        """Count one rated text."""
        if self.counts is None:
            self.counts = np.zeros((BUCKETS, len(CLASSES)), dtype=np.float32)
        self.counts[x.single, y] += 1
        self.seen[y] += 1

    def state(self) -> dict[str, Any]:
        """Plain data; only buckets that were ever counted."""
        kept: dict[str, Any] = {"kind": self.kind, "seen": self.seen.tolist(), "rows": None}
        if self.counts is not None:
            rows = np.flatnonzero(self.counts.any(axis=1)).astype(np.int32)
            kept |= {"rows": rows.tobytes(), "counts": self.counts[rows].tobytes()}
        return kept

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        """Return the learner whose state this was."""
        made = cls()
        made.seen = np.array(state["seen"])
        if state["rows"] is not None:
            made.counts = np.zeros((BUCKETS, len(CLASSES)), dtype=np.float32)
            made.counts[np.frombuffer(state["rows"], dtype=np.int32)] = _table(state["counts"])
        return made


class BrandShare:
    """The trivial answer: each class as often as so far for the brand. Bounded: further brands are one."""

    kind = "brand_share"
    max_brands = 256

    def __init__(self) -> None:
        self.counts: dict[str, list[float]] = {}

    def _of(self, x: Saying) -> str:
        name = x.about[0]
        return name if name in self.counts or len(self.counts) < self.max_brands else "="

    def score_one(self, x: Saying) -> list[float]:
        """Probability of each of `CLASSES`."""
        counts = self.counts.get(self._of(x), [1.0] * len(CLASSES))
        return [count / sum(counts) for count in counts]

    def learn_one(self, x: Saying, y: int) -> None:
        """Count one rated text."""
        self.counts.setdefault(self._of(x), [1.0] * len(CLASSES))[y] += 1.0

    def state(self) -> dict[str, Any]:
        """Plain data."""
        return {"kind": self.kind, "counts": self.counts}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        """Return the learner whose state this was."""
        made = cls()
        made.counts = state["counts"]
        return made
