"""The floor: a bare librdkafka consumer with our own functions, and nothing of what makes a result certain.

It decodes, keeps the same state in a dict, computes the same features, scores with the same models, explains,
and writes the same hashes to Redis in pipelines. It does not learn, commit, fence, keep order between topics,
know duplicates, decide, or look at silent customers. Run as a process of its own: broker, Redis, prefix, how
many events. Prints its own measurement as JSON.
"""

import json
import sys
import time
from types import SimpleNamespace

import psutil
import redis
from confluent_kafka import Consumer

from models.brand.loyalty import loyalty
from models.brand.taste import tell
from models.customers.advance import advance, local_day
from models.customers.attributes import contact_pairs, customer_pairs
from models.customers.features import natural
from models.policy import Policy
from models.receipt import read
from models.serving_set import ServingSet
from models.shard.score import explanations, score
from models.shard.write import rfc3339
from schemas.codec import INPUT_TOPICS, decode
from schemas.events import Contact, Purchase, Refund
from schemas.segments import decode_segments
from schemas.serving import decode_model
from schemas.state import CustomerState
from streams.redis.keys import Keys

BATCH = 2_000
"""As many as the worker takes at once, so that a customer who is met again is written once here too."""


def read_models(client: redis.Redis, prefix: str) -> ServingSet:
    keys = Keys(prefix)
    tasks = {task: decode_model(client.get(keys.model(task))) for task in ("response", "churn", "value")}
    return ServingSet(**tasks, segments=decode_segments(client.get(keys.model("segments"))))


class Floor:
    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self.client, self.prefix, self.policy = client, prefix, Policy()
        self.models = read_models(client, prefix)
        self.versions = json.dumps(self.models.versions())
        self.states: dict[str, CustomerState] = {}

    def handle(self, messages: list) -> None:
        rows, pairs, offers, last, tasted = [], {}, {}, {}, set()
        for message in messages:
            event = decode(message.topic().removeprefix(self.prefix), message.value())
            customer, at = event.customer_id, event.occurred_at.timestamp()
            if customer is None:
                continue
            state = self.states.get(customer)
            if state is None:
                state = self.states[customer] = CustomerState(seen_at=at)
            receipt = read(event) if isinstance(event, Purchase | Refund) else None
            advance(state, event, at, self.policy, receipt)
            if receipt is not None and receipt.is_branded:
                tell(receipt, state.brands, at, local_day(event, self.policy))
                tasted.add(customer)
            if isinstance(event, Contact):
                offers[len(rows)] = contact_pairs(event.campaign_id, event.channel, event.attributes)
            if state.attributes:
                pairs[len(rows)] = customer_pairs(state.attributes)
            last[customer] = (len(rows), at)
            rows.append(natural(state, at, self.policy.currency))
        if rows:
            asked = [row for row, _ in last.values()]
            self.write(score(rows, pairs, offers, self.models, asked), last, tasted)

    def write(self, scores, last: dict[str, tuple[int, float]], tasted: set[str]) -> None:
        reasons = explanations(scores)
        segments, pipe = self.models.segments, self.client.pipeline(transaction=False)
        for (customer, (row, at)), reason in zip(last.items(), reasons, strict=True):
            state, segment = self.states[customer], scores.segments[row]
            fields = {
                "orders": state.orders,
                "refunds": state.refunds,
                "spend": json.dumps({name: cents / 10_000 for name, cents in state.spend.items()}),
                "segment": segment,
                "segment_name": segments.names[segment] if segment >= 0 else "",
                "response": f"{scores.values['response'][row]:.4f}",
                "churn": f"{scores.values['churn'][row]:.4f}",
                "value": f"{scores.values['value'][row]:.2f}",
                "updated_at": rfc3339(at),
                "explanation": reason,
                "models": self.versions,
            }
            if state.first_purchase is not None and state.last_purchase is not None:
                fields["first_purchase_at"] = rfc3339(state.first_purchase)
                fields["last_purchase_at"] = rfc3339(state.last_purchase)
            if customer in tasted:
                fields |= loyalty(state, self.models.brand_choice)
            pipe.hset(f"{self.prefix}floor:{customer}", mapping=fields)
        pipe.execute()


def main(broker: str, url: str, prefix: str, count: int) -> None:
    consumer = Consumer({
        "bootstrap.servers": broker, "group.id": f"{prefix}floor", "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    })  # fmt: skip
    consumer.subscribe([prefix + topic for topic in INPUT_TOPICS])
    floor = Floor(redis.Redis.from_url(url), prefix)
    done, began = 0, SimpleNamespace(wall=0.0, cpu=0.0)
    process, peak = psutil.Process(), 0
    while done < count:
        messages = consumer.consume(BATCH, 0.2)
        if not messages:
            continue
        if not done:
            began.wall, began.cpu = time.perf_counter(), time.process_time()
        floor.handle(messages)
        done += len(messages)
        peak = max(peak, process.memory_info().rss)
    report = {
        "events": done,
        "seconds": time.perf_counter() - began.wall,
        "cpu": time.process_time() - began.cpu,
        "peak": peak,
    }
    print(json.dumps(report), flush=True)
    consumer.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
