"""Campaign files: the examples do what they say, and whatever is wrong is named with file and field."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from models.campaigns.campaign import CampaignError
from models.campaigns.decide import Moment, decide
from schemas.decisions import Contacts
from streams.campaigns import FEATURES, load

GOOD = """
id = "one"
name = "One"
channel = "email"
when = ["silence", "purchase"]
audience = "churn > 0.5"
cap = { contacts = 2, days = 30 }
cooldown_days = 10
hold_out = 0.1
expires_hours = 24
"""
AT = datetime(2026, 3, 2, 12, tzinfo=UTC).timestamp()


def folder(tmp_path: Path, **files: str) -> Path:
    for name, text in files.items():
        (tmp_path / f"{name}.toml").write_text(text, encoding="utf-8")
    return tmp_path


def test_a_folder_and_a_file_are_read(tmp_path):
    path = folder(tmp_path, b=GOOD.replace('"one"', '"two"'), a=GOOD)
    (path / "notes.md").write_text("not a campaign")
    assert [c.id for c in load(path)] == ["one", "two"]
    assert [c.id for c in load(path / "b.toml")] == ["two"]
    assert load(path / "b.toml")[0].spec.consent is True


BAD = [
    ("cooldown_days = 10", 'cooldown_days = "ten"', "x.toml: cooldown_days: Expected"),
    ("cooldown_days = 10", "cooldown_days = -1", "x.toml: cooldown_days: Expected"),
    ("cooldown_days = 10", "", "x.toml: cooldown_days: Object missing required field"),
    ("cooldown_days = 10", "cooldown_days = 10\ncooldwon = 1", "x.toml: cooldwon: Object contains unknown field"),
    ("days = 30 }", "weeks = 4 }", "x.toml: cap.weeks: Object contains unknown field"),
    ("days = 30 }", "days = 0 }", "x.toml: cap.days: Expected"),
    ("contacts = 2", "contacts = 101", "x.toml: cap.contacts: Expected"),
    ('"purchase"]', '"bought"]', "x.toml: when[1]: Invalid enum value 'bought'"),
    ('["silence", "purchase"]', "[]", "x.toml: when: Expected"),
    ("hold_out = 0.1", "hold_out = 1.1", "x.toml: hold_out: Expected"),
    ("hold_out = 0.1", "hold_out = nan", "x.toml: hold_out: "),
    ("expires_hours = 24", "expires_hours = 0", "x.toml: expires_hours: Expected"),
    ('id = "one"', 'id = "One!"', "x.toml: id: Expected"),
    ("expires_hours = 24", 'expires_hours = 24\nquiet_hours = {from="9", to="10:00"}', "x.toml: quiet_hours.from: "),
    (
        "expires_hours = 24",
        'expires_hours = 24\nquiet_hours = {from="09:00", to="09:00"}',
        "x.toml: quiet_hours: `from`",
    ),
    ("churn > 0.5", "churn > 1", "x.toml: audience: line 6, column 19: found no matching overload"),
    ("churn > 0.5", "features.churn > 0.5", "x.toml: audience: line 6, column 2"),
    ("churn > 0.5", "churn", "x.toml: audience: line 6, column 13: must be true or false"),
    (
        '"churn > 0.5"',
        '"""\nchurn > 0.5\n  && nope"""',
        "x.toml: audience: line 8, column 6: undeclared reference to 'nope'",
    ),
    ('"churn > 0.5"', r'"\u0063hurn > 1"', "x.toml: audience: line 1, column 7 of it: found no matching"),
    ("id =", "id = =", "x.toml: no TOML: Invalid value (at line 2, column 6)"),
    ('id = "one"', "[" * 5000, "x.toml: no TOML: "),
]


@pytest.mark.parametrize(("old", "new", "message"), BAD, ids=range(len(BAD)))
def test_what_is_wrong_is_named(tmp_path, old, new, message):
    assert old in GOOD
    with pytest.raises(CampaignError) as caught:
        load(folder(tmp_path, x=GOOD.replace(old, new)))
    assert str(caught.value).startswith(message)


def test_two_campaigns_of_one_id_are_refused(tmp_path):
    with pytest.raises(CampaignError, match=r"b\.toml: id: 'one' is also the id in a\.toml"):
        load(folder(tmp_path, a=GOOD, b=GOOD))


def test_what_cannot_be_found_or_read_is_named(tmp_path):
    with pytest.raises(CampaignError, match="there is no such file"):
        load(tmp_path / "none")
    with pytest.raises(CampaignError, match="timezone: 'Mars/Olympus' is unknown"):
        load(None, "Mars/Olympus")
    with pytest.raises(CampaignError, match="timezone"):
        load(None, "../../etc/passwd")
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(CampaignError, match=r"x\.toml: cannot be read"):
        load(tmp_path)


def customer(**changes) -> Moment:
    known = {
        "customer_id": "c1",
        "at": AT,
        "kind": "silence",
        "cause": "e1",
        "features": dict.fromkeys(FEATURES, 5.0),
        "scores": {"churn": 0.7, "response": 0.1, "value": 20.0},
        "segment": 3,
        "segment_name": "Champions",
        "previous_segment": 3,
        "previous_churn": 0.4,
        "best_segment": 3,
        "consent": {"email": True},
    }
    return Moment(**(known | changes))


def asked_for(**changes) -> list[str]:
    return [trigger.campaign_id for trigger in decide(load(), customer(**changes), Contacts(), AT)[0]]


def test_win_back_writes_to_customers_who_are_about_to_leave():
    assert asked_for() == ["win_back"]
    assert asked_for(previous_churn=None) == []
    assert asked_for(previous_churn=0.7) == []
    assert asked_for(scores={"churn": 0.59}) == []
    assert asked_for(features=dict.fromkeys(FEATURES, 1.0)) == []
    assert asked_for(kind="opened") == []


def test_thank_best_writes_at_the_purchase_that_leads_up():
    assert asked_for(kind="purchase", previous_segment=1) == ["thank_best"]
    assert asked_for(kind="purchase", previous_segment=3) == []
    assert asked_for(kind="purchase", previous_segment=None) == []
    assert asked_for(kind="purchase", previous_segment=1, best_segment=None) == []
    assert asked_for(kind="silence", previous_segment=1, scores={}) == []


def test_the_examples_hold_a_tenth_out():
    assert [c.spec.hold_out for c in load()] == [0.1, 0.1]
