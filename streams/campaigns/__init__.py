"""The campaigns that run: those of a folder, or the two examples that ship with the package."""

from collections.abc import Iterator, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from models.campaigns.campaign import Campaign, CampaignError, parse
from models.campaigns.decide import MAX_CAMPAIGNS

FEATURES = (
    "recency_days",
    "tenure_days",
    "orders",
    "refunds",
    "spend",
    "mean_order",
    "gap_mean_days",
    "gap_ratio",
    "orders_7d",
    "orders_30d",
    "orders_90d",
    "spend_7d",
    "spend_30d",
    "spend_90d",
)
"""What audiences may name: days, counts, and amounts in the shop's currency."""


def load(
    path: Path | None = None, timezone: str = "UTC", feature_names: Sequence[str] = FEATURES
) -> tuple[Campaign, ...]:
    """Read and check every campaign.

    Parameters
    ----------
    path
        A campaign's file, or a folder of `*.toml`. None: the examples of the package.
    timezone
        The shop's, by IANA name; quiet hours are in it.
    feature_names
        What audiences may name as `features.<name>`.

    Raises
    ------
    CampaignError
        Names the file, and the field where there is one.
    """
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise CampaignError(f"timezone: {timezone!r} is unknown") from None
    sources: dict[str, str] = {}
    campaigns = []
    for source, text in _texts(path):
        campaign = parse(text, source, feature_names, zone)
        if campaign.id in sources:
            raise CampaignError(f"{source}: id: {campaign.id!r} is also the id in {sources[campaign.id]}")
        sources[campaign.id] = source
        campaigns.append(campaign)
    if len(campaigns) > MAX_CAMPAIGNS:
        raise CampaignError(f"{path}: {len(campaigns)} campaigns, of {MAX_CAMPAIGNS} allowed")
    return tuple(campaigns)


def _texts(path: Path | None) -> Iterator[tuple[str, str]]:
    """Each file's name and text, by name."""
    for file in sorted(_files(path), key=lambda file: file.name):
        try:
            yield file.name, file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CampaignError(f"{file.name}: cannot be read: {error}") from None


def _files(path: Path | None) -> list[Traversable]:
    root: Traversable = files(__package__) if path is None else path
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise CampaignError(f"{path}: there is no such file or folder")
    return [file for file in root.iterdir() if file.name.endswith(".toml")]
