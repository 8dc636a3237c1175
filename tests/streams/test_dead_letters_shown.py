"""Dead letters on a terminal: whatever a producer wrote is shown, and nothing of it is obeyed."""

import json

import pytest
from typer.testing import CliRunner

from streams.cli import app
from streams.cli import dead_letters as module
from streams.kafka.dlq import Letter

HOSTILE = ["[/red]", "[bold]k", "\x1b[2J", "a\nb", "\x9b2J", ":bomb:", "\u202egnp"]


def letter(key=b"c1", offset=17, **more):
    told = {
        "topic": "transactions",
        "partition": 3,
        "reason": "invalid",
        "detail": "no event_id",
        "at": 1_795_000_000.0,
    }
    return Letter(**{**told, "key": key, "value": b"{}", "offset": offset, "first": f"transactions-3@{offset}", **more})


@pytest.fixture
def ask(monkeypatch):
    """Run a command over letters that are given, as if Kafka held them and nothing was sent again."""
    monkeypatch.setenv("STREAMSCORE_BROKER", "nowhere:9092")
    monkeypatch.setattr(module, "_replayed", lambda settings, needed=False: set())

    def run(letters, *arguments, columns=None, code=0):
        monkeypatch.setattr(module, "read", lambda *_: iter(letters))
        monkeypatch.setattr(module.out, "width", columns or 200)
        done = CliRunner().invoke(app, ["dead-letters", *arguments])
        assert done.exit_code == code, (done.output, done.exception)
        return done.stdout

    return run


@pytest.mark.parametrize("hostile", HOSTILE)
def test_keys_reasons_and_details_are_shown_as_they_are_and_not_obeyed(ask, hostile):
    text = hostile.encode()
    bad = letter(text, detail=hostile, reason=hostile, headers=((hostile, text),), value=text)
    for said in (ask([bad], "list"), ask([bad], "show", bad.place)):
        safe = hostile.encode("unicode_escape").decode()
        assert said.count(safe) >= 3
        assert not set(said) & {"\x1b", "\x9b", "\u202e"}


def test_for_a_program_it_is_the_text_itself(ask):
    assert json.loads(ask([letter(b"\x1b[2J")], "list", "--json"))["key"] == "\x1b[2J"
