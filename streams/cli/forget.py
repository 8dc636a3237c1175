"""`forget`: a customer's data are erased."""

import secrets
from datetime import UTC, datetime

from streams.cli.app import app, end, out
from streams.settings import load_settings


@app.command()
def forget(customer_id: str) -> None:
    """Have a customer's data erased: state, scores, timers, pending examples. Ends with 1 on an id that cannot be one.

    It is an event in `customers`, and takes effect when its turn comes: the worker that owns the customer erases.
    What is in the input topics lasts as long as their retention.
    """
    from schemas.codec import Poison, decode, encode
    from schemas.events import Forgotten
    from streams.kafka.producer import send

    settings = load_settings()
    event = Forgotten(event_id=f"forget-{secrets.token_hex(8)}", customer_id=customer_id, occurred_at=datetime.now(UTC))
    try:
        decode("customers", encode(event))
    except Poison as poison:
        end(1, str(poison))
    send([event], settings.kafka, settings.prefix)
    out.print(f"{customer_id} will be erased when the event's turn comes", highlight=False)
