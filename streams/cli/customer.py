"""`customer`: one customer's scores, and why."""

from typing import Annotated

import msgspec
import typer

from streams.cli.app import app, end, out
from streams.settings import load_settings


@app.command()
def customer(customer_id: str, json: Annotated[bool, typer.Option("--json", help="For a program.")] = False) -> None:
    """Show one customer's scores and why. Ends with 1 if the customer is not known."""
    from streams.redis.client import reader, redis_errors
    from streams.redis.keys import Keys
    from streams.reporting.summary import show_customer

    settings = load_settings()
    with redis_errors(), reader(settings, text=True) as client:
        found: dict[str, str] = client.hgetall(Keys(settings.prefix).customer(customer_id))
    if not found:
        end(1, f"customer {customer_id} is not known")
    if json:
        print(msgspec.json.encode({"customer_id": customer_id, **found}).decode())  # noqa: T201
    else:
        show_customer(out, customer_id, found, settings.currency, settings.window_days)
