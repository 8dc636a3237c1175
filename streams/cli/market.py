"""`market`: what is wanted, what is bought together, how people buy."""

from typing import Annotated, Any

import msgspec
import typer

from streams.cli.app import NAMED, app, end, out, some
from streams.settings import load_settings


@app.command()
def market(
    category: Annotated[str, typer.Argument(help="A category, or all.")] = "all",
    product: Annotated[str | None, typer.Option(help="A product instead: what is bought with it, its price.")] = None,
    json: Annotated[bool, typer.Option("--json", help="For a program.")] = False,
) -> None:
    """Show the market of a category: demand, price, and of all, growth, behaviour and baskets.

    Ends with 1 if the category is not known (and names some that are), or nothing is known of the product.
    """
    from streams.redis.client import hashes, reader, redis_errors
    from streams.redis.keys import Keys
    from streams.reporting.market_words import largest
    from streams.reporting.summary_market import show_market, show_product

    settings = load_settings()
    keys = Keys(settings.prefix)
    with redis_errors(), reader(settings, text=True) as client:
        fields: dict[str, str] = client.hgetall(keys.market(category) if product is None else keys.pairs(product))
        known: dict[str, Any] = {}
        if not fields and product is None:
            names = sorted(client.smembers(keys.markets))
            known = hashes(client, {name: keys.market(name) for name in names}, ("demand",))
    if not fields:
        if product is not None:
            end(1, f"nothing is known of product {product}")
        end(1, f"category {category} is not known{some(largest(known, NAMED))}")
    figures: dict[str, Any] = {name: msgspec.json.decode(text) for name, text in fields.items()}
    if json:
        print(msgspec.json.encode(figures).decode())  # noqa: T201
    elif product is None:
        show_market(out, category, figures)
    else:
        show_product(out, product, figures)
