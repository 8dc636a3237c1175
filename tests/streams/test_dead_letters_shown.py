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
        monkeypatch.setattr(module, "sendable", lambda chosen, *_: chosen)
        done = CliRunner().invoke(app, ["dead-letters", *arguments])
        assert done.exit_code == code, (done.output, done.exception)
        run.said = lambda: done.stderr
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


LONG = letter(b"k" * 60, offset=1_234_567_890, reason="wrong_partition", detail="partition 3 is right: " + "x" * 200)


@pytest.mark.parametrize("columns", [20, 80, 200])
def test_what_show_and_replay_are_told_is_never_cut(ask, columns):
    said = ask([letter(), LONG], "list", columns=columns)
    first = next(line for line in said.splitlines() if LONG.place in line)
    assert ("2026-11-" in first, "wrong_partition" in first, "open" in first) == (True, True, True)


@pytest.mark.parametrize("columns", [80, 200])
def test_a_detail_that_is_cut_has_a_mark(ask, columns):
    below = next(line for line in ask([LONG], "list", columns=columns).splitlines() if "partition 3 is" in line)
    assert len(below) == columns
    assert below.endswith("…")
    short = ask([letter()], "list", columns=columns)
    assert "c1: no event_id" in short
    assert "…" not in short


def test_a_reason_that_no_letter_has_is_told_with_those_there_are(ask):
    some = [letter(), letter(offset=18, reason="future"), letter(offset=19)]
    for command in ("list", "replay"):
        ask(some, command, "--reason=futrue")
        assert ask.said() == "no letter has the reason futrue: there are invalid, future\n"
        ask(some, command, "--reason=future", "--topic=transaction")
        assert ask.said() == "no letter has the topic transaction: there are transactions\n"
        ask(some, command, "--reason=future")
        assert ask.said() == ""


def test_a_place_without_a_letter_is_told_with_those_that_have_one(ask):
    some = [letter(offset=offset) for offset in (17, 19)]
    ask(some, "show", "transactions-3@18", code=1)
    words = "there is no dead letter of transactions-3@18: there are transactions-3@17, transactions-3@19"
    assert words in ask.said()
    assert "1 letters to send" in ask(some, "replay", "transactions-3@17", "transactions-3@18", code=1)
    assert words in ask.said()
