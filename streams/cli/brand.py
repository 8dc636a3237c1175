"""`brand`: where a brand stands, who leaves it for which, and what is said of it."""

from typing import Annotated, Any

import msgspec
import typer

from streams.cli.app import NAMED, app, end, out, some
from streams.settings import load_settings


@app.command()
def brand(name: str, json: Annotated[bool, typer.Option("--json", help="For a program.")] = False) -> None:
    """Show a brand, or <category>:<brand>, in every category that it is sold or spoken of in.

    Ends with 1 if the brand is not known, and names some that are.
    """
    from streams.redis.client import hashes, reader, redis_errors
    from streams.redis.keys import Keys
    from streams.reporting.brand_words import largest, rivals, spoken, those_named
    from streams.reporting.summary_market import show_brand

    settings = load_settings()
    keys = Keys(settings.prefix)
    with redis_errors(), reader(settings, text=True) as client:
        known: set[str] = client.smembers(keys.brands)
        named = those_named(name, known)
        sold = {} if named else hashes(client, {one: keys.brand(one) for one in sorted(known)}, ("revenue",))
        found: dict[str, Any] = {one: _values(client.hgetall(keys.brand(one))) for one in named}
        beside = hashes(client, {one: keys.brand(one) for one in rivals(named, known)}, ("switches_to",))
    if not named:
        end(1, f"brand {name} is not known{some([spoken(one) for one in largest(sold, NAMED)])}")
    if json:
        print(msgspec.json.encode(found).decode())  # noqa: T201
    else:
        for one, figures in found.items():
            show_brand(out, one, figures, found | beside)


def _values(fields: dict[str, str]) -> dict[str, Any]:
    return {name: msgspec.json.decode(text) for name, text in fields.items()}
