"""Stable draws: who is held out, and a trigger's id.

Hashes, never a generator: a chunk decided again decides the same.
"""

from hashlib import blake2b
from typing import Final

import msgspec

_ENCODER: Final = msgspec.json.Encoder()


def _digest(size: int, *parts: str) -> bytes:
    # As a JSON list, so that ("ab", "c") and ("a", "bc") differ.
    return blake2b(_ENCODER.encode(parts), digest_size=size).digest()


def trigger_id(campaign_id: str, customer_id: str, cause: str) -> str:
    """The decision's name for ever: 32 hexadecimal digits.

    Examples
    --------
    >>> trigger_id("win_back", "c1", "silence:1700000000")
    'f51d626d14d715a15629c5a50dcc0284'
    """
    return _digest(16, campaign_id, customer_id, cause).hex()


def draw(campaign_id: str, customer_id: str, salt: str) -> float:
    """A number in [0, 1), uniform over customers, the same at every moment."""
    return int.from_bytes(_digest(8, campaign_id, customer_id, salt)) // 2**11 / 2**53


def is_held_out(campaign_id: str, customer_id: str, salt: str, share: float) -> bool:
    """Whether the customer is a control of this campaign. `share` is in [0, 1]."""
    return draw(campaign_id, customer_id, salt) < share
