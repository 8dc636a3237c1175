"""`brand`: where a brand stands, who leaves it for which, and what is said of it."""

from typing import Annotated, Any

import msgspec
import typer

from streams.cli.app import app, end, out
from streams.settings import load_settings


@app.command()
def brand(name: str, json: Annotated[bool, typer.Option("--json", help="For a program.")] = False) -> None:
    """Show a brand, or <category>:<brand>, in every category that it is sold or spoken of in.

    Ends with 1 if the brand is not known.
    """
    from streams.redis.client import reader, redis_errors
    from streams.redis.keys import Keys
    from streams.reporting.summary_market import show_brand

    settings = load_settings()
    keys = Keys(settings.prefix)
    with redis_errors(), reader(settings, text=True) as client:
        known: set[str] = client.smembers(keys.brands)
        named = sorted(one for one in known if name in (one, one.partition(":")[2]))
        hashes: list[dict[str, str]] = [client.hgetall(keys.brand(one)) for one in named]
    if not named:
        end(1, f"brand {name} is not known")
    found = {one: _values(fields) for one, fields in zip(named, hashes, strict=True)}
    if json:
        print(msgspec.json.encode(found).decode())  # noqa: T201
    else:
        for one, figures in found.items():
            show_brand(out, one, figures)


def _values(fields: dict[str, str]) -> dict[str, Any]:
    return {name: msgspec.json.decode(text) for name, text in fields.items()}
