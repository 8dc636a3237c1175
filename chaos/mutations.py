"""Ways to break the product, each with the fault that shows it and the checks that must see it.

A suite that cannot fail proves nothing. Each change is made in the worker's process by `chaos.worker`, and is
refused if what it would change is not there any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from chaos.inject import Plan, wrap

STUCK = "stuck"
"""Not a difference: the job never settles."""


@dataclass
class Mutation:
    """One broken rule.

    Parameters
    ----------
    apply
        Breaks it, in the process that calls.
    plan
        What happens inside the first worker.
    fault
        What happens from outside: a name of `chaos.faults`, or None.
    seen_by
        Checks of the oracle; at least one of these must name a difference.
    chunk
        Records that are handled at once; None: drawn. The smaller, the longer the input lasts.
    """

    apply: Callable[[], None]
    seen_by: tuple[str, ...]
    plan: Plan = field(default_factory=Plan)
    fault: str | None = None
    workers: int = 1
    chunk: int | None = None


def _script(name: str, old: str, new: str) -> None:
    """Change a script before a ledger or a learner registers it."""
    import streams.learning
    import streams.redis.ledger
    import streams.redis.scripts

    text = getattr(streams.redis.scripts, name)
    assert old in text, f"{name} has no {old!r}"
    for module in (streams.redis.scripts, streams.redis.ledger, streams.learning):
        if hasattr(module, name):
            setattr(module, name, text.replace(old, new))


def no_fence() -> None:
    """A commit goes through whoever wrote last."""
    _script("COMMIT", "if old ~= ARGV[1] then return {0, old} end", "")


def no_seek() -> None:
    """An assignment reads on from what was committed to Kafka, if anything, and believes that it is the place."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        async def go_to(self: Any, places: dict[Any, int]) -> bool:
            inputs = {
                tp: 0 for tp in places if not tp.topic.endswith("examples")
            }  # a learner would start again for ever
            return bool(await original(self, places | inputs))

        return go_to

    def believes(original: Callable[..., Any]) -> Callable[..., Any]:
        def receive(self: Any, topic: str, answer: Any, records: Any) -> bool:
            self.next[topic] = answer.before
            return bool(original(self, topic, answer, records))

        return receive

    wrap("streams.kafka.transport:_Consumer.go_to", around)
    wrap("streams.held:Held.receive", believes)


def relay_before_commit() -> None:
    """What a chunk has to say is sent first and written afterwards."""
    relays: list[Any] = []

    def remember(original: Callable[..., Any]) -> Callable[..., Any]:
        async def start(self: Any) -> None:
            relays.append(self)
            await original(self)

        return start

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        async def commit(self: Any, hold: Any, chunk: Any) -> Any:
            from streams.ledger import Entry
            from streams.outgoing import records

            early = [Entry(hold.head + 1, part, hold.head, one) for part, one in enumerate(records(chunk))]
            await relays[0].send(hold.partition, early)
            await asyncio.sleep(0.3)
            return await original(self, hold, chunk)

        return commit

    wrap("streams.kafka.relay:RelayThread.start", remember)
    wrap("streams.redis.ledger:RedisLedger.commit", around)


def trim_before_acknowledgement() -> None:
    """Entries are taken out of the outbox, and then sent."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        async def send_all(self: Any, relay: Any, ledger: Any) -> None:
            await ledger.trim(self.number, list(self.outbox))
            await ledger.flush(self.number)
            await original(self, relay, ledger)

        return send_all

    wrap("streams.held:Held._send_all", around)


def learner_without_dedupe() -> None:
    """Whatever comes is learned."""
    wrap("streams.learning:is_new", lambda original: lambda taken, head, part, lineage: True)


def learner_does_not_ask_for_heads() -> None:
    """What was rolled back is learned all the same."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        def is_new(taken: Any, head: int, part: int, lineage: Any) -> bool:
            return (head, part) > (taken.head, taken.part)

        return is_new

    wrap("streams.learning:is_new", around)


def acknowledge_on_exception() -> None:
    """A chunk that failed is skipped, and the next one is committed with a place beyond it."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        async def commit(self: Any, *args: Any, **kwargs: Any) -> Any:
            from streams.errors import Unavailable
            from streams.shard import Done

            try:
                return await original(self, *args, **kwargs)
            except Unavailable:
                items, place = args[0], args[1]
                self.hold.place = place
                from schemas.commit import Commit

                return Done(Commit(place), [item.arrived for item in items], [])

        return commit

    wrap("streams.shard:Shard._commit", around)


def place_forgotten() -> None:
    """The learner restores what it has learned, and forgets up to where."""
    from streams.redis.saved import Saved

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        def init(self: Any, head: int, snapshot: Any, *args: Any) -> None:
            original(self, head, Saved(snapshot.pieces, snapshot.parts), *args)

        return init

    wrap("streams.learning:Standing.__init__", around)


def repeats_count() -> None:
    """An event that comes twice counts twice."""
    wrap("models.shard.walk:is_repeat", lambda original: lambda known, event_id: False)


def chunks_decide_order() -> None:
    """A topic without a record here is not waited for."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        def answered(self: Any, topic: str, fresh: float | None = None) -> bool:
            return True

        return answered

    wrap("streams.held:Held.answered", around)


def wrong_bytes_in_letters() -> None:
    """Dead letters carry text, not the bytes that came."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        def bury(self: Any, arrived: Any, *args: Any) -> None:
            if arrived.value is not None:
                arrived.value = arrived.value.decode(errors="replace").encode()
            original(self, arrived, *args)

        return bury

    wrap("models.shard.walk:_Walker._bury", around)


STATES = ("offsets", "states", "places", "scores", "contacts", "timers", "examples", "triggers")
LEARNED = ("learned once", "model", "report")
MUTATIONS: dict[str, Mutation] = {
    "no fence": Mutation(no_fence, (*STATES, "outbox"), fault="worker asleep", workers=2, chunk=20),
    "no seek": Mutation(no_seek, ("offsets",), fault="worker kill -9"),
    "relay before commit": Mutation(relay_before_commit, ("examples", *LEARNED), fault="all workers kill -9"),
    "trim before acknowledgement": Mutation(
        trim_before_acknowledgement, ("examples", "triggers", "dead letters"), Plan("relay", "before", "kill", nth=5)
    ),
    "learner without its dedupe": Mutation(learner_without_dedupe, LEARNED, Plan("trim", "before", "kill", nth=6)),
    "learner does not ask for heads": Mutation(learner_does_not_ask_for_heads, LEARNED, fault="Redis rolled back"),
    "acknowledgement on exception": Mutation(
        acknowledge_on_exception, STATES, Plan("commit", "before", "unavailable", nth=5)
    ),
    "snapshot without its place": Mutation(
        place_forgotten, (*LEARNED, STUCK), Plan("learner save", "after", "kill", pace=0.6), chunk=50
    ),
    "repeats count": Mutation(repeats_count, (*STATES, "sales")),
    "topics are not waited for": Mutation(chunks_decide_order, STATES),
    "letters as text": Mutation(wrong_bytes_in_letters, ("dead letters",)),
}
