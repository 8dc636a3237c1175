"""The pure function: a chunk, its customers and the models in, all that it changes out."""

from models.customers.attributes import contact_pairs
from models.serving_set import ServingSet
from models.shard.chunk import Chunk, Shop
from models.shard.decide import BY_WINDOW, Decider, shortened
from models.shard.score import Scores, score
from models.shard.walk import Walk, walk
from models.shard.write import write_examples, write_scores, write_states
from schemas.commit import Commit, Opened
from schemas.events import Contact


def handle(shard: Chunk, shop: Shop, models: ServingSet, now: float) -> Commit:
    """All that a chunk changes.

    Parameters
    ----------
    shard
        The chunk and the customers it concerns; their states are changed in place.
    models
        What is scored with, for the whole chunk.
    now
        Epoch seconds; decides which triggers are stale, and nothing else.

    Returns
    -------
    Commit
        The same events in any cut into chunks give the same states, scores, examples and triggers,
        to the bit, as long as the models are the same.
    """
    commit = Commit(shard.place)
    walked = walk(shard, shop, commit)
    offers = {
        step.row: contact_pairs(step.event.campaign_id, step.event.channel, step.event.attributes)
        for step in walked.steps
        if step.row is not None and isinstance(step.event, Contact)
    }
    asked = [step.row for step in walked.last.values() if step.row is not None]
    scores = score(walked.rows, walked.pairs, offers, models, asked) if walked.rows else None
    decider = Decider(shard, shop, models, commit, scores, walked.rows, offers, now)
    if scores is not None:
        values = shortened(scores.values["value"])
        for relation, row in walked.opened:
            relation.features, relation.attributes = scores.packed(row), scores.packed_pairs(row)
            relation.churn = decider.churn[row]
            relation.value = values[row]
            for task in BY_WINDOW:
                commit.opened.append(Opened(task, relation.opened_at, relation.features, relation.attributes))
                commit.counts.wait_for(task, 1)
    for step in walked.steps:
        decider.take(step)
    _finish(shard, shop, walked, scores, decider, commit)
    commit.counts.add_to(commit.place.totals)
    return commit


def _finish(shard: Chunk, shop: Shop, walked: Walk, scores: Scores | None, decider: Decider, commit: Commit) -> None:
    time = commit.place.time
    if shard.until is not None:
        time = shard.until if time is None else max(time, shard.until)
    commit.place.time = time
    for customer, remembered in shard.customers.items():
        if remembered is not None and remembered.standing.pending and time is not None:
            before = len(remembered.standing.pending)
            decider.mature(customer, remembered, time)
            if len(remembered.standing.pending) != before:
                walked.touched[customer] = None
    write_states(shard, walked, commit)
    write_scores(shard, walked, scores, decider, commit)
    write_examples(shard, shop, walked, decider, commit)
