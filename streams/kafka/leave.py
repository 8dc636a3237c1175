"""Leaving a consumer group within seconds, whatever the group is doing."""

import asyncio
from contextlib import suppress
from typing import Any, Final

from aiokafka.errors import KafkaError
from aiokafka.protocol.group import LeaveGroupRequest

LEAVE_SECONDS: Final = 1.0
"""What the broker has to answer that a member has left. Without its answer the session runs out."""


def in_group(coordinator: Any) -> bool:
    """Whether we are members and no rebalance goes on, as far as is known here."""
    heartbeat: Any = getattr(coordinator, "_heartbeat_task", None)
    return heartbeat is not None and not coordinator._rejoin_needed_fut.done()


async def leave(consumer: Any) -> None:
    """Leave before the consumer's own `stop`, which would wait.

    aiokafka waits for the end of a join before it leaves, and the broker answers a join when the slowest member has
    joined: up to the rebalance timeout, a minute. It answers a connection's requests one after the other, so whoever
    waits for that answer says that it leaves on another connection.
    """
    coordinator = consumer._coordinator
    if coordinator is None:
        return
    coordinator._coordination_task.cancel()
    await asyncio.wait([coordinator._coordination_task], timeout=LEAVE_SECONDS)
    node, member = coordinator.coordinator_id, coordinator.member_id
    if node is not None and member:
        with suppress(KafkaError, TimeoutError):
            request = LeaveGroupRequest(coordinator.group_id, member)
            await asyncio.wait_for(consumer._client.send(node, request), LEAVE_SECONDS)
    coordinator.reset_generation()  # `stop` would say it again
