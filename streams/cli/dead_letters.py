"""`dead-letters`: what was refused and why, and sending it again once the cause is mended."""

import base64
import re
import time
from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.text import Text

from streams.cli.app import app, end, err, out
from streams.errors import Misconfigured, Unavailable
from streams.kafka.again import send_again, sendable
from streams.kafka.dlq import Choice, Letter, fold, read, replayable
from streams.redis.replayed import Replayed
from streams.reporting.plain import visible
from streams.settings import Settings, load_settings

dead_letters_app = typer.Typer(no_args_is_help=True, help="What was refused, why, and sending it again.")
app.add_typer(dead_letters_app, name="dead-letters")

KEY: Final = 24
"""Columns of a key in a list; `show` has all of it."""
NEAR: Final = 5
"""Letters named to who asks for one that is not there."""
_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
Reasons = Annotated[list[str] | None, typer.Option("--reason", help="Only these reasons; may be repeated.")]
Topics = Annotated[list[str] | None, typer.Option("--topic", help="Only of these input topics; may be repeated.")]
Since = Annotated[str | None, typer.Option(help="Refused at or after this: `15m`, `2h`, `3d` ago, or RFC 3339.")]
Until = Annotated[str | None, typer.Option(help="Refused before this; as --since.")]
Json = Annotated[bool, typer.Option("--json", help="For a program: one JSON object a line.")]
MaxAttempts = Annotated[int, typer.Option(min=1, help="What failed again so often is parked: it is not sent.")]


@dead_letters_app.command("list")
def list_letters(
    reason: Reasons = None,
    topic: Topics = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, help="Show so many, the newest; all are counted.")] = 50,
    max_attempts: MaxAttempts = 3,
    json: Json = False,
) -> None:
    """Show letters, the newest last, and how many there are of each reason."""
    settings, choice = load_settings(), _choice(reason, topic, since, until)
    replayed = _replayed(settings)
    counts: Counter[str] = Counter()
    newest: deque[tuple[Letter, str]] = deque(maxlen=limit)
    seen = _Seen()
    for letter in _letters(settings, choice, seen):
        counts[letter.reason] += 1
        newest.append((letter, _standing(letter, replayed, max_attempts)))
    seen.told(choice)
    if json:
        for letter, standing in newest:
            print(msgspec.json.encode(_built(letter, standing)).decode())  # noqa: T201
        return
    _show_list(newest)
    said = ", ".join(f"{n:,} {visible(name)}" for name, n in counts.most_common())
    out.print(f"{counts.total():,} letters{': ' if said else ''}{said}", highlight=False)


def _show_list(letters: Collection[tuple[Letter, str]]) -> None:
    """Two lines a letter, on a terminal of any width: what other commands take is never cut, what is cut has a mark."""
    rows = [(letter.place, _time(letter.at), visible(letter.reason), standing) for letter, standing in letters]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for (letter, _), row in zip(letters, rows, strict=True):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        out.print("  ".join(cells).rstrip(), highlight=False, soft_wrap=True)
        key = Text("no key" if letter.key is None else visible(letter.key.decode(errors="replace")))
        key.truncate(KEY, overflow="ellipsis")
        below = Text("  ") + key + f": {visible(letter.detail)}"
        below.truncate(out.width, overflow="ellipsis")
        out.print(below, style="dim", soft_wrap=True)


@dead_letters_app.command()
def show(
    place: Annotated[str, typer.Argument(help="Where the record lies, as `transactions-3@17`.")],
    json: Json = False,
) -> None:
    """Show one letter in full. Ends with 1 if there is none of this record."""
    settings = load_settings()
    seen = _Seen()
    found = next(_letters(settings, Choice(places=frozenset({place})), seen), None)
    if found is None:
        end(1, seen.without(place))
    standing = _standing(found, _replayed(settings), max_attempts=3)
    built = _built(found, standing)
    if json:
        print(msgspec.json.encode(built).decode())  # noqa: T201
        return
    for name, value in built.items():
        told = value if isinstance(value, list | dict) else visible(str(value))
        out.print(Text(f"{name.replace('_', ' ')}:", "bold"), told, highlight=False, soft_wrap=True)


@dead_letters_app.command()
def replay(
    places: Annotated[
        list[str] | None, typer.Argument(help="Records, as `transactions-3@17`; all chosen if none.")
    ] = None,
    send: Annotated[bool, typer.Option("--send", help="Do it; without, it is only said what would be done.")] = False,
    reason: Reasons = None,
    topic: Topics = None,
    since: Since = None,
    until: Until = None,
    rate: Annotated[float, typer.Option(min=0.1, help="At most so many a second.")] = 100.0,
    max_attempts: MaxAttempts = 3,
    json: Json = False,
) -> None:
    """Send letters to their topics again, each once, with the key, value and headers that they came with."""
    settings, choice = load_settings(), _choice(reason, topic, since, until, places)
    replayed = _replayed(settings, needed=send)
    fates: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    unsendable: dict[str, str] = {}
    seen = _Seen()

    def told(letter: Letter, why: str) -> None:
        unsendable[letter.place] = why
        reasons[letter.reason] -= 1

    kafka = settings.kafka
    chosen = sendable(
        _open(_letters(settings, choice, seen), replayed, max_attempts, fates, reasons), kafka, settings.prefix, told
    )
    if send:
        assert replayed is not None  # noqa: S101 - it was needed
        fates["sent"] = send_again(chosen, kafka, settings.prefix, rate, replayed.add, told)
    else:
        fates["sent"] = 0
        deque(chosen, maxlen=0)
    reasons = +reasons
    seen.told(choice)
    nowhere = sorted(choice.places - seen.places.keys())
    for place in nowhere:
        err.print(seen.without(place), highlight=False, soft_wrap=True)
    code = 1 if nowhere else 0
    if json:
        cannot = [{"record": place, "why": why} for place, why in unsendable.items()]
        figures = {"dry_run": not send, **fates, "reasons": reasons, "unsendable": cannot}
        print(msgspec.json.encode(figures).decode())  # noqa: T201
        raise typer.Exit(code)
    said = ", ".join(f"{n:,} {visible(name)}" for name, n in reasons.most_common())
    letters = f"{reasons.total():,} letters {'sent' if send else 'to send'}"
    out.print(f"{letters}{': ' if said else ''}{said}", highlight=False)
    for place, why in unsendable.items():
        out.print(f"{place} cannot be sent: {why}", highlight=False, soft_wrap=True)
    for fate in ("parked", "replayed", "foreign"):
        if fates[fate]:
            out.print(f"{fates[fate]:,} {_FATES[fate]}", highlight=False)
    if not send and reasons:
        out.print("Nothing was sent. `--send` does it.", highlight=False)
    raise typer.Exit(code)


_FATES: Final = {
    "parked": "are parked: they failed too often, see --max-attempts",
    "replayed": "were sent again before",
    "foreign": "are not of an input topic",
}


def _open(
    letters: Iterable[Letter],
    replayed: Replayed | None,
    max_attempts: int,
    fates: Counter[str],
    reasons: Counter[str],
) -> Iterable[Letter]:
    for letter in letters:
        standing = _standing(letter, replayed, max_attempts)
        fates[standing] += 1
        if standing == "open":
            reasons[letter.reason] += 1
            yield letter


class _Seen:
    """What letters there are, whether or not they are meant: for who asks for what is not there."""

    def __init__(self) -> None:
        self.reasons: dict[str, None] = {}
        self.topics: dict[str, None] = {}
        self.places: dict[str, None] = {}

    def add(self, letter: Letter) -> None:
        self.reasons[letter.reason] = self.topics[letter.topic] = self.places[letter.place] = None

    def told(self, choice: Choice) -> None:
        """Say which reasons and topics no letter has."""
        for name, wanted, there in (("reason", choice.reasons, self.reasons), ("topic", choice.topics, self.topics)):
            if missing := sorted(wanted - there.keys()):
                words = f"no letter has the {name} {', '.join(missing)}: there are {', '.join(there) or 'none'}"
                err.print(words, highlight=False, soft_wrap=True)

    def without(self, place: str) -> str:
        """Say that a place has no letter, and which of its partition have one, the newest last."""
        begins = place.partition("@")[0] + "@"
        near = [one for one in self.places if one.startswith(begins)] or list(self.places)
        more = f"{len(near) - NEAR:,} more, and " if len(near) > NEAR else ""
        return f"there is no dead letter of {place}: there are {more}{', '.join(near[-NEAR:]) or 'none'}"


def _letters(settings: Settings, choice: Choice, seen: _Seen) -> Iterator[Letter]:
    for letter in fold(read(settings.kafka, settings.prefix, choice.since)):
        seen.add(letter)
        if choice.wants(letter):
            yield letter


def _standing(letter: Letter, replayed: Replayed | None, max_attempts: int) -> str:
    if not replayable(letter):
        return "foreign"
    if replayed is not None and letter.place in replayed:
        return "replayed"
    return "parked" if letter.attempts >= max_attempts else "open"


def _replayed(settings: Settings, *, needed: bool = False) -> Replayed | None:
    """What was sent again before. Without Redis nothing can be sent, but letters can be looked at."""
    try:
        return Replayed(settings)
    except (Misconfigured, Unavailable) as error:
        if needed:
            raise
        err.print(f"it cannot be told what was sent again before: {error}", highlight=False)
        return None


def _choice(
    reasons: list[str] | None,
    topics: list[str] | None,
    since: str | None,
    until: str | None,
    places: list[str] | None = None,
) -> Choice:
    now = time.time()
    return Choice(
        reasons=frozenset(reasons or ()),
        topics=frozenset(topics or ()),
        places=frozenset(places or ()),
        since=None if since is None else moment(since, now),
        until=None if until is None else moment(until, now),
    )


def moment(text: str, now: float) -> float:
    """Epoch seconds of a time, or of a span before `now`.

    Raises
    ------
    Misconfigured
        It is neither.

    Examples
    --------
    >>> moment("2h", 10_000.0), moment("1970-01-01T00:01:00Z", 0.0)
    (2800.0, 60.0)
    """
    span = re.fullmatch(r"(\d{1,9})([smhd])", text)
    if span:
        return now - int(span[1]) * _UNITS[span[2]]
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Misconfigured(f"{text!r} is neither a span such as 2h nor a time such as 2026-11-24T10:00:00Z") from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _built(letter: Letter, standing: str) -> dict[str, Any]:
    built: dict[str, Any] = {
        "record": letter.place,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "reason": letter.reason,
        "detail": letter.detail,
        "refused_at": _time(letter.at),
        "standing": standing,
        "attempts": letter.attempts,
        "first": letter.first,
        "headers": [[name, _text(value)] for name, value in letter.headers],
        "key": _text(letter.key),
        "value": _text(letter.value),
    }
    return built


def _text(body: bytes | None) -> str | dict[str, str] | None:
    """Text where it is text; otherwise {"base64": ...}, so that nothing is lost."""
    if body is None:
        return None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode()}
