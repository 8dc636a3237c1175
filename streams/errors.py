"""An error is a type, and the type is the action."""


class Unavailable(Exception):
    """Redis or Kafka is away: hold the chunk, back off, retry."""


class Fenced(Exception):
    """Somebody else owns the shard now: let go of it."""


class BudgetExceeded(Exception):
    """Less is left of a campaign's budget than the chunk used: decide it again."""


class Flood(Exception):
    """Too many records cannot be used: stop, rather than drain the topic into the dead letters."""


class Misconfigured(Exception):
    """A setting, a topic or a server is not as it must be: stop, and say what to do."""
