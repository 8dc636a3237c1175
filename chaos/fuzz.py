"""Records that nobody would send: good ones bent at random, and every kind of broken one, by the hundred thousand."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from chaos.broken import BROKEN
from chaos.found import Found, find
from chaos.inject import Plan
from chaos.job import Job
from chaos.oracle import letters, offsets
from chaos.records import Input, Record, make
from chaos.stack import OwnStack

LARGE = ("huge", "nested")
"""Kinds of a megabyte and of a hundred kilobytes: some of each are enough."""
TOKENS = [b"null", b"-1", b"1e999", b"NaN", b'""', b"[]", b"{}", b"\\u0000", b"\xff", b"true", b'"\\ud800"', b"9" * 30]
PATIENCE = 1_800.0


@dataclass
class Fuzzed:
    """What was found."""

    records: int = 0
    letters: int = 0
    taken: int = 0
    seconds: float = 0.0
    starts: int = 0
    wrong: list[str] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)


def draw(seed: int, records: int, partitions: int) -> Input:
    """A tenth good, a third of known kinds, the rest bent at random: `reason` is `?` where only the bytes tell."""
    rng = random.Random(f"fuzz {seed}")
    good = make(f"fuzz {seed}", max(records // 10, 1_000), partitions, broken=0.0).records
    good = [record for record in good if b'"forgotten"' not in (record.value or b"")]  # taken whatever its time
    kinds = [kind for kind in BROKEN if kind not in (*LARGE, "time jump")]
    made = Input(seed, partitions)
    for number in range(records):
        record = good[number % len(good)]
        pick = rng.random()
        if number % 2_000 == 0:
            record = BROKEN[LARGE[number // 2_000 % 2]](rng, record, 0.0, partitions)
        elif pick > 0.9 or number < 100:
            record = replace(record, reason="?")
        elif pick > 0.57:
            record = BROKEN[rng.choice(kinds)](rng, record, 0.0, partitions)
        else:
            record = replace(record, value=_bend(rng, record.value or b""), reason="?")
        made.records.append(record)
    return made


def _bend(rng: random.Random, body: bytes) -> bytes:
    """Flip, cut, repeat or put in a few bytes."""
    bent = bytearray(body)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(bent) + 1)
        how = rng.randrange(5)
        if how == 0 and at < len(bent):
            bent[at] ^= 1 << rng.randrange(8)
        elif how == 1:
            del bent[at : at + rng.randint(1, 20)]
        elif how == 2:
            bent[at:at] = bent[at : at + rng.randint(1, 40)]
        elif how == 3:
            bent[at:at] = rng.choice(TOKENS)
        else:
            bent[at : at + rng.randint(1, 8)] = rng.choice(TOKENS)
    return bytes(bent)


def fuzz(stack: OwnStack, folder: Path, seed: int, records: int) -> Fuzzed:
    """Send them, let one worker take them, and account for every one."""
    made = draw(seed, records, 4)
    job = Job(stack, made, folder, poison_share=1.0, chunk_size=500)
    began = time.monotonic()
    worker = job.start(Plan(), only="scoring")
    try:
        job.run_until(lambda: job.reached(1.0) and not find_outbox(job), PATIENCE, "all taken")
        done = Fuzzed(len(made.records), seconds=time.monotonic() - began, starts=worker.starts)
        found = find(job)
    finally:
        job.end()
    done.wrong += offsets(found, made)
    _account(done, found, made)
    return done


def find_outbox(job: Job) -> int:
    """Records that wait for Kafka."""
    with job.stack.client() as client:
        return sum(client.hlen(job.keys.outbox(n)) for n in range(job.made.partitions))


def _account(done: Fuzzed, found: Found, made: Input) -> None:
    """One letter for each that cannot be used, the same bytes; none for one that can."""
    refused, wrong = letters(found)
    done.wrong += wrong
    at: Counter[tuple[str, int]] = Counter()
    for record in made.records:
        where = record.topic, record.partition, at[record.topic, record.partition]
        at[record.topic, record.partition] += 1
        letter = refused.pop(where, None)
        _judge(done, record, letter, where)
    done.wrong += [f"a letter of nothing: {where}" for where in list(refused)[:5]]
    done.letters = sum(done.reasons.values())
    done.taken = done.records - done.letters


def _judge(done: Fuzzed, record: Record, letter: tuple[Any, ...] | None, where: object) -> None:
    if letter is not None:
        done.reasons[letter[-1]] += 1
        if letter[3:6] != (record.key, record.value, record.headers):
            done.wrong.append(f"{where}: its letter is not what came")
        if record.reason not in ("?", letter[-1]):
            done.wrong.append(f"{where}: refused as {letter[-1]}, not {record.reason}: {record.value!r:.200}")
    elif record.reason != "?" or not _readable(record.value):
        done.wrong.append(f"{where}: was taken: {record.value!r:.300}")


def _readable(body: bytes | None) -> bool:
    """Whether another JSON parser reads an object with an id and a time in it."""
    try:
        event = json.loads((body or b"").decode())
    except ValueError:
        return False
    return isinstance(event, dict) and bool(event.get("event_id")) and "T" in str(event.get("occurred_at")).upper()
