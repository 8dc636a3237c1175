"""What an operator sees of the models in Redis, and how a request reaches the learner."""

import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import kafka
import msgpack
import msgspec
from kafka.errors import KafkaError

from models.serving_set import COLD
from schemas.requests import OPERATOR, Request
from streams.errors import Fenced, Misconfigured, Unavailable
from streams.kafka.security import for_python
from streams.redis.keys import Keys
from streams.redis.models import Pin
from streams.redis.saved import PARTITION, Saved
from streams.redis.scripts import TAKE, WRITE
from streams.settings import Settings

PIN: Final = """
-- KEYS: learner, pinned. ARGV: request, pin. A request that the learner has taken up already needs no pin.
local asked = redis.call('HGET', KEYS[1], 'asked')
if asked and cjson.decode(asked)[ARGV[1]] then return 0 end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
return 1
"""
ATTEMPTS: Final = 20
"""Takings before giving up: the running learner may take itself again in between."""
FIRST: Final = "first"
"""Name of the learner that nobody named."""
LATER: Final = ("brand_choice", "sentiment", "demand")
"""Tasks that are there from their first outcome on."""
BY_LEARNER: Final = {"sentiment": 20, "demand": 1}
"""Tasks that the learner answers itself, from so many examples on: no model of theirs is published."""
LOOK: Final = 0.05
"""Seconds between looks for an answer."""


class Standing(msgspec.Struct):
    """What stands in Redis of one task: `version` is what is published, `kept` what can serve again, oldest first.

    `by_learner` says whether the learner answers, with what it has learned so far: then there is no version.
    """

    task: str
    version: str | None
    lineage: dict[str, Any]
    kept: dict[str, dict[str, Any]]
    report: dict[str, Any]
    pinned: str | None = None
    by_learner: bool = False

    @property
    def serves(self) -> str:
        """Say what serves."""
        return self.pinned or self.version or ("the learner" if self.by_learner else COLD)


def standings(client: Any, settings: Settings) -> dict[str, Standing]:
    """Return every league's standing, by task; `client` answers in text. Empty before the learner's first commit."""
    keys = Keys(settings.prefix)
    report = msgspec.json.decode(client.hget(keys.learner(PARTITION), "report") or "{}").get("tasks", {})
    versions, lineages = client.hgetall(keys.models), client.hgetall(keys.lineage)
    pins = sorted((msgspec.json.decode(pin, type=Pin) for pin in client.hvals(keys.pinned)), key=lambda pin: pin.at)
    found: dict[str, Standing] = {}
    for task in report:
        kept = {name: msgspec.json.decode(told) for name, told in client.hgetall(keys.versions(task)).items()}
        ordered = dict(sorted(kept.items(), key=lambda one: (one[1]["examples"], one[0])))
        lineage = msgspec.json.decode(lineages.get(task, "{}"))
        pinned = next((pin.version for pin in reversed(pins) if pin.task == task), None)
        answers = task in BY_LEARNER and report[task]["examples"] >= BY_LEARNER[task]
        found[task] = Standing(task, versions.get(task), lineage, ordered, report[task], pinned, answers)
    return found


def earlier(standing: Standing) -> str:
    """Return the version that a rollback without a version goes to.

    The newest of another champion than the one that serves; where there is none, the newest before the one that
    serves. Raises `Misconfigured` where none is kept.
    """
    serves = standing.pinned or standing.version
    names = list(standing.kept)
    before = names[: names.index(serves)] if serves in names else names
    champion = standing.kept.get(serves or "", standing.lineage).get("champion")
    others = [name for name in before if standing.kept[name]["champion"] != champion]
    if not before:
        raise Misconfigured(f"{standing.task} has no earlier version that is kept")
    return (others or before)[-1]


def new_id() -> str:
    """Return an id for a request."""
    return secrets.token_hex(8)


def send_request(settings: Settings, request: Request) -> int:
    """Write a request into `examples`; return its offset. Raises `Unavailable`."""
    body = msgspec.json.encode({"task": OPERATOR, "features": (), "rows": [request]})
    topic = f"{settings.prefix}examples"
    try:
        producer = kafka.KafkaProducer(**for_python(settings.kafka), acks="all")
        try:
            sent = producer.send(
                topic, body, key=OPERATOR.encode(), partition=PARTITION, headers=[(OPERATOR, request.id.encode())]
            ).get(30)
        finally:
            producer.close(5)
    except KafkaError as error:
        raise Unavailable(f"kafka: {error!r}") from error
    return int(sent.offset)


def pin(client: Any, settings: Settings, request: Request) -> bool:
    """Let scorers follow a rollback before the learner has taken it up; False where it has already."""
    keys = Keys(settings.prefix)
    body = msgspec.json.encode(Pin(request.task, request.version, time.time()))
    return bool(client.eval(PIN, 2, keys.learner(PARTITION), keys.pinned, request.id, body))


def outcome(client: Any, settings: Settings, request: str, seconds: float, now: Callable[[], float]) -> str | None:
    """Wait for what became of a request: `done`, or why it was refused; None where the learner did not answer."""
    deadline = now() + seconds
    while True:
        asked = client.hget(Keys(settings.prefix).learner(PARTITION), "asked")
        found: str | None = msgspec.json.decode(asked or "{}").get(request)
        if found is not None or now() > deadline:
            return found
        time.sleep(LOOK)


# Learners that were trained anew.


def retrained(client: Any, settings: Settings) -> dict[str, dict[str, Any]]:
    """Return learners that were trained anew and do not serve, by name; `client` answers in text."""
    found = client.hgetall(Keys(settings.prefix).retrained)
    return {name: msgspec.json.decode(told) for name, told in sorted(found.items())}


def drop(client: Any, settings: Settings, name: str) -> bool:
    """Forget a learner that was trained anew; False where there is none."""
    keys, found = Keys(settings.prefix), retrained(client, settings).get(name)
    if found is None:
        return False
    client.hdel(keys.retrained, name)
    for piece in Saved.of(found["fields"]).keys:
        client.unlink(piece)
    return True


def take_over(client: Any, settings: Settings, name: str) -> str:
    """Put a learner that was trained anew in the place of the one that serves; return the name that one is kept by.

    The learner is taken and written as a worker would: who runs is fenced, takes itself again, and so reads on with
    the new one from where that one stands.

    Raises
    ------
    Misconfigured
        There is no such learner.
    Fenced
        The running learner took itself again each time.
    """
    keys = Keys(settings.prefix)
    learner = keys.learner(PARTITION)
    found = retrained(client, settings).get(name)
    if found is None:
        raise Misconfigured(f"no learner {name} was trained anew: `models list` shows which there are")
    pieces = Saved.of(found["fields"]).keys
    for _ in range(ATTEMPTS):
        flat = client.eval(TAKE, 1, learner, 1)
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        before = _name_of_former(client, settings, name)
        kept = {one: fields.get(one, empty) for one, empty in EMPTY.items()}
        report = msgspec.json.decode(fields.get("report", "{}"))
        serving = Saved.of(kept)
        older = msgspec.json.decode(fields.get("before", "{}"), type=Saved)
        told = {
            "offset": serving.log.next, "records": None, "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "report": report, "fields": kept,
        }  # fmt: skip
        commands: list[list[Any]] = [
            ["HSET", learner, *(text for pair in found["fields"].items() for text in pair)],
            ["HDEL", learner, "before"],  # what serves now has none yet
            *(["UNLINK", piece] for piece in sorted(older.keys - serving.keys)),  # nobody goes back to it
            ["HDEL", keys.retrained, name],
            ["HSET", keys.retrained, before, msgspec.json.encode(told)],
        ]
        body = msgpack.packb([commands, list(pieces)], use_bin_type=False)
        done, _ = client.eval(WRITE, 1, learner, fields["head"], body, secrets.token_hex(8))
        if done == 1:
            return before
    raise Fenced("the running learner was quicker each time: try again")


EMPTY: Final = {"log": "{}", "taken": "{}", "pieces": "[]", "parts": "{}"}


def _name_of_former(client: Any, settings: Settings, name: str) -> str:
    """Name under which what served is kept: its own, if it can be told from the versions it published."""
    lineages = client.hvals(Keys(settings.prefix).lineage)
    learner = next((msgspec.json.decode(told)["learner"] for told in lineages), "") or FIRST
    return learner if learner != name else f"{name}-before"
