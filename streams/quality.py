"""Quality on public data sets: one configuration for all, every figure prequential, baselines beside it.

Each set is events, run through the backtest with default settings. Only what is a fact of the set is given:
its currency, and that its events come in order, so that nothing waits for late ones (`lateness` 0).
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from models.policy import Policy
from models.shard import Shop
from schemas.events import Event
from streams.backtest import backtest, backtest_at
from streams.quality_market import market_figures
from streams.replay import bank_marketing, cdnow, online_retail, panel, starbucks, tweets
from streams.reporting.report import with_ahead

LATE: Final = 500
"""Calls after which an answer is known, in `bank_marketing_late`."""
Report = dict[str, Any]


def _run(events: Iterable[Event], currency: str, judge_from: float = float("-inf")) -> Report:
    return backtest(events, Shop(Policy(lateness=0.0, currency=currency)), judge_from).report()


def _bank(data: Path | None, late: int) -> Report:
    folder = data if data is not None and (data / bank_marketing.FILE).is_file() else None
    return _run(bank_marketing.events(folder, late), "EUR")


def _starbucks(data: Path | None) -> Report | None:
    """Return None where the set is not there: it is not ours to give. The first wave is learned and not judged."""
    if data is None or not (data / starbucks.FOLDER).is_dir():
        return None
    return _run(starbucks.events(data), starbucks.CURRENCY, starbucks.SECOND_WAVE.timestamp())


def _online_retail(_: Path | None) -> Report:
    """Return the report, with figures of the market beside exact ones as `market_figures`."""
    test = backtest(online_retail.events(), Shop(Policy(lateness=0.0, currency=online_retail.CURRENCY)))
    return test.report() | {"market_figures": market_figures(test.learning, online_retail.events())}


def _cdnow(data: Path | None) -> Report | None:
    """Learn to the end of September 1997, and be judged by the 39 weeks that follow, as in the papers."""
    if data is None or not (data / "cdnow").is_dir():
        return None
    shop = Shop(Policy(lateness=0.0, currency=cdnow.CURRENCY))
    at = datetime(1997, 10, 1, tzinfo=UTC).timestamp()
    test, ahead = backtest_at(cdnow.events(data / "cdnow"), shop, at, 39 * 7.0)
    return with_ahead(test.report(), ahead)


def _panel(data: Path | None, name: str) -> Report | None:
    """Return the report of a household panel's second half; the first is learned and not judged."""
    file = None if data is None else data / "brand" / f"{name}.csv.gz"
    if file is None or not file.is_file():
        return None
    return _run(panel.events(file), panel.CURRENCY, panel.HALF.timestamp())


def _tweets(data: Path | None) -> Report | None:
    file = None if data is None else data / "brand" / "airline_tweets.csv.gz"
    return None if file is None or not file.is_file() else _run(tweets.events(file), "USD")


SETS: Final[dict[str, Callable[[Path | None], Report | None]]] = {
    "bank_marketing": lambda data: _bank(data, 0),
    "bank_marketing_late": lambda data: _bank(data, LATE),
    "starbucks": _starbucks,
    "cdnow": _cdnow,
    "online_retail": _online_retail,
    "catsup": lambda data: _panel(data, "catsup"),
    "cracker": lambda data: _panel(data, "cracker"),
    "airline_tweets": _tweets,
}
"""Data set -> its report, from a folder with the sets; None where the set is not there."""
