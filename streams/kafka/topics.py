"""The topics that the job needs."""

from typing import Final

from kafka import KafkaAdminClient
from kafka.admin import NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError

from schemas.codec import INPUT_TOPICS
from streams.errors import Misconfigured, Unavailable
from streams.kafka.security import for_python

FOREVER: Final = {"retention.ms": "-1", "retention.bytes": "-1"}
"""To learn again from Kafka, it must still be there."""
TWICE: Final = {"max.message.bytes": "2100000"}
AS_BROKER: Final = -1
"""As many replicas as the broker's `default.replication.factor` says."""


def ensure_topics(broker: str, prefix: str, partitions: int, replication: int = AS_BROKER) -> list[str]:
    """Make what is missing.

    Returns
    -------
    list
        Names of the topics made.

    Raises
    ------
    Misconfigured
        A topic is there with other partitions than the inputs must share.
    Unavailable
        Kafka does not answer.
    """
    wanted = dict.fromkeys(INPUT_TOPICS, (partitions, FOREVER)) | {
        "examples": (1, FOREVER | TWICE),
        "triggers": (partitions, {}),
        "dead-letters": (1, TWICE),
    }
    try:
        admin = KafkaAdminClient(**for_python(broker))
        try:
            there = set(admin.list_topics())
            made = [name for name in wanted if prefix + name not in there]
            topics = [
                NewTopic(prefix + name, wanted[name][0], replication, topic_configs=dict(wanted[name][1]))
                for name in made
            ]
            if topics:
                admin.create_topics(topics)
            described = admin.describe_topics([prefix + name for name in INPUT_TOPICS if name not in made])
        finally:
            admin.close()
    except TopicAlreadyExistsError:
        return ensure_topics(broker, prefix, partitions, replication)
    except KafkaError as error:
        raise Unavailable(f"kafka at {broker}: {error}") from error
    for topic in described:
        found = len(topic["partitions"])
        if found != partitions:
            name = topic.get("name") or topic.get("topic")
            raise Misconfigured(
                f"topic {name} has {found} partitions, not {partitions}: the inputs must have the same number"
            )
    return [prefix + name for name in made]
