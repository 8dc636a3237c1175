"""Whether Kafka answers, asked on a connection of its own: what a consumer reports can be old."""

import asyncio
from contextlib import suppress

import aiokafka.errors
from aiokafka.client import AIOKafkaClient

from streams.kafka.security import for_python


async def reach(broker: str, seconds: float) -> str | None:
    """Ask for the cluster's metadata.

    Returns
    -------
    str or None
        Why there was no answer within `seconds`, in words; None if there was one.
    """
    client = AIOKafkaClient(**for_python(broker), request_timeout_ms=int(seconds * 1_000))
    try:
        await asyncio.wait_for(client.bootstrap(), seconds)
    except TimeoutError:
        return f"kafka: {broker} does not answer within {seconds:g} s"
    except (aiokafka.errors.KafkaError, OSError) as error:
        return f"kafka: {broker} cannot be reached ({error})"
    finally:
        with suppress(aiokafka.errors.KafkaError, OSError):
            await client.close()
    return None
