"""What is said of brands: sheets and sentences, which a terminal prints and a page shows."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

from models.brand.standings import parts_of
from streams.reporting.market_words import SHOWN_RIVALS, Block, Sheet, amount, money, number, percent, points

POSITION: Final = {
    "revenue": "{:,.0f}", "units": "{:,.0f}", "purchases": "{:,}", "buyers": "{:,}",
    "revenue_share": "{:.1%}", "recent_revenue_share": "{:.1%}", "unit_share": "{:.1%}", "purchase_share": "{:.1%}",
    "penetration": "{:.1%}", "purchases_per_buyer": "{:.2f}", "share_of_requirements": "{:.1%}",
    "repeat_rate": "{:.1%}", "price_position": "{:.2f}", "repeats": "{:.1%}", "bought_low": "{:.1%}",
    "share_at_usual_price": "{:.1%}", "share_when_promoted": "{:.1%}",
}  # fmt: skip
WORDS: Final = {
    "revenue_share": "share of the category's revenue", "recent_revenue_share": "the same, of late",
    "unit_share": "of its units", "purchase_share": "of its purchases", "penetration": "buyers among its buyers",
    "share_of_requirements": "share of what they buy in it", "repeat_rate": "buyers who came back for it",
    "price_position": "price over the category's", "repeats": "the same brand again",
    "bought_low": "units bought below the usual price", "share_at_usual_price": "chosen at its usual price",
    "share_when_promoted": "chosen when promoted or cheaper",
}  # fmt: skip
SHIFTS: Final = {"up": "clearly more than before", "down": "clearly less than before"}


def spoken(name: str) -> str:
    """Write a brand as a person does, with the colons of its category as they are.

    >>> spoken("a%3Ab:Ash")
    'a:b:Ash'
    """
    return ":".join(parts_of(name))


def largest(brands: Mapping[str, Mapping[str, Any]], most: int) -> list[str]:
    """Name the brands with most revenue, those that are only spoken of last."""
    return sorted(brands, key=lambda name: (-brands[name].get("revenue", 0.0), name))[:most]


def those_named(asked: str, known: Iterable[str]) -> list[str]:
    """Find brands by their name, with or without the category; its colons may be written as they are.

    >>> those_named("a:b:Ash", ["a%3Ab:Ash", "tea:Ash"]), those_named("Ash", ["a%3Ab:Ash", "tea:Ash", "tea:Birch"])
    (['a%3Ab:Ash'], ['a%3Ab:Ash', 'tea:Ash'])
    """
    return sorted(name for name in known if asked in (name, parts_of(name)[1], spoken(name)))


def rivals(names: Collection[str], known: Iterable[str]) -> list[str]:
    """Name the other brands of the categories that these are of.

    >>> rivals(["tea:Ash"], ["tea:Ash", "tea:Birch", "jam:Ash"])
    ['tea:Birch']
    """
    categories = {parts_of(name)[0] for name in names}
    return sorted(one for one in known if parts_of(one)[0] in categories and one not in names)


def side_by_side(brands: Mapping[str, Mapping[str, Any]], most: int) -> Sheet:
    """Put the largest brands beside each other."""
    names = largest(brands, most)
    revenue = money("revenue", *(brands[name] for name in names))
    title = (
        f"Brands: {revenue}, its share of the category's; buyers among its buyers, and what the NBD-Dirichlet\n"
        "expects; purchases a buyer; share of what they buy; the same brand again; negative feedback, last day"
    )
    columns = ("brand", "revenue", "share", "reach", "expected", "a buyer", "own share", "again", "negative")
    rows = []
    for name in names:
        one = brands[name]
        rows.append((
            spoken(name), amount(one.get("revenue")), percent(one.get("revenue_share")),
            percent(one.get("penetration")), percent(one.get("expected", {}).get("penetration")),
            number(one.get("purchases_per_buyer")),
            percent(one.get("share_of_requirements")), percent(one.get("repeats")),
            percent(one.get("image", {}).get("negative_share")),
        ))  # fmt: skip
    return Sheet(title, columns, rows)


def promotion_and_image(brands: Mapping[str, Mapping[str, Any]], most: int) -> Sheet:
    """Put the largest brands beside each other by price, promotion and what is said of them."""
    title = (
        "Price, promotion and image: purchases a buyer that the NBD-Dirichlet expects; price over the category's;\n"
        "units bought below the usual price; chosen at its usual price, and when promoted or cheaper (not causal);\n"
        "negative feedback on the last day (80 %), and whether that is an alarm"
    )
    columns = ("brand", "expected a buyer", "price", "bought low", "usual", "promoted", "negative", "alarm")
    rows = []
    for name in largest(brands, most):
        one = brands[name]
        image, expected = one.get("image", {}), one.get("expected", {}).get("purchases_per_buyer")
        rows.append((
            spoken(name), number(expected), number(one.get("price_position")), percent(one.get("bought_low")),
            percent(one.get("share_at_usual_price")), percent(one.get("share_when_promoted")), _negative(image),
            SHIFTS.get(image.get("shift"), "-"),
        ))  # fmt: skip
    return Sheet(title, columns, rows)


def _negative(image: Mapping[str, Any]) -> str:
    if image.get("negative_share") is None:
        return "-"
    return f"{image['negative_share']:.0%} ({image['negative_low']:.0%} to {image['negative_high']:.0%})"


def of_brand(
    name: str, figures: Mapping[str, Any], brands: Mapping[str, Mapping[str, Any]] | None = None
) -> Iterator[Block]:
    """Say what is known of one brand in one category. Among all `brands` it is known, too, who leaves for it."""
    expected, rows = figures.get("expected", {}), []
    for figure, form in POSITION.items():
        if figures.get(figure) is not None:
            foreseen = form.format(expected[figure]) if figure in expected else ""
            words = money("revenue", figures) if figure == "revenue" else WORDS.get(figure, figure.replace("_", " "))
            rows.append((words, form.format(figures[figure]), foreseen))
    if rows:
        yield Sheet(f"Brand {spoken(name)}", ("", "seen", "expected of its size"), rows)
    moves = figures.get("share_by_promotion")
    if moves:
        yield (
            f"share of a day's units when all is bought below the usual price, against none: {points(moves['slope'])} "
            f"({points(moves['low'])} to {points(moves['high'])}, {moves['n']} days); not causal"
        )
    to = _most(figures.get("switches_to", {}))
    if to:
        yield f"leaves to: {to}"
    came = _most(_leave_for(name, brands or {}))
    if came:
        yield f"who leaves for it, of those who last bought: {came}"
    if figures.get("segments"):
        index = sorted(figures["segments"].items(), key=lambda item: (-item[1], item[0]))
        yield "segments (100 is usual): " + "; ".join(f"{segment}: {value}" for segment, value in index)
    if "image" in figures:
        yield from _image(figures["image"])


def _leave_for(name: str, brands: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Who of the same category is left for this brand, and by which share of its next purchases."""
    category, brand = parts_of(name)
    found = {
        parts_of(other)[1]: one["switches_to"].get(brand, 0.0)
        for other, one in brands.items()
        if other != name and parts_of(other)[0] == category and one.get("switches_to")
    }
    return {other: share for other, share in found.items() if share}


def _most(shares: Mapping[str, float]) -> str:
    most = sorted(shares.items(), key=lambda item: -item[1])[:SHOWN_RIVALS]
    return ", ".join(f"{brand} {share:.0%}" for brand, share in most)


def _image(image: Mapping[str, Any]) -> Iterator[str]:
    if image["negative_share"] is None:
        yield f"{image['sayings']:,} texts, none with stars so far: nobody knows which are negative"
        return
    shift = f", {SHIFTS[image['shift']]}" if image["shift"] in SHIFTS else ""
    before = image.get("negative_share_before")
    yield (
        f"negative on the last day: {image['negative_share']:.0%} "
        f"({image['negative_low']:.0%} to {image['negative_high']:.0%} with 80 %) of {image['sayings_of_day']}{shift}"
        + ("" if before is None else f"; {before:.0%} on the days before")
    )
    for name, which in (("words_of_day", "of that day"), ("words", "over all texts so far, the latest most")):
        if image.get(name):
            words = ", ".join(f"{word} {'worse' if effect > 0 else 'better'}" for word, effect in image[name].items())
            yield f"words that moved it, {which}: {words}"
