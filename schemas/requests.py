"""What an operator asks of the learner: a record of the topic `examples` beside those of scorers."""

from typing import Final, Literal

from msgspec import Struct

OPERATOR: Final = "operator"
"""The key of requests in `examples`, where a task's name stands otherwise."""
DONE: Final = "done"
BY_HAND: Final = "asked for by operator"


class Request(Struct, frozen=True):
    """`promote`: `model` serves from now on, or the league's own champion where it is empty, and what was rolled back
    is released. `rollback`: `version` serves again. `retrained`: the learner named in `model` has taken over. `budget`:
    learning an example of `task` may take so many `microseconds`, by declared costs (since 0.2).
    """

    id: str
    what: Literal["promote", "rollback", "retrained", "budget"]
    task: str = ""
    model: str = ""
    version: str = ""
    why: str = ""
    microseconds: float = 0.0

    def reason(self) -> str:
        """Return the reason that is recorded with the change; the id makes it unlike any other."""
        return f"{BY_HAND} ({self.id})" + (f": {self.why}" if self.why else "")
