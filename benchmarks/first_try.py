"""What a user writes first: a Faust agent with a Table, `predict_one` and `learn_one`, and one HSET an event.

Run as a process of its own: broker, Redis, prefix, how many events. Prints its own measurement as JSON.
"""

import asyncio
import json
import sys
import time

import faust
import psutil
import redis.asyncio
from river import compose, linear_model, preprocessing

TOPICS = ("customers", "transactions", "engagements")
RESPONSES = {"opened": 0, "clicked": 0, "converted": 1}


def features(state: dict, now: float) -> dict:
    last = state["last"] or now
    return {
        "recency": now - last,
        "orders": state["orders"],
        "spend": state["spend"],
        "mean": state["spend"] / max(state["orders"], 1),
        "refunds": state["refunds"],
        "sent": state["sent"],
        "opened": state["opened"],
        "clicked": state["clicked"],
    }


def advance(state: dict, event: dict, now: float) -> None:
    kind = event["type"]
    if kind in ("purchase", "refund"):
        sign = 1 if kind == "purchase" else -1
        state["spend"] += sign * sum(line["quantity"] * line["unit_price"] for line in event["lines"])
        state["orders" if sign > 0 else "refunds"] += 1
        state["last"] = now
    elif kind in state:
        state[kind] += 1


def main(broker: str, url: str, prefix: str, count: int) -> None:
    app = faust.App(
        f"{prefix}first-try", broker=f"kafka://{broker}", store="memory://", consumer_auto_offset_reset="earliest",
        topic_partitions=4, web_enabled=False, topic_disable_leader=True,
    )  # fmt: skip
    topic = app.topic(*(prefix + name for name in TOPICS), value_type=bytes, value_serializer="raw")
    table = app.Table("state", default=dict, partitions=4)
    client = redis.asyncio.Redis.from_url(url)
    model = compose.Pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression())
    fresh = {"orders": 0, "refunds": 0, "spend": 0.0, "last": 0.0, "sent": 0, "opened": 0, "clicked": 0}
    began: list[tuple[float, float]] = []
    process, done, peak = psutil.Process(), 0, 0

    @app.agent(topic)
    async def score(stream):
        nonlocal done, peak
        async for body in stream:
            if not began:
                began.append((time.perf_counter(), time.process_time()))
            event = json.loads(body)
            customer = event["customer_id"] or event["event_id"]
            now = time.mktime(time.strptime(event["occurred_at"][:19], "%Y-%m-%dT%H:%M:%S"))
            state = table.get(customer) or dict(fresh)
            advance(state, event, now)
            table[customer] = state
            x = features(state, now)
            response = model.predict_proba_one(x).get(True, 0.0)
            if event["type"] in RESPONSES:
                model.learn_one(x, bool(RESPONSES[event["type"]]))
            await client.hset(f"{prefix}first:{customer}", mapping={"response": response, "orders": state["orders"]})
            done += 1
            if done % 500 == 0 or done == count:
                peak = max(peak, process.memory_info().rss)
            if done == count:
                wall, cpu = began[0]
                report = {
                    "events": done,
                    "seconds": time.perf_counter() - wall,
                    "cpu": time.process_time() - cpu,
                    "peak": peak,
                }
                print(json.dumps(report), flush=True)

    async def run() -> None:
        await app.start()
        await asyncio.Event().wait()

    asyncio.run(run())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
