"""Break the job and compare. Ends with 1 if anything differs; everything that it draws comes from the seed."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

from chaos.fuzz import fuzz as run_fuzz
from chaos.mutations import MUTATIONS
from chaos.rounds import Round, Rounds, injections
from chaos.stack import stack
from chaos.times import MEASURES, measure

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
Seed = Annotated[int, typer.Option(help="Draws everything.")]


@app.command()
def rounds(
    rounds: int = 20,
    seed: Seed = 1,
    only: Annotated[int | None, typer.Option(help="One round of these, to see it again.")] = None,
    first: Annotated[int, typer.Option(help="Begin with this round, to run the rest elsewhere.")] = 0,
    fault: Annotated[str | None, typer.Option(help="Only rounds whose fault has this in its name.")] = None,
    steps: Annotated[
        bool, typer.Option("--steps", help="Each fault inside a worker, once, instead of a draw.")
    ] = False,
    brokers: Annotated[int, typer.Option(help="Of a cluster; 3 replicas of all where there are as many.")] = 1,
    report: Annotated[Path | None, typer.Option(help="Where to write all figures as JSON.")] = None,
) -> None:
    """Run rounds of one fault each on a Kafka and a Redis of their own."""
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    print(f"seed {seed}, {len(injections()) if steps else rounds} rounds, in {folder}", flush=True)
    done: list[Round] = []
    began = time.monotonic()
    with stack(folder / "stack", brokers) as own:
        running = Rounds(own, folder, seed)
        for number, drawn in enumerate(injections()) if steps else running.draw(rounds):
            name = drawn if isinstance(drawn, str) else f"{drawn.act} {drawn.when} {drawn.step}"
            if number < first or (only is not None and number != only) or (fault is not None and fault not in name):
                continue
            done.append(running.run(number, drawn))
            print(done[-1], flush=True)
            for line in done[-1].wrong:
                print(f"       {line}", flush=True)
    _summary(done, time.monotonic() - began)
    if report is not None:
        report.write_text(json.dumps({"seed": seed, "rounds": [asdict(one) for one in done]}, indent=1))
    sys.exit(any(one.wrong for one in done))


def _summary(done: list[Round], seconds: float) -> None:
    print(f"{len(done)} rounds, {sum(one.events for one in done):,} events, {seconds:.0f} s")
    for kind, n in Counter(one.kind for one in done).most_common():
        still = sorted(one.still for one in done if one.kind == kind and one.still is not None)
        said = f"still p50 {median(still):.1f} s, max {still[-1]:.1f} s" if still else ""
        wrong = sum(bool(one.wrong) for one in done if one.kind == kind)
        print(f"  {n:>3} {kind:<44} {said} {f'{wrong} WITH DIFFERENCES' if wrong else ''}")


@app.command()
def times(
    times: Annotated[int, typer.Option(help="How often each fault is done.")] = 10,
    seed: Seed = 1,
    only: Annotated[str | None, typer.Option(help="Those with this in their name.")] = None,
) -> None:
    """Do a fault again and again while events come without end: how long until every shard moves again."""
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    with stack(folder / "stack") as own:
        for name in [name for name in MEASURES if only is None or only in name]:
            seconds, notes = measure(own, folder / name.replace(" ", "-"), seed, name, times)
            each = ", ".join(f"{one:.1f}" for one in seconds)
            print(f"{name}: {len(seconds)} times, p50 {median(seconds):.1f} s, max {max(seconds):.1f} s ({each})")
            for line in notes:
                print(f"    {line}", flush=True)


@app.command()
def fuzz(records: int = 200_000, seed: Seed = 1) -> None:
    """Send fuzzed records: no stop, no loss, one dead letter for each that cannot be used."""
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    with stack(folder / "stack") as own:
        done = run_fuzz(own, folder / "fuzz", seed, records)
    print(
        f"{done.records:,} records, {done.letters:,} dead letters, {done.taken:,} taken, {done.seconds:.0f} s, "
        f"worker started {done.starts} times"
    )
    for reason, n in done.reasons.most_common():
        print(f"  {n:>9,} {reason}")
    for line in done.wrong[:20]:
        print(f"  {line}")
    sys.exit(bool(done.wrong) or done.starts > 1)


@app.command()
def mutations(
    seed: Seed = 1, only: Annotated[str | None, typer.Option(help="Those with this in their name.")] = None
) -> None:
    """Break the product on purpose: the oracle must see each one."""
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    unseen = []
    with stack(folder / "stack") as own:
        running = Rounds(own, folder, seed, events=2_000, offline=False)
        for name in [name for name in MUTATIONS if only is None or only in name]:
            began = time.monotonic()
            wrong = running.mutate(name)
            seen = sorted({line.split(":")[0] for line in wrong})
            caught = [check for check in seen if check in MUTATIONS[name].seen_by]
            unseen += [] if caught else [name]
            verdict = f"caught by {', '.join(caught)}" if caught else f"NOT CAUGHT, seen {seen}"
            print(f"{name:<32} {time.monotonic() - began:>5.0f} s: {verdict}", flush=True)
            for line in wrong if not caught else wrong[:1]:
                print(f"       {line:.300}", flush=True)
    print(f"{len(unseen)} not caught")
    sys.exit(bool(unseen))


if __name__ == "__main__":
    app()
