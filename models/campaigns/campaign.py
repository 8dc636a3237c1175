"""One campaign, as a user writes it in TOML, checked before anything runs."""

import re
import tomllib
from collections.abc import Sequence
from datetime import datetime, time, tzinfo
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct, field

from models.campaigns.audience import Audience, AudienceError

Kind = Literal[
    "silence",
    "customer",
    "purchase",
    "refund",
    "sent",
    "withheld",
    "opened",
    "clicked",
    "converted",
    "unsubscribed",
]
Clock = Annotated[str, Meta(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$")]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Id = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9_-]{0,63}$")]
MAX_CONTACTS: Final = 100
"""The largest cap, in contacts: so many times are remembered of a customer at most."""


class CampaignError(ValueError):
    """A campaign that cannot run. The message names the file and the field."""


class Cap(Struct, frozen=True, forbid_unknown_fields=True):
    """At most so many contacts in so many days, over all campaigns."""

    contacts: Annotated[int, Meta(ge=1, le=MAX_CONTACTS)]
    days: Annotated[float, Meta(gt=0, le=3650)]


class QuietHours(Struct, frozen=True, forbid_unknown_fields=True):
    """No contact from `begin` until before `end`, by the shop's clock, over midnight if `end` is earlier."""

    begin: Clock = field(name="from")
    end: Clock = field(name="to")

    def __post_init__(self) -> None:
        """Refuse hours that could mean a whole day as well as none."""
        if self.begin == self.end:
            raise ValueError("`from` and `to` must differ")

    def cover(self, at: float, zone: tzinfo) -> bool:
        """Whether `at` (epoch seconds) is quiet."""
        begin, end = time.fromisoformat(self.begin), time.fromisoformat(self.end)
        now = datetime.fromtimestamp(at, zone).time()
        return begin <= now < end if begin < end else now >= begin or now < end


class CampaignFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fields of a campaign's file.

    `hold_out` is the share of customers never contacted, in [0, 1], drawn by `salt`: another salt
    draws other customers. `value` is what a response is worth and `cost` what a contact costs, both
    in the shop's currency; with a cost, a contact must be expected to bring it in. `budget` is how many
    contacts there may be in all, over all shards and for ever; controls use none of it.
    """

    id: Id
    name: Name
    channel: Annotated[str, Meta(min_length=1, max_length=64)]
    when: Annotated[frozenset[Kind], Meta(min_length=1)]
    audience: Annotated[str, Meta(min_length=1)]
    cap: Cap
    cooldown_days: Annotated[float, Meta(ge=0, le=3650)]
    hold_out: Annotated[float, Meta(ge=0, le=1)]
    expires_hours: Annotated[float, Meta(gt=0, le=8760)]
    consent: bool = True
    priority: int = 0
    quiet_hours: QuietHours | None = None
    salt: Annotated[str, Meta(max_length=64)] = ""
    value: Annotated[float, Meta(ge=0, le=1e9)] = 0.0
    cost: Annotated[float, Meta(ge=0, le=1e9)] = 0.0
    budget: Annotated[int, Meta(ge=0, le=1_000_000_000)] | None = None


class Campaign(Struct, frozen=True):
    """A campaign ready to decide: what its file says, its audience compiled, the shop's timezone."""

    spec: CampaignFile
    audience: Audience
    zone: tzinfo

    @property
    def id(self) -> str:
        """The campaign's name in triggers and metrics."""
        return self.spec.id


def _explained(source: str, error: msgspec.ValidationError) -> CampaignError:
    message, _, path = str(error).partition(" - at ")
    unnamed = re.search(r"(?:unknown|missing required) field `(.+)`", message)
    parts = [path.strip("`").removeprefix("$").lstrip("."), unnamed[1] if unnamed else ""]
    return CampaignError(f"{source}: {'.'.join(filter(None, parts)) or 'campaign'}: {message}")


def _misread(source: str, text: str, expression: str, error: AudienceError) -> CampaignError:
    """Say where in the file. An expression written with escapes is not found there: then where in itself."""
    key = re.search(r"^\s*audience\s*=", text, re.MULTILINE)
    start = text.find(expression, key.end() if key else 0)
    if start < 0:
        return CampaignError(f"{source}: audience: line {error.line}, column {error.column} of it: {error}")
    before = text[:start]
    column = error.column + (start - before.rfind("\n") - 1 if error.line == 1 else 0)
    return CampaignError(f"{source}: audience: line {before.count(chr(10)) + error.line}, column {column}: {error}")


def _table(text: str, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CampaignError(f"{source}: no TOML: {error}") from None
    except RecursionError:
        raise CampaignError(f"{source}: no TOML: nested too deeply") from None


def parse(text: str, source: str, feature_names: Sequence[str], zone: tzinfo) -> Campaign:
    """One campaign from its file's text.

    Parameters
    ----------
    text
        TOML.
    source
        The file's name, for errors.
    feature_names
        What audiences may name as `features.<name>`.
    zone
        Where quiet hours are.

    Raises
    ------
    CampaignError
        Whatever is wrong with the text, this is the only error.
    """
    try:
        spec = msgspec.convert(_table(text, source), CampaignFile)
    except msgspec.ValidationError as error:
        raise _explained(source, error) from None
    try:
        return Campaign(spec, Audience(spec.audience, feature_names), zone)
    except AudienceError as error:
        raise _misread(source, text, spec.audience, error) from None
