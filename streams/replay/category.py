"""A category a line, from words of its description. The data have none; this rule is ours."""

from typing import Final

SERVICE_CODES: Final = frozenset({"POST", "D", "M", "DOT", "BANK CHARGES", "CRUK", "AMAZONFEE", "S", "B", "PADS", "C2"})
"""Product ids that are no goods: postage, discounts, fees, samples, adjustments."""
RULE: Final = (
    ("christmas", ("CHRISTMAS", "XMAS", "ADVENT", "SANTA", "REINDEER", "SNOWFLAKE", "BAUBLE")),
    ("bags", ("BAG", "SHOPPER", "PURSE", "SUITCASE", "HANDBAG")),
    ("lights", ("LIGHT", "CANDLE", "LANTERN", "LAMP", "CANDLES", "LIGHTS")),
    ("lunch_bottle", ("LUNCH", "BOTTLE", "SNACK", "FLASK", "PICNIC")),
    ("kitchen", ("MUG", "CUP", "TEA", "CAKE", "CAKESTAND", "BOWL", "PLATE", "JAR", "JUG", "BAKING", "KITCHEN", "SPOON",
                 "APRON", "COASTER", "TEACUP", "TEAPOT", "BREAD", "PANTRY", "RECIPE", "CAKES", "MUGS", "JAM")),
    ("paper_party", ("PAPER", "CARD", "CARDS", "WRAP", "PARTY", "BUNTING", "NAPKINS", "STICKER", "STICKERS", "TISSUES",
                     "RIBBON", "RIBBONS", "BALLOONS", "GIFT", "DOILY", "DOILIES")),
    ("storage", ("BOX", "TIN", "TINS", "BASKET", "DRAWER", "CABINET", "STORAGE", "BOXES", "TRINKET", "HOLDER")),
    ("wall_deco", ("SIGN", "FRAME", "CLOCK", "HANGING", "WALL", "HOOK", "MIRROR", "HEART", "DECORATION", "ORNAMENT",
                   "METAL", "CHALKBOARD", "WREATH")),
)  # fmt: skip
"""The first category of which a word is in the description; otherwise `other`."""


def category(product_id: str, description: str) -> str:
    """Category of one line.

    >>> category("22423", "REGENCY CAKESTAND 3 TIER"), category("POST", "POSTAGE"), category("1", "")
    ('kitchen', 'service', 'other')
    """
    if product_id.upper() in SERVICE_CODES:
        return "service"
    words = frozenset(description.upper().replace("/", " ").replace("-", " ").replace(",", " ").split())
    return next((name for name, wanted in RULE if not words.isdisjoint(wanted)), "other")
