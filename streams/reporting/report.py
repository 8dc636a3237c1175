"""The report: what was read, how fast, how good, and who was contacted."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from models.policy import DAY
from schemas.commit import Place, pending_examples, unopened_contacts

if TYPE_CHECKING:  # it brings River, and commands that only print a report need none
    from models.lookahead import LookAhead

_UNOPENED: Final = {
    "window_open": "while a window of the same offer was open",
    "overtaken": "after something that happened later",
    "too_many": "of customers who waited for eight answers",
}


def put_together(
    places: Iterable[Place],
    learned: Mapping[str, Any],
    segment_names: Counter[str],
    seconds: float,
    delays: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Return the report.

    Parameters
    ----------
    places
        Of all shards; their totals are exact.
    learned
        The learner's part: `tasks`, `segments`, `sales` and `outlook`.
    segment_names
        Customers by the name of their segment.
    seconds
        What it took.
    delays
        Quantiles `p50`, `p95`, `p99` from event to score in seconds, where they were measured.
    """
    totals: Counter[str] = Counter()
    for place in places:
        totals.update(place.totals)
    handled = {name: totals[name] for name in ("late", "duplicate", "dead_letter")}
    scored = totals["scored"] + totals["anonymous"] + totals["forgotten"]
    read = scored + sum(handled.values())
    quality = dict(learned.get("segments", {}))
    sizes = quality.pop("sizes", [])
    return {
        "events": {"read": read, "scored": scored, **handled},
        "throughput": {
            "events": read,
            "seconds": seconds,
            "events_per_second": read / seconds if seconds else None,
        },
        "latency": {"event_to_score_seconds": dict(delays or dict.fromkeys(("p50", "p95", "p99")))},
        "tasks": _with_waiting(learned.get("tasks", {}), pending_examples(places), unopened_contacts(places)),
        "segments": quality | {"count": len(sizes), "sizes": dict(segment_names.most_common())},
        "sales": learned.get("sales", {}),
        "outlook": learned.get("outlook", {}),
        "sales_days": learned.get("sales_days", []),
        "brands": learned.get("brands", {}),
        "market": learned.get("market", {}),
        "memory": learned.get("memory", {}),
        "campaigns": _campaigns(totals),
    }


def with_ahead(report: dict[str, Any], ahead: "LookAhead") -> dict[str, Any]:
    """Return the report with `churn`, `value` and `purchases` judged by what followed one moment.

    `ahead` has the moment, and under `until_then` what was in the place of these tasks: figures up to it.
    """
    judged = ahead.report()
    return report | {
        "tasks": report["tasks"] | judged,
        "ahead": {
            "at": utc(ahead.at),
            "horizon_days": ahead.days,
            "asked_days": ahead.asked,
            "warning": _cut_short(ahead) if ahead.days < ahead.asked else None,
            "customers": len(ahead.came),
            "until_then": {task: report["tasks"][task] for task in judged},
        },
    }


def _cut_short(ahead: "LookAhead") -> str:
    end = utc(ahead.at + ahead.days * DAY)
    return (
        f"Sales end before {end}: of the {in_days(ahead.asked)} asked for, only {in_days(ahead.days)} can be judged. "
        "All scores and outcomes are for these."
    )


def utc(at: float) -> str:
    """Epoch seconds as an RFC 3339 time.

    >>> utc(0.0)
    '1970-01-01T00:00:00Z'
    """
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def in_days(days: float) -> str:
    """Say how many days.

    >>> in_days(90.0), in_days(1.0), in_days(0.584), in_days(13.54)
    ('90 days', '1 day', '0.58 days', '13.5 days')
    """
    said = f"{days:.2g}" if days < 1.0 else f"{round(days, 1):.12g}"
    return f"{said} day" if said == "1" else f"{said} days"


def _with_waiting(tasks: Mapping[str, Any], pending: Mapping[str, int], unopened: Mapping[str, int]) -> dict[str, Any]:
    """Return the tasks, each with how many of its examples wait for their outcome, and how many contacts make none."""
    waiting = {**pending, "purchases": pending.get("churn", 0)}  # the same examples
    found = {task: report | {"pending": waiting[task]} if task in waiting else report for task, report in tasks.items()}
    if "response" in found:
        left_out = {reason: n for reason, n in sorted(unopened.items()) if n}
        found["response"] = found["response"] | {"unopened": left_out}
    return found


def in_reasons(unopened: Mapping[str, int]) -> str:
    """Say how many contacts make no example, and why.

    >>> in_reasons({"window_open": 1200, "too_many": 3})
    '1,203 contacts made no example of response: 1,200 while a window of the same offer was open, \
3 of customers who waited for eight answers'
    """
    reasons = [
        f"{n:,} {_UNOPENED.get(reason, reason)}" for reason, n in sorted(unopened.items(), key=lambda one: -one[1])
    ]
    return f"{sum(unopened.values()):,} contacts made no example of response: {', '.join(reasons)}"


def _campaigns(totals: Mapping[str, int]) -> dict[str, Any]:
    campaigns: dict[str, Any] = {}
    for name, n in sorted(totals.items()):
        kind, _, rest = name.partition(":")
        if kind not in ("trigger", "suppressed"):
            continue
        campaign, _, reason = rest.rpartition(":") if kind == "suppressed" else (rest, "", "")
        empty = {"triggers": 0, "suppressed": {}, "uplift": None, "uplift_interval": None}
        found = campaigns.setdefault(campaign, empty)
        if kind == "trigger":
            found["triggers"] = n
        else:
            found["suppressed"][reason] = n
    return campaigns
