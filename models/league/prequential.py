"""Quality of scores against what came, updated one example at a time in bounded memory.

Both kinds are plain data (`msgspec.to_builtins`, `msgspec.convert`). An example whose score or
target is not a finite number is not judged.
"""

import math
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct, field

BINS: Final = 2_048
"""Bins of a score's logit within +-`REACH`; scores in one bin count as equal."""
MONTH_BINS: Final = 256
REACH: Final = 12.0
MONTHS: Final = 36
"""Calendar months (UTC) kept; the oldest goes, and what is older is not counted in `auc_within`."""
MONTH_EXAMPLES: Final = 50
CALIBRATION_BINS: Final = 10
"""Bins of equal width for the calibration error."""
SURE: Final = 1e-9
"""The log loss never takes a probability as nearer to 0 or 1 than this."""


def _zeros(count: int) -> list[int]:
    return [0] * count


def logit_bin(score: float, bins: int) -> int:
    if score <= 0.0 or score >= 1.0:
        return 0 if score <= 0.0 else bins - 1
    logit = math.log(score) - math.log1p(-score)
    return min(max(int((logit + REACH) / (2.0 * REACH) * bins), 0), bins - 1)


def auc_of(negatives: list[int], positives: list[int]) -> float | None:
    """Chance that a positive stands in a higher bin than a negative; the same bin counts half."""
    below, wins = 0, 0.0
    for negative, positive in zip(negatives, positives, strict=True):
        wins += positive * (below + 0.5 * negative)
        below += negative
    pairs = below * sum(positives)
    return wins / pairs if pairs else None


def _average_precision(negatives: list[int], positives: list[int]) -> float | None:
    total, found, seen, area = sum(positives), 0, 0, 0.0
    for negative, positive in zip(reversed(negatives), reversed(positives), strict=True):
        found += positive
        seen += positive + negative
        if positive:
            area += positive * found / seen
    return area / total if total else None


def share_in_best_tenth(counts: list[int], totals: list[float]) -> float | None:
    """Share of the sum of `totals` that lies in the best tenth of examples.

    Parameters
    ----------
    counts, totals
        Examples and their targets in each bin, worst bin first. A bin on the border counts for the
        part of it that is needed.
    """
    left, whole, caught = sum(counts) / 10.0, math.fsum(totals), 0.0
    for count, total in zip(reversed(counts), reversed(totals), strict=True):
        if left <= 0.0:
            break
        if count:
            caught += total * min(1.0, left / count)
            left -= count
    return caught / whole if whole > 0.0 else None


class BinaryQuality(Struct):
    """How good probabilities are against labels of 0 or 1."""

    negatives: list[int] = field(default_factory=lambda: _zeros(BINS))
    positives: list[int] = field(default_factory=lambda: _zeros(BINS))
    months: dict[str, list[list[int]]] = {}
    count: int = 0
    log_loss: float = 0.0
    squares: float = 0.0
    bin_counts: list[int] = field(default_factory=lambda: _zeros(CALIBRATION_BINS))
    bin_gaps: list[float] = field(default_factory=lambda: [0.0] * CALIBRATION_BINS)

    def update(self, y: float, score: float, at: float) -> None:
        """Judge one probability. `at` is event time in epoch seconds."""
        if not (math.isfinite(score) and math.isfinite(y)):
            return
        score, label = min(max(score, 0.0), 1.0), bool(y)
        (self.positives if label else self.negatives)[logit_bin(score, BINS)] += 1
        self._count_month(label, score, at)
        self.count += 1
        self.log_loss -= math.log(max(score if label else 1.0 - score, SURE))
        self.squares += (score - label) ** 2
        place = min(int(score * CALIBRATION_BINS), CALIBRATION_BINS - 1)
        self.bin_counts[place] += 1
        self.bin_gaps[place] += score - label

    def _count_month(self, label: bool, score: float, at: float) -> None:
        when = datetime.fromtimestamp(at, UTC)
        month = f"{when.year:04}-{when.month:02}"
        if month not in self.months:
            if len(self.months) >= MONTHS:
                oldest = min(self.months)
                if month < oldest:
                    return
                del self.months[oldest]
            self.months[month] = [_zeros(MONTH_BINS), _zeros(MONTH_BINS)]
        self.months[month][label][logit_bin(score, MONTH_BINS)] += 1

    def _auc_within(self) -> float | None:
        """Mean AUC inside months that have both labels and enough examples, each month the same weight."""
        aucs = [auc_of(*labels) for labels in self.months.values() if sum(map(sum, labels)) >= MONTH_EXAMPLES]
        known = [auc for auc in aucs if auc is not None]
        return math.fsum(known) / len(known) if known else None

    def by_month(self) -> dict[str, float]:
        """Return the AUC inside each calendar month (UTC) of decisions that has both labels and 50 examples."""
        counted = {month: labels for month, labels in self.months.items() if sum(map(sum, labels)) >= MONTH_EXAMPLES}
        aucs = {month: auc_of(*counted[month]) for month in sorted(counted)}
        return {month: auc for month, auc in aucs.items() if auc is not None}

    def reliability(self) -> list[dict[str, float]]:
        """Return examples, mean score less rate of positives, and score of each bin: a calibration diagram's points."""
        filled = [place for place, count in enumerate(self.bin_counts) if count]
        return [
            {
                "from": place / CALIBRATION_BINS,
                "examples": self.bin_counts[place],
                "score_less_rate": self.bin_gaps[place] / self.bin_counts[place],
            }
            for place in filled
        ]

    def mean_log_loss(self) -> float | None:
        """Return `log_loss` of the report, without the work of the others."""
        return self.log_loss / self.count if self.count else None

    def report(self) -> dict[str, float | None]:
        """Return the metrics by name; None where there is nothing to tell yet.

        `ece` has ten bins of equal width (Guo et al. 2017, ICML); `lift_10` is the response rate in
        the best tenth over the mean rate; `pr_auc` is the average precision.
        """
        counts = [n + p for n, p in zip(self.negatives, self.positives, strict=True)]
        share = share_in_best_tenth(counts, [float(p) for p in self.positives])
        return {
            "auc": auc_of(self.negatives, self.positives),
            "pr_auc": _average_precision(self.negatives, self.positives),
            "log_loss": self.mean_log_loss(),
            "brier": self.squares / self.count if self.count else None,
            "ece": math.fsum(map(abs, self.bin_gaps)) / self.count if self.count else None,
            "lift_10": None if share is None else share * 10.0,
            "auc_within": self._auc_within(),
        }


RANK_BINS: Final = 64
"""Bins of log1p on each side of the rank table: one for 0, then 4 a unit; the last begins at 5 million."""
BEST_BINS: Final = 1_024
"""Bins of the prediction for the best tenth: one for 0, then 64 a unit of log1p; the last begins at 8 million."""


def _amount_bin(value: float, bins: int) -> int:
    if value <= 0.0:
        return 0
    return 1 + min(int(math.log1p(value) / 16.0 * bins), bins - 2)


def _middle_ranks(counts: list[int]) -> list[float]:
    ranks, below = [], 0
    for count in counts:
        ranks.append(below + (count + 1) / 2.0)
        below += count
    return ranks


class AmountQuality(Struct):
    """How good predicted amounts are against actual ones.

    `spearman` is that of the binned amounts, ties by middle ranks: exact for a table of 64 x 64
    bins, and an approximation of the amounts' own, the better the wider they spread.
    """

    table: list[int] = field(default_factory=lambda: _zeros(RANK_BINS * RANK_BINS))
    best_counts: list[int] = field(default_factory=lambda: _zeros(BEST_BINS))
    best_totals: list[float] = field(default_factory=lambda: [0.0] * BEST_BINS)
    count: int = 0
    absolute: float = 0.0
    squares: float = 0.0
    predicted: float = 0.0
    actual: float = 0.0

    def update(self, y: float, score: float, at: float) -> None:  # noqa: ARG002 - both kinds are fed alike
        """Judge one amount."""
        if not (math.isfinite(score) and math.isfinite(y)):
            return
        self.table[_amount_bin(score, RANK_BINS) * RANK_BINS + _amount_bin(y, RANK_BINS)] += 1
        best = _amount_bin(score, BEST_BINS)
        self.best_counts[best] += 1
        self.best_totals[best] += y
        self.count += 1
        self.absolute += abs(score - y)
        self.squares += (score - y) ** 2
        self.predicted += score
        self.actual += y

    def _spearman(self) -> float | None:
        rows = [self.table[i * RANK_BINS : (i + 1) * RANK_BINS] for i in range(RANK_BINS)]
        row_counts, column_counts = [sum(row) for row in rows], [sum(column) for column in zip(*rows, strict=True)]
        middle = (self.count + 1) / 2.0
        down = [rank - middle for rank in _middle_ranks(row_counts)]
        across = [rank - middle for rank in _middle_ranks(column_counts)]
        spread = math.fsum(n * r * r for n, r in zip(row_counts, down, strict=True))
        spread *= math.fsum(n * r * r for n, r in zip(column_counts, across, strict=True))
        if spread <= 0.0:
            return None
        both = math.fsum(n * a * b for row, a in zip(rows, down, strict=True) for n, b in zip(row, across, strict=True))
        return both / math.sqrt(spread)

    def report(self) -> dict[str, float | None]:
        """Return the metrics by name; None where there is nothing to tell yet.

        `total_ratio` is predicted over actual; `top_10_share` the share of the actual total that
        the tenth with the highest predictions brought.
        """
        return {
            "mae": self.absolute / self.count if self.count else None,
            "rmse": math.sqrt(self.squares / self.count) if self.count else None,
            "spearman": self._spearman(),
            "total_ratio": self.predicted / self.actual if self.actual > 0.0 else None,
            "top_10_share": share_in_best_tenth(self.best_counts, self.best_totals),
        }
