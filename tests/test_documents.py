"""What the documents list is what the code has."""

import re
from pathlib import Path

import msgspec
import typer
from typer.testing import CliRunner

from models.campaigns.audience import DOUBLES, INTS, STRINGS
from models.campaigns.campaign import CampaignFile
from models.customers.catalogue import CATALOGUE, SCALING
from schemas.codec import json_schemas
from streams.campaigns import FEATURES
from streams.cli import app
from streams.metrics import Metrics
from streams.settings import Settings

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def headings(page):
    return re.findall(r"^## (\S+)", (DOCS / page).read_text(), re.MULTILINE)


def test_every_setting_has_a_heading_and_no_other_has():
    assert sorted(headings("settings.md")) == sorted(f"STREAMSCORE_{name.upper()}" for name in Settings.model_fields)


def test_every_default_is_the_one_that_is_documented():
    page = (DOCS / "settings.md").read_text()
    for name, field in Settings.model_fields.items():
        words = page.split(f"## STREAMSCORE_{name.upper()}\n")[1].split("## ")[0]
        shown = re.search(r"Default: (?:`([^`]*)`|(none|empty))\.", words)
        assert shown, name
        expected = {None: "none", "": "empty"}.get(field.default, str(field.default))
        assert (shown[1] or shown[2]) == expected, name


def test_every_command_is_in_the_list_and_no_other_is():
    listed = re.findall(r"^\| `([a-z-]+)` \|", (DOCS / "cli.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(typer.main.get_command(app).commands)


def test_every_field_of_a_campaign_and_every_name_of_an_audience_is_listed():
    page = (DOCS / "campaigns.md").read_text()
    fields, names = page.split("| field |")[1].split("`audience` is an expression")
    listed = [
        name for row in re.findall(r"^\| (`.+?`) \|", fields, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    ]
    assert sorted(listed) == sorted(CampaignFile.__struct_fields__)
    known = set(re.findall(r"`(\w+)`", names))
    assert known >= {*FEATURES, *DOUBLES, *INTS, *STRINGS}


def test_every_feature_is_listed_with_what_the_catalogue_says_and_no_other_is():
    page = (DOCS / "features.md").read_text()
    listed = re.findall(r"^\| `(\w+)` \| (.+?) \| `(\w+)` \| (.+) \|$", page, re.MULTILINE)
    assert listed == [(one.name, one.unit, one.owner, one.meaning) for one in CATALOGUE]
    assert f"`{SCALING[: SCALING.index(', within')]}`" in page


def test_the_command_lists_every_feature():
    table = CliRunner().invoke(app, ["models", "features"])
    found = msgspec.json.decode(CliRunner().invoke(app, ["models", "features", "--json"]).stdout)
    assert [one["name"] for one in found] == [one.name for one in CATALOGUE]
    assert set(found[0]) == {"name", "unit", "meaning", "owner", "scaling"}
    assert all(one.name in table.stdout for one in CATALOGUE)


def test_every_metric_that_a_page_names_exists_and_has_these_labels():
    metrics = Metrics()
    metrics.pending(0)  # declared once it is measured
    declared = {}
    for collector, names in metrics.registry._collector_to_names.items():
        declared |= {name: set(getattr(collector, "_labelnames", ())) for name in names}
    named = [
        (page.name, name, set(re.findall(r"(\w+)(?:=\"[^\"]*\")?(?:,|$)", labels)))
        for page in [ROOT / "README.md", *DOCS.glob("*.md")]
        for name, labels in re.findall(r"\b(streamscore_\w+)(?:\{([^}]*)\})?", page.read_text())
    ]
    assert len(named) > 20
    assert [one for one in named if one[1] not in declared or not one[2] <= declared[one[1]]] == []


def test_every_entry_of_the_runbook_names_a_metric_that_shows_it():
    runbook = (DOCS / "guarantees.md").read_text().split("## Runbook")[1]
    entries = re.split(r"^### ", runbook, flags=re.MULTILINE)[1:]
    assert len(entries) > 10
    assert [one.splitlines()[0] for one in entries if not re.search(r"Shows:[^:]*`(?:streamscore_\w+|up`)", one)] == []


def test_every_link_between_pages_leads_somewhere():
    for page in [ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")]:
        if "_build" in page.parts:
            continue
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_checked_in_json_schemas_are_those_of_the_code():
    import msgspec

    for topic, schema in json_schemas().items():
        file = ROOT / "schemas" / "json" / f"{topic}.json"
        assert msgspec.json.decode(file.read_bytes()) == msgspec.json.decode(msgspec.json.encode(schema)), file.name


def test_pages_name_no_machine():
    told = re.compile(r"/work/|/root/|/home/\w|pypi\.org/simple|artifactory|repo\.maven")
    for page in [*ROOT.glob("*.md"), *ROOT.glob("*.toml"), *ROOT.glob("*.txt"), *DOCS.rglob("*.md")]:
        assert not told.search(page.read_text()), page.name
