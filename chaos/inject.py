"""Faults inside the worker: every step of both agents can end the process, fail or wait, just before or just after.

A plan acts once in a run, whichever worker comes to the step first: a file says that it has acted.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

STEPS: dict[str, str] = {
    "fetch": "streams.kafka.transport:_Thread._fetch_records",
    "take": "streams.redis.ledger:RedisLedger.take",
    "seek": "streams.kafka.transport:_Consumer.go_to",
    "confirm": "streams.kafka.transport:_Consumer.confirm",
    "load": "streams.redis.ledger:RedisLedger.load",
    "commit": "streams.redis.ledger:RedisLedger.commit",
    "outbox": "streams.redis.ledger:RedisLedger.outbox",
    "relay": "streams.kafka.relay:RelayThread.send",
    "trim": "streams.redis.ledger:RedisLedger.trim",
    "flush": "streams.redis.ledger:RedisLedger.flush",
    "learner take": "streams.learning:LearningAgent._take",
    "learner learn": "streams.learning:LearningAgent._learn",
    "learner snapshot": "streams.snapshots:freeze",
    "learner publish": "streams.publishing:Published.models",
    "learner save": "streams.learning:LearningAgent._write",
    "learner seek": "streams.learning:LearningAgent._seek",
    "models": "streams.redis.models:ModelFeed.look",
}
"""Each step and the callable that does it. A test holds them to the code."""
COUNTS: dict[str, Callable[..., bool]] = {
    "learner save": lambda agent, standing, **_: standing.next > standing.saved,
}
"""Which passes of a step count, where not all do: a save of nothing new says nothing."""
SENT = ("commit sent", "learner save sent")
"""The command has gone out and no reply was read: the connection's own step."""
WHENS = ("before", "after")
ACTS = ("kill", "unavailable", "bug", "wait")


@dataclass
class Plan:
    """What to do to one worker.

    Parameters
    ----------
    step, when
        A name of `STEPS` or `SENT`, and `before` or `after` it.
    act
        `kill` the process, raise `Unavailable` or a `bug` of ours, or `wait` for `seconds`.
    nth
        At which time the step comes; see `COUNTS`.
    once
        File that is made when the plan acts.
    pace
        Seconds to wait after each chunk, so that a small input lasts.
    mutation
        Name of a way to break the product; see `chaos.mutations`.
    """

    step: str | None = None
    when: str = "before"
    act: str = "kill"
    nth: int = 1
    once: str | None = None
    seconds: float = 0.0
    pace: float = 0.0
    mutation: str | None = None

    def to_json(self) -> str:
        """For `CHAOS_PLAN`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))


def resolve(path: str) -> tuple[Any, str, Callable[..., Any]]:
    """Return what holds a step's callable, its name there, and the callable. Raises `AttributeError`."""
    module, _, dotted = path.partition(":")
    holder: Any = importlib.import_module(module)
    *outer, name = dotted.split(".")
    for part in outer:
        holder = getattr(holder, part)
    return holder, name, getattr(holder, name)


def wrap(path: str, around: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Put `around(original)` in the place of a callable."""
    holder, name, original = resolve(path)
    setattr(holder, name, functools.wraps(original)(around(original)))


class _Trigger:
    """Counts a step's passes and acts once."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.passes = plan, 0

    def due(self) -> bool:
        """Whether to act now."""
        self.passes += 1
        if self.passes < self.plan.nth:
            return False
        try:
            os.close(os.open(str(self.plan.once), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        print(f"chaos: {self.plan.act} {self.plan.when} {self.plan.step}", file=sys.stderr, flush=True)
        return True

    def act(self) -> None:
        """Act, if it is a matter of a moment."""
        if self.plan.act == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(10)
        from streams.errors import Unavailable

        if self.plan.act == "unavailable":
            raise Unavailable("chaos")
        raise RuntimeError("chaos: a bug of ours")


def soon() -> None:
    """Have shards learn their dictionaries from a few customers: an input is small."""
    from streams.redis import packing

    packing.LEARN_AFTER, packing.SAMPLES = 150, 60  # type: ignore[misc]


def apply(plan: Plan) -> None:
    """Put the plan into this process."""
    soon()
    if plan.mutation:
        from chaos.mutations import MUTATIONS

        MUTATIONS[plan.mutation].apply()
    if plan.pace:
        wrap("streams.shard:Shard.step", lambda original: _paced(original, plan.pace))
    if plan.step in STEPS:
        trigger = _Trigger(plan)
        wrap(STEPS[plan.step], lambda original: _disturbed(original, plan, trigger))
    elif plan.step in SENT:
        _after_sending(plan)


def _paced(original: Callable[..., Any], seconds: float) -> Callable[..., Any]:
    async def step(*args: Any, **kwargs: Any) -> Any:
        done = await original(*args, **kwargs)
        if done is not None:
            await asyncio.sleep(seconds)
        return done

    return step


def _disturbed(original: Callable[..., Any], plan: Plan, trigger: _Trigger) -> Callable[..., Any]:
    counts = COUNTS.get(str(plan.step), lambda *_, **__: True)

    async def disturb(*, here: bool) -> None:
        if here and trigger.due():
            if plan.act == "wait":
                await asyncio.sleep(plan.seconds)
            else:
                trigger.act()

    if asyncio.iscoroutinefunction(original):

        async def call(*args: Any, **kwargs: Any) -> Any:
            counted = counts(*args, **kwargs)  # asked before the step, which changes the answer
            await disturb(here=counted and plan.when == "before")
            result = await original(*args, **kwargs)
            await disturb(here=counted and plan.when == "after")
            return result

        return call

    def call_now(*args: Any, **kwargs: Any) -> Any:
        if plan.when == "before" and trigger.due():
            trigger.act()
        result = original(*args, **kwargs)
        if plan.when == "after" and trigger.due():
            trigger.act()
        return result

    return call_now


def _after_sending(plan: Plan) -> None:
    """Act when a script's command has been written to the socket and its reply has not been read."""
    trigger = _Trigger(plan)
    wanted = b":{" if plan.step == "commit sent" else b"learner:{"

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        async def send(self: Any, command: Any, *args: Any, **kwargs: Any) -> Any:
            result = await original(self, command, *args, **kwargs)
            body = command if isinstance(command, bytes) else b"".join(command)
            learner = b"learner:{" in body
            script = b"EVALSHA" in body[:40] and len(body) > 400
            if script and wanted in body and learner == (wanted != b":{") and trigger.due():
                await asyncio.sleep(0.05)  # Redis has it now
                if plan.act == "unavailable":
                    await self.disconnect()
                    raise ConnectionError("chaos: the reply was lost")
                trigger.act()
            return result

        return send

    wrap("redis.asyncio.connection:AbstractConnection.send_packed_command", around)
