"""Charts as inline SVG, drawn from plain numbers. Text is escaped; colours come from the page's style."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from markupsafe import Markup, escape

COLOURS: Final = 8
WIDTH, HEIGHT = 720, 260
LEFT, RIGHT, TOP, BOTTOM = 56, 150, 22, 34
TICKS: Final = 5
ROW: Final = 24
FEW: Final = 0.005
"""A class with less than this share of the examples has a dot and is not on the line."""
KEY: Final = (("actual", "line c0"), ("7 days ahead", "line c1"), ("80 % interval", "band"))
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Frame:
    """Maps numbers into the drawing, and draws the axes."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float], right: int = RIGHT, width: int = WIDTH) -> None:
        self.x, self.y, self.width = x, _wide(y), width
        self.right = width - right

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return the place of a point."""
        across = (x - self.x[0]) / ((self.x[1] - self.x[0]) or 1.0)
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return LEFT + across * (self.right - LEFT), HEIGHT - BOTTOM - up * (HEIGHT - BOTTOM - TOP)

    def axes(self, labels: Sequence[tuple[float, str]], y_name: str) -> str:
        """Return grid lines with their numbers, and labels along x."""
        out = [_text(0, TOP - 4, y_name, "start")]
        for value in _ticks(*self.y):
            _, y = self.at(self.x[0], value)
            out.append(f'<line class="grid" x1="{LEFT}" x2="{self.right}" y1="{y:.1f}" y2="{y:.1f}"/>')
            out.append(_text(LEFT - 6, y + 4, _number(value), "end"))
        for value, label in labels:
            x, _ = self.at(value, self.y[0])
            out.append(_text(x, HEIGHT - BOTTOM + 18, label, "middle"))
        return "".join(out)

    def line(self, points: Sequence[tuple[float, float]], css: str) -> str:
        """Return a line through points."""
        placed = " ".join(f"{x:.1f},{y:.1f}" for x, y in (self.at(*point) for point in points))
        return f'<polyline class="{css}" points="{placed}"/>'

    def band(self, lower: Sequence[tuple[float, float]], upper: Sequence[tuple[float, float]], css: str) -> str:
        """Return the area between two lines."""
        placed = " ".join(f"{x:.1f},{y:.1f}" for x, y in (self.at(*point) for point in [*lower, *reversed(upper)]))
        return f'<polygon class="{css}" points="{placed}"/>'


def months(by_model: Mapping[str, Mapping[str, float]]) -> Markup:
    """AUC by calendar month, a line a model, in the order given."""
    names = sorted({month for some in by_model.values() for month in some})
    places = {month: float(place) for place, month in enumerate(names)}
    values = [value for some in by_model.values() for value in some.values()]
    frame = Frame((0.0, max(len(names) - 1.0, 1.0)), (min(values), max(values)))
    every = max(1, math.ceil(len(names) / 8))
    out = [frame.axes([(places[month], month) for month in names[::every]], "AUC")]
    for number, (name, some) in enumerate(by_model.items()):
        css = f"line c{number}"
        out.append(frame.line([(places[month], some[month]) for month in sorted(some)], css))
        y = TOP + 16 * number + 8
        out.append(f'<line class="{css}" x1="{frame.right + 10}" x2="{frame.right + 28}" y1="{y}" y2="{y}"/>')
        out.append(_text(frame.right + 34, y + 4, name, "start"))
    return _svg(out, "AUC by month of the decision, by model")


def reliability(points: Sequence[Mapping[str, float]]) -> Markup:
    """Rate that came over score that was given; a dot's area is its share of the examples, the diagonal is perfect."""
    frame = Frame((0.0, 1.0), (0.0, 1.0), right=20, width=360)
    whole = sum(point["examples"] for point in points) or 1
    out = [frame.axes([(tick / 5, f"{tick / 5:.1f}") for tick in range(6)], "rate that came")]
    out.append(frame.line([(0.0, 0.0), (1.0, 1.0)], "ideal"))
    placed = []
    for point in points:
        score = point.get("mean_score", point["from"] + 0.05)
        placed.append((score, min(max(score - point["score_less_rate"], 0.0), 1.0), point["examples"]))
    out.append(frame.line([(x, y) for x, y, n in placed if n >= FEW * whole], "line c0"))
    for x, y, n in placed:
        left, top = frame.at(x, y)
        told = f"score {x:.2f}: {y:.1%} of {n:,} came"
        radius = 3 + 14 * math.sqrt(n / whole)
        out.append(
            f'<circle class="dot c0" cx="{left:.1f}" cy="{top:.1f}" r="{radius:.1f}"><title>{told}</title></circle>'
        )
    return _svg(out, "Calibration: rate that came, by score", 360)


def forecast(days: Sequence[Mapping[str, Any]]) -> Markup:
    """Actual sales by day, what was forecast a week before, and its 80 % interval."""
    known = [day for day in days if day["low"] is not None]
    values = [day["actual"] for day in days] + [day[name] for day in known for name in ("low", "high")]
    frame = Frame((days[0]["day"], days[-1]["day"]), (min(0.0, *values), max(values)))
    step = max(1, len(days) // 6)
    out = [frame.axes([(day["day"], _date(day["day"])) for day in days[::step]], "a day, main currency")]
    if known:
        sides = [[(day["day"], day[name]) for day in known] for name in ("low", "high")]
        out.append(frame.band(sides[0], sides[1], "band"))
    out.append(frame.line([(day["day"], day["point"]) for day in days], "line c1"))
    out.append(frame.line([(day["day"], day["actual"]) for day in days], "line c0"))
    for number, (name, css) in enumerate(
        (("actual", "line c0"), ("7 days ahead", "line c1"), ("80 % interval", "band"))
    ):
        y = TOP + 16 * number + 8
        out.append(f'<line class="{css}" x1="{frame.right + 10}" x2="{frame.right + 28}" y1="{y}" y2="{y}"/>')
        out.append(_text(frame.right + 34, y + 4, name, "start"))
    return _svg(out, "Sales by day, and what was forecast seven days before")


def bars(values: Mapping[str, float], unit: str) -> Markup:
    """One bar a name, in the order given."""
    most, middle = max([*values.values(), 1e-12]), 330
    out = []
    for number, (name, value) in enumerate(values.items()):
        y, width = number * ROW + 4, max(value, 0.0) / most * (WIDTH - middle - 90)
        out.append(_text(middle - 8, y + 13, name, "end"))
        out.append(f'<rect class="bar" x="{middle}" y="{y}" width="{width:.1f}" height="{ROW - 7}"/>')
        out.append(_text(middle + width + 6, y + 13, _number(value), "start"))
    return _svg(out, unit, height=len(values) * ROW + 8)


def _svg(parts: Sequence[str], name: str, width: int = WIDTH, height: int = HEIGHT) -> Markup:
    head = f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(name)}" style="max-width:{width}px">'
    return Markup(f"{head}<title>{escape(name)}</title>{''.join(parts)}</svg>")  # noqa: S704 - all text is escaped


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _wide(span: tuple[float, float]) -> tuple[float, float]:
    low, high = span
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _ticks(low: float, high: float) -> list[float]:
    """Return some four round numbers within bounds.

    >>> _ticks(0.0, 1.0), _ticks(0.52, 0.71)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0.55, 0.6, 0.65, 0.7])
    """
    rough = (high - low) / TICKS
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * times for times in (1, 2, 5, 10) if size * times >= rough - 1e-12)
    first = math.ceil(low / step - 1e-9)
    return [round(place * step, 10) for place in range(first, math.floor(high / step + 1e-9) + 1)]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.2f}"


def _date(day: int) -> str:
    return (EPOCH + timedelta(days=day)).strftime("%d %b %y")
