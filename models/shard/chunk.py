"""What one call of the heart is about."""

import math
from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from models.campaigns.campaign import Campaign
from models.order import Item
from models.policy import Policy
from schemas.commit import Place
from schemas.state import Remembered


class Shop(Struct, frozen=True):
    """What is the same for all shards of a job."""

    policy: Policy
    campaigns: Sequence[Campaign] = ()
    partitions: int = 1

    @property
    def budgets(self) -> dict[str, int]:
        """Contacts that there may be in all, by campaign that has a budget."""
        return {one.id: one.spec.budget for one in self.campaigns if one.spec.budget is not None}


class Chunk(Struct):
    """The next items of one shard, and what is remembered of whom they concern.

    Parameters
    ----------
    began
        The shard's time before the chunk; None before any event.
    place
        The place after it; the commit carries it.
    items
        Records in the shard's order.
    customers
        Everybody whom the items concern and whose timer is due; None for one who is not known. Changed in place.
    until
        Timers fire up to this time, in epoch seconds, if no item moves the shard's time further. None: none.
    idle
        The topics are at their ends, and have been for a while.
    tell
        Tell the learner where the shard stands, whatever else happens.
    sold_to
        Up to here no more sales are on their way, in epoch seconds, whatever time `transactions` itself has shown.
    spent
        Contacts so far, over all shards, by campaign that has a budget.
    """

    partition: int
    began: float | None
    place: Place
    items: list[Item]
    customers: dict[str, Remembered | None] = field(default_factory=dict)
    until: float | None = None
    idle: bool = False
    tell: bool = False
    sold_to: float = math.inf
    spent: Mapping[str, int] = field(default_factory=dict)
