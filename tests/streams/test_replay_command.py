"""`streamscore replay` into files: what is written, what is said, how it ends."""

import gzip

import msgspec
import pytest
from typer.testing import CliRunner

from schemas.codec import decode_any, encode
from schemas.events import Feedback, Observation, Purchase
from streams.cli.app import app
from streams.errors import Misconfigured
from streams.replay.files import events as read
from streams.replay.files import write
from streams.replay.simulated import Simulation


def run(*args):
    return CliRunner().invoke(app, ["replay", *map(str, args)])


def test_simulated_events_to_a_file_and_back_in_order(tmp_path):
    plain, packed = tmp_path / "shop.jsonl", tmp_path / "shop.jsonl.gz"
    asked = ("simulated", "--customers", 50, "--events", 700, "--seed", 5)
    done = run(*asked, "--to", packed)
    assert done.exit_code == 0, done.output
    assert "700 events" in done.output
    expected = [encode(event) for event in Simulation(50, 700, seed=5).events()]
    assert gzip.decompress(packed.read_bytes()).splitlines() == expected
    shuffled = tmp_path / "shuffled.jsonl"
    shuffled.write_bytes(b"\n".join(expected[350:] + expected[:350]))
    assert run(shuffled, "--to", plain).exit_code == 0  # `replay FILE`
    assert [decode_any(line).occurred_at for line in plain.read_bytes().splitlines()] == sorted(
        decode_any(line).occurred_at for line in expected
    )
    again = tmp_path / "again.jsonl"
    assert run("file", packed, "--to", again).exit_code == 0
    assert sorted(again.read_bytes().splitlines()) == sorted(expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "again.jsonl", "shop.jsonl", "shop.jsonl.gz", "shuffled.jsonl",
    ]  # fmt: skip


def test_a_simulated_shop_with_brands_tells_what_else_there_was_what_is_said_and_what_rivals_ask(tmp_path):
    file = tmp_path / "shop.jsonl"
    done = run("simulated", "--customers", 50, "--events", 900, "--seed", 5, "--brands", "--to", file)
    assert done.exit_code == 0, done.output
    made = list(map(decode_any, file.read_bytes().splitlines()))
    assert made == list(Simulation(50, 900, seed=5, brands=True).events())
    assert {Feedback, Observation} < {type(event) for event in made}
    assert all(len(line.alternatives) == 4 for event in made if isinstance(event, Purchase) for line in event.lines)


def test_the_same_events_make_the_same_compressed_bytes(tmp_path):
    made = list(Simulation(20, 100).events())
    for name in ("a.gz", "b.gz"):
        assert write(tmp_path / name, made) == 100
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def test_a_file_is_whole_or_not_there(tmp_path):
    def breaks():
        yield from Simulation(20, 50).events()
        raise RuntimeError("half way")

    (tmp_path / "known.jsonl").write_bytes(b"before")
    for name in ("known.jsonl", "new.jsonl.gz"):
        with pytest.raises(RuntimeError, match="half way"):
            write(tmp_path / name, breaks())
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("known.jsonl", b"before")]


def test_progress_adds_up(tmp_path):
    told = []
    write(tmp_path / "x", Simulation(100, 2_345).events(), told.append)
    assert told == [1_000, 1_000, 345]


def test_refused_lines_are_named_and_end_with_1(tmp_path):
    path, to = tmp_path / "some.jsonl", tmp_path / "to.jsonl"
    good = encode(next(event for event in Simulation(5, 50).events() if isinstance(event, Purchase)))
    path.write_bytes(good + b"\nnot json\n" + good.replace(b'"GBP"', b'"pounds"') + b"\n\n")
    done = run(path, "--to", to)
    assert done.exit_code == 1
    assert to.read_bytes() == good + b"\n"
    assert "1 events sent, 2 lines refused" in done.output
    assert f"{path}:2: undecodable" in done.output
    assert f"{path}:3: invalid" in done.output


def test_online_retail_says_what_became_of_each_line(tmp_path):
    to = tmp_path / "retail.jsonl"
    done = run("online-retail", "--limit", 2_000, "--to", to)
    assert done.exit_code == 0
    assert "of 2000 lines" in done.output
    sent = [event for event in read([to], pytest.fail) if event.__struct_config__.tag != "customer"]
    assert f"{len(sent):,} sent" in done.output
    assert f"{sum(len(event.lines) for event in sent) - len(sent):,} merged" in done.output


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (("simulated", "--flip", "nobody:3"), "nobody"),
        (("simulated", "--flip", "loyal"), "SEGMENT:DAY"),
        (("simulated", "--to", "/nowhere/x.jsonl"), "/nowhere"),
        (("/nowhere/there.jsonl",), "/nowhere/there.jsonl"),
        (("simulated",), "STREAMSCORE_BROKER"),
    ],
)
def test_what_is_wrong_is_named(args, named, monkeypatch):
    monkeypatch.delenv("STREAMSCORE_BROKER", raising=False)
    done = run(*args)
    assert isinstance(done.exception, Misconfigured)  # the command ends with 2 and this line
    assert named in str(done.exception)


def test_without_arguments_it_shows_its_help():
    for args in ((), ("--help",)):
        assert "replay FILE..." in " ".join(run(*args).output.split())


def test_the_written_lines_are_plain_json(tmp_path):
    write(tmp_path / "x", Simulation(10, 60).events())
    for line in (tmp_path / "x").read_bytes().splitlines():
        found = msgspec.json.decode(line)
        assert {"type", "event_id", "customer_id", "occurred_at"} <= set(found)


@pytest.fixture
def shop(tmp_path):
    """An event file, and its name."""
    file = tmp_path / "shop.jsonl"
    write(file, Simulation(20, 100, seed=1).events())
    return file


def refused(*args):
    """What a command with wrong usage says."""
    done = CliRunner().invoke(app, list(map(str, args)))
    assert isinstance(done.exception, Misconfigured), done.output
    return str(done.exception)


@pytest.mark.parametrize("command", ["backtest", "replay"])
def test_a_compressed_file_that_is_damaged_or_none_is_named(command, shop, tmp_path):
    to = ("--to", tmp_path / "out") if command == "replay" else ()
    whole = gzip.compress(shop.read_bytes())
    cut, fake, broken = (tmp_path / f"{name}.jsonl.gz" for name in ("cut", "fake", "broken"))
    cut.write_bytes(whole[:-20])
    fake.write_bytes(shop.read_bytes())
    broken.write_bytes(whole[:200] + bytes(50) + whole[250:])
    for file in (cut, fake, broken):
        assert refused(command, file, *to).startswith(f"{file} cannot be read to its end: ")
    assert not (tmp_path / "out").exists()


def test_the_mark_that_editors_begin_a_file_with_is_no_part_of_the_first_event(shop, tmp_path):
    marked, to = tmp_path / "marked.jsonl", tmp_path / "out.jsonl"
    marked.write_bytes(b"\xef\xbb\xbf" + shop.read_bytes())
    done = run(marked, "--to", to)
    assert done.exit_code == 0, done.output
    assert to.read_bytes() == shop.read_bytes()


@pytest.mark.parametrize("option", ["--report", "--html"])
def test_a_report_that_cannot_be_written_is_said_before_the_work(option, shop, tmp_path):
    assert refused("backtest", shop, option, tmp_path / "none" / "r") == f"{option}: there is no folder {tmp_path}/none"
    assert refused("backtest", shop, option, tmp_path) == f"{option}: {tmp_path} cannot be written"


def test_wrong_usage_is_one_line(shop):
    assert "Not a directory" in refused("schemas", shop / "none")
    done = run("online-retail", "--limit", -5)
    assert done.exit_code == 2
    assert "--limit" in done.output
