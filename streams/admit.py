"""A record as it arrives: decoded, and refused where it breaks the contract."""

from models.partition import partition_of
from models.policy import DAY
from schemas.codec import Poison, decode
from schemas.commit import Arrived


def admit(arrived: Arrived, partitions: int, key_checked: bool = True) -> Arrived:
    """Fill in the event of a record, or why it is refused. Nothing is raised."""
    try:
        event = decode(arrived.topic, arrived.value)  # type: ignore[arg-type]
    except Poison as poison:
        arrived.refused = (poison.reason, poison.detail)
        return arrived
    arrived.at = event.occurred_at.timestamp()
    key = (event.customer_id or event.event_id).encode()
    if key_checked and arrived.key != key:
        arrived.refused = ("wrong_key", "the record's key is not its customer_id (of an anonymous sale: its event_id)")
    elif key_checked and partition_of(key, partitions) != arrived.partition:
        right = partition_of(key, partitions)
        arrived.refused = ("wrong_partition", f"partition {right} is right: producers must hash keys by murmur2")
    elif arrived.at > arrived.sent_at + DAY:
        arrived.refused = ("future", "occurred_at is more than a day after the record was sent")
    else:
        arrived.event = event
    return arrived
