"""Who is the best within the mixture: it moves from one to another without any change of who serves."""

from collections.abc import Mapping

from msgspec import Struct, field

from models.league.promotion import Contest


class Lead(Struct):
    """The leading member, and the evidence of the others against it; the same test as for who serves."""

    name: str
    contest: Contest = field(default_factory=Contest)

    def update(self, losses: Mapping[str, float]) -> None:
        """Take in every member's loss on one example."""
        if self.name in losses:
            self.contest.update(losses[self.name], {name: loss for name, loss in losses.items() if name != self.name})

    def look(self) -> float | None:
        """Let the one lead that has shown to be better; return its evidence, None where nobody has."""
        winner = self.contest.winner(list(self.contest.wealth))
        if winner is None:
            return None
        evidence = self.contest.evidence(winner)
        self.name, self.contest = winner, Contest()
        return evidence
