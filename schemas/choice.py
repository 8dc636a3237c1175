"""What brand choice is compiled to: weights and markets as plain numbers, JSON."""

from typing import Final

import msgspec
from msgspec import Struct, field


class Standing(Struct):
    """One brand in its category, as choices have shown it.

    `weight` counts its choices, older ones less. `usual` is the usual log price; None where none was seen.
    `offset` is what the brand is liked beyond all else, in log odds; `curvature` how much is known of that.
    """

    weight: float = 0.5
    usual: float | None = None
    offset: float = 0.0
    curvature: float = 2.0


class ChoiceModel(Struct, frozen=True, kw_only=True):
    """Utility is `offset + sum(weights * features)`; probabilities are its softmax. Markets by category."""

    version: str
    features: tuple[str, ...]
    weights: tuple[float, ...]
    markets: dict[str, dict[str, Standing]] = field(default_factory=dict)


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(ChoiceModel)


def encode_choice(model: ChoiceModel) -> bytes:
    """JSON, one object."""
    return _ENCODER.encode(model)


def decode_choice(body: bytes) -> ChoiceModel:
    """Read what `encode_choice` wrote. Raises `msgspec.ValidationError`."""
    return _DECODER.decode(body)
