"""Rounds: one fault each, drawn by the seed; after it the oracle, and how long events stood still."""

from __future__ import annotations

import random
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from chaos.faults import FAULTS, remove
from chaos.flow import Flow, Moves
from chaos.found import Found, find
from chaos.inject import ACTS, SENT, STEPS, WHENS, Plan
from chaos.job import Job
from chaos.mutations import MUTATIONS, STUCK
from chaos.oracle import judge
from chaos.pins import learned
from chaos.records import Input, make
from chaos.stack import OwnStack

EVENTS, CUSTOMERS, PARTITIONS, INPUTS = 2_000, 600, 4, 1
BROKEN = 0.03
"""Of all events: every kind once and more."""
CHUNKS = (20, 100, 300)
"""Records and timers that are handled at once: drawn for each round. What comes out must not depend on it."""
PATIENCE = 400.0


@dataclass
class Round:
    """What was done, and what came of it."""

    number: int
    kind: str
    workers: int
    pinned: bool
    chunk: int
    events: int = 0
    seconds: float = 0.0
    still: float | None = None
    nth: int | None = None
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        models = "pinned" if self.pinned else "live"
        still = "-" if self.still is None else f"{self.still:.1f} s"
        verdict = "equal" if not self.wrong else f"{len(self.wrong)} DIFFERENCES"
        return (
            f"{self.number:>4} {self.kind:<42} {self.workers} workers, chunks of {self.chunk:>3}, models {models:<6}  "
            f"{self.seconds:>5.0f} s, still {still:>7}: {verdict}"
        )


def injections() -> list[Plan]:
    """Every step, just before and just after it, each way to go wrong."""
    acts = [act for act in ACTS if act != "wait"]
    plans = [Plan(step, when, act) for step in STEPS for when in WHENS for act in acts]
    return plans + [Plan(step, "after", act) for step in SENT for act in ("kill", "unavailable")]


class Rounds:
    """Runs rounds on one stack, each beside the calm run of the same input."""

    def __init__(self, stack: OwnStack, folder: Path, seed: int, events: int = EVENTS, *, offline: bool = True) -> None:
        self.stack, self.folder, self.seed, self.events = stack, folder, seed, events
        self.offline = offline
        self._calm: dict[tuple[int, bool, int], Found] = {}
        self._inputs: dict[int, Input] = {}

    def input(self, number: int) -> Input:
        """An input, by its number."""
        if number not in self._inputs:
            self._inputs[number] = make(f"{self.seed}-{number}", self.events, PARTITIONS, CUSTOMERS, BROKEN)
        return self._inputs[number]

    def calm(self, number: int, *, pinned: bool, chunk: int = 100) -> Found:
        """The undisturbed run of an input; it must be right by itself, and equal to those of other chunks.

        Raises
        ------
        RuntimeError
            It is not.
        """
        key = number, pinned, chunk
        if key not in self._calm:
            made, folder = self.input(number), self.folder / f"calm-{number}-{pinned}-{chunk}"
            job = Job(self.stack, made, folder, learned() if pinned else None, chunk_size=chunk)
            job.start()
            try:
                job.run_until(job.settled, PATIENCE, "the calm run")
                found = find(job)
            finally:
                job.end()
            other = next((one for (n, pin, _), one in self._calm.items() if (n, pin) == (number, pinned)), None)
            wrong = judge(found, other, made, job.settings.policy, pinned=pinned, offline=self.offline)
            if wrong:
                raise RuntimeError("the undisturbed run is wrong: " + "; ".join(wrong))
            self._calm[key] = found
            job.remove()
            remove(folder)
        return self._calm[key]

    def draw(self, rounds: int) -> Iterator[tuple[int, str | Plan]]:
        """Faults from outside and from inside by turns, in an order drawn by the seed."""
        rng = random.Random(f"rounds {self.seed}")
        several = len(self.stack.brokers) > 1
        names = [name for name in FAULTS if several or name != "brokers restarted in turn"]
        outside: list[str] = []
        inside: list[Plan] = []
        for number in range(rounds):
            outside = outside or rng.sample(names, len(names))
            inside = inside or rng.sample(injections(), len(injections()))
            yield number, outside.pop() if number % 3 else inside.pop()

    def run(self, number: int, fault: str | Plan) -> Round:
        """Run one round."""
        rng = random.Random(f"round {self.seed} {number}")
        which, pinned = rng.randrange(INPUTS), rng.random() < 0.75
        plan = fault if isinstance(fault, Plan) else Plan()
        plan.nth = rng.randint(1, 12) if plan.step in ("load", "commit", "commit sent") else rng.randint(1, 4)
        kind = f"{plan.act} {plan.when} {plan.step}" if plan.step else str(fault)
        workers = rng.choice([1, 2, 2, 3] if plan.step is None else [1, 1, 2])
        chunk = rng.choice(CHUNKS)
        plan.pace = (rng.choice([0.3, 0.6, 0.9]) if plan.step is None else 0.1) * chunk / 100
        done = Round(number, kind, workers, pinned, chunk, nth=plan.nth if plan.step else None)
        began, folder = time.monotonic(), self.folder / f"round-{number}"
        try:
            calm, made = self.calm(which, pinned=pinned, chunk=chunk), self.input(which)
            began = time.monotonic()
            job = self._disturbed(made, folder, done, fault, plan, rng)
            done.wrong += job.complaints
            done.wrong += judge(find(job), calm, made, job.settings.policy, pinned=pinned, offline=self.offline)
            if not done.wrong:
                job.remove()
        except Exception as error:  # noqa: BLE001 - a round that does not end is a finding, not the end of all rounds
            done.wrong.append(f"{type(error).__name__}: {error}\n{traceback.format_exc(limit=3)}")
        done.seconds = time.monotonic() - began
        if not done.wrong:
            remove(folder)
        return done

    def mutate(self, name: str, patience: float = 60.0) -> list[str]:
        """Run the product broken in one way; returns the differences found, beside the calm run of the whole one.

        A job in which nothing has moved for `patience` seconds is stuck, and compared all the same. One that still moves
        when nobody waits any more is not compared: what it has not done yet is no difference.
        """
        mutation = MUTATIONS[name]
        rng = random.Random(f"mutation {self.seed} {name}")
        chunk = mutation.chunk or rng.choice((50, 100))
        calm, made = self.calm(0, pinned=True, chunk=chunk), self.input(0)
        job = Job(self.stack, made, self.folder / name.replace(" ", "-"), learned(), chunk_size=chunk)
        pace = mutation.plan.pace or (0.6 if mutation.fault else 0.05)
        job.start(replace(mutation.plan, mutation=name, pace=pace))
        for _ in range(mutation.workers - 1):
            job.start(Plan(mutation=name, pace=pace))
        stuck = []
        try:
            if mutation.fault:
                job.run_until(partial(job.reached, 0.2), PATIENCE, "a part")
                job.run_until(job.shared, PATIENCE, "every worker has its part")
                FAULTS[mutation.fault](job, rng)
            moves = Moves(job)
            job.run_until(lambda: moves.still() > patience or job.finished(), PATIENCE, "settled")
            if not job.acted():
                return ["unfinished: the plan has not acted"]
            if not job.settled():
                stuck.append(f"{STUCK}: nothing has moved for {patience:.0f} s: {moves.stands}")
        except TimeoutError as error:
            return [f"unfinished: {error}"]
        except RuntimeError as error:
            stuck.append(f"{STUCK}: {error}")
        finally:
            job.end()
        return stuck + judge(find(job), calm, made, job.settings.policy, pinned=True, offline=self.offline)

    def _disturbed(
        self, made: Input, folder: Path, done: Round, fault: str | Plan, plan: Plan, rng: random.Random
    ) -> Job:
        """Run a job to its end with a fault in it: a step that does not come so often is disturbed at its first time."""
        job = Job(self.stack, made, folder, learned() if done.pinned else None, chunk_size=done.chunk)
        done.events = job.total
        if self._disturb(job, done, fault, plan, rng):
            return job
        if plan.nth == 1:
            raise RuntimeError("the plan has not acted")
        job.remove()
        remove(folder)
        done.nth = 1
        return self._disturbed(made, folder, done, fault, replace(plan, nth=1, once=None), rng)

    def _disturb(self, job: Job, done: Round, fault: str | Plan, plan: Plan, rng: random.Random) -> bool:
        """Returns whether the fault has come."""
        for _ in range(done.workers):
            job.start(plan)
        with Flow(job) as flow:
            try:
                if isinstance(fault, str):
                    job.run_until(partial(job.reached, rng.uniform(0.1, 0.4)), PATIENCE, "a part")
                    fell, healed = FAULTS[fault](job, rng)
                job.run_until(job.finished, PATIENCE, "settled")
            finally:
                self.stack.heal()
                acted = job.acted()
                codes = job.end()
            if any(codes):
                done.wrong.append(f"stop: workers told to end ended with {codes}: {job.tail(2_000)}")
            if isinstance(fault, str):
                done.still = flow.still(fell, healed)
        return acted
