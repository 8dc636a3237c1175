"""`models`: who serves each task, since when and why; another one by hand; an earlier version; training anew."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import msgspec
import typer

from streams.cli.app import app, end, err, out
from streams.cli.bar import bar
from streams.errors import Misconfigured
from streams.operator import Standing
from streams.settings import Settings, load_settings

models_app = typer.Typer(
    no_args_is_help=True,
    help="""Who serves each task, and what an operator can do about it.

    Exit codes: 0 done; 1 there is no such thing, or the learner refused; 2 wrong usage or settings; 3 Kafka or Redis is
    away, or the learner did not answer in time (the request stays, and is done once).
    """,
)
app.add_typer(models_app, name="models")
Json = Annotated[bool, typer.Option("--json", help="For a program.")]
Dry = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Wait = Annotated[float, typer.Option(min=0, help="Seconds to wait for the learner's answer.")]
Why = Annotated[str, typer.Option(help="Recorded with the change.")]


def _say(found: Any) -> None:
    print(msgspec.json.encode(found).decode())  # noqa: T201


@contextmanager
def _client(settings: Settings) -> Iterator[Any]:
    from streams.redis.client import reader, redis_errors

    with redis_errors(), reader(settings, text=True) as client:
        yield client


def _standing(client: Any, settings: Settings, task: str) -> Standing:
    from streams.operator import LATER, standings

    found = standings(client, settings)
    if not found:
        end(1, "nothing has been learned yet, or no learner has run on this Redis under this prefix")
    if task not in found and task in LATER:
        end(1, f"{task} has no outcome yet: it is there from the first one on")
    if task not in found:
        end(1, f"there is no task {task}: there are {', '.join(found)}")
    return found[task]


@models_app.command("list")
def list_models(json: Json = False) -> None:
    """List tasks: the version that serves, its champion, what it was learned from, what can serve again."""
    from streams.operator import retrained, standings
    from streams.reporting.model_tables import show_list

    settings = load_settings()
    with _client(settings) as client:
        found, anew = standings(client, settings), retrained(client, settings)
    if json:
        rows = {task: msgspec.to_builtins(one) | {"report": None} for task, one in found.items()}
        _say({"tasks": rows, "retrained": {name: told | {"report": None} for name, told in anew.items()}})
    else:
        show_list(out, found, anew)


@models_app.command()
def features(json: Json = False) -> None:
    """List what is known of a customer: each feature with its unit, owner, meaning and scaling. Needs no Redis."""
    from models.customers.catalogue import CATALOGUE
    from streams.reporting.model_tables import show_features

    if json:
        _say([{name: getattr(one, name) for name in one.__struct_fields__ if name != "of"} for one in CATALOGUE])
    else:
        show_features(out, CATALOGUE)


@models_app.command()
def show(task: str, json: Json = False) -> None:
    """Show one task: all entrants with their figures, changes with reasons, kept versions and where they come from.

    Ends with 1 if there is no such task.
    """
    from streams.reporting.attribute_names import attribute_names, with_names
    from streams.reporting.model_tables import show_task

    settings = load_settings()
    with _client(settings) as client:
        one = _standing(client, settings, task)
        one.report = with_names(one.report, attribute_names(client, settings, one.report))
    if json:
        _say(one)
    else:
        show_task(out, one)


@models_app.command()
def compare(
    task: str,
    first: Annotated[str, typer.Argument(help="An entrant or a kept version; else who serves.")] = "",
    second: Annotated[str, typer.Argument(help="Another one.")] = "",
    retrained: Annotated[str, typer.Option(help="Compare with the champion of this learner, trained anew.")] = "",
    json: Json = False,
) -> None:
    """Put the figures of two entrants, versions or learners side by side. Ends with 1 if one is not there.

    With one name, it is compared with who serves. Figures are prequential: the score first, then the label. A
    version's are those up to the moment it was kept.
    """
    from streams.operator import retrained as trained_anew
    from streams.reporting.model_tables import everybody, show_two

    settings = load_settings()
    with _client(settings) as client:
        one = _standing(client, settings, task)
        anew = trained_anew(client, settings)
    everyone = everybody(one.report)
    known = {**everyone, **{name: told["figures"] for name, told in one.kept.items()}}
    champion = one.report["champion"]
    names = [name for name in (first, second) if name]
    names = [champion, *names] if len(names) < 2 else names
    figures = [known.get(name) for name in names]
    if retrained:
        if retrained not in anew:
            end(1, f"no learner {retrained} was trained anew: there are {', '.join(anew) or 'none'}")
        other = anew[retrained]["report"]["tasks"][task]
        names, figures = (
            [names[0], f"{other['champion']} of {retrained}"],
            [figures[0], everybody(other)[other["champion"]]],
        )
    if len(names) < 2:
        raise Misconfigured("compare needs one or two names, or --retrained NAME")
    for name, some in zip(names, figures, strict=True):
        if some is None:
            end(1, f"{task} has neither entrant nor version {name}: there are {', '.join(known)}")
    if json:
        _say(dict(zip(names, figures, strict=True)))
    else:
        show_two(out, (names[0], names[1]), (figures[0] or {}, figures[1] or {}))


@models_app.command()
def promote(
    task: Annotated[str, typer.Argument(help="response, churn, value or purchases; left out with --retrained.")] = "",
    model: Annotated[str, typer.Argument(help="The entrant; else the league's own champion again.")] = "",
    retrained: Annotated[str, typer.Option(help="Let this learner, trained anew, take over all tasks.")] = "",
    why: Why = "",
    dry_run: Dry = False,
    wait: Wait = 30.0,
    json: Json = False,
) -> None:
    """Let an entrant serve a task from now on, and end a rollback.

    The learner does it once, at the place of the request in the topic `examples`, and records it with its reason.
    Evidence may take the place away again, as from any champion.
    """
    from schemas.requests import Request
    from streams.operator import new_id, take_over

    settings = load_settings()
    if bool(task) == bool(retrained):
        raise Misconfigured("promote needs a TASK, or --retrained NAME")
    request = Request(new_id(), "retrained" if retrained else "promote", task, retrained or model, "", why)
    with _client(settings) as client:
        if task:
            one = _standing(client, settings, task)
            serves = {
                "serves": one.version,
                "champion": one.report["champion"],
                "evidence": one.report.get("evidence", {}),
            }
        else:
            serves = {}
        if dry_run:
            return _told(json, request, "dry run", serves)
        if retrained:
            before = take_over(client, settings, retrained)
            err.print(f"{retrained} takes over; what learned before is kept as {before}", highlight=False)
        return _ask(client, settings, request, wait, json)


@models_app.command()
def rollback(
    task: str,
    version: Annotated[str, typer.Argument(help="Else the newest of another champion, or the one before.")] = "",
    why: Why = "",
    dry_run: Dry = False,
    wait: Wait = 30.0,
    json: Json = False,
) -> None:
    """Let an earlier version of a task's model serve again, frozen, until `models promote TASK`.

    All workers follow within a second, whether or not the learner is there; the league learns on beside it.
    """
    from schemas.requests import Request
    from streams.operator import earlier, new_id

    settings = load_settings()
    with _client(settings) as client:
        one = _standing(client, settings, task)
        goal = version or earlier(one)
        if goal not in one.kept:
            end(1, f"{task} has no version {goal}: kept are {', '.join(one.kept) or 'none'}")
        request = Request(new_id(), "rollback", task, "", goal, why)
        if dry_run:
            return _told(json, request, "dry run", {"serves": one.version, "to": one.kept[goal]})
        return _ask(client, settings, request, wait, json)


@models_app.command()
def budget(
    task: str,
    microseconds: Annotated[float, typer.Argument(min=1, help="Of CPU an example, by declared costs.")],
    why: Why = "",
    dry_run: Dry = False,
    wait: Wait = 30.0,
    json: Json = False,
) -> None:
    """Change what learning an example of a task may take: dear entrants see a share of the examples, or are benched.

    Costs are declared, not measured while it runs, so that what is learned stays the same whoever learns it again.
    """
    from schemas.requests import Request
    from streams.operator import new_id

    settings = load_settings()
    with _client(settings) as client:
        one = _standing(client, settings, task)
        request = Request(new_id(), "budget", task, why=why, microseconds=microseconds)
        if dry_run:
            return _told(
                json, request, "dry run", {"budget": one.report.get("budget"), "sees": one.report.get("shares")}
            )
        return _ask(client, settings, request, wait, json)


def _ask(client: Any, settings: Settings, request: Any, wait: float, json: bool) -> None:
    """Send a request, and say what became of it."""
    from streams.operator import outcome, pin, send_request

    began = time.monotonic()
    offset = send_request(settings, request)
    if request.what == "rollback":
        pin(client, settings, request)
    answer = outcome(client, settings, request.id, wait, time.monotonic)
    told = {"offset": offset, "seconds": round(time.monotonic() - began, 3)}
    _told(json, request, answer or "not answered yet", told)
    if answer is None:
        end(
            3,
            f"the learner did not answer within {wait:.0f} s; it does what was asked when it comes to offset {offset}",
        )
    if answer != "done":
        end(1, answer)


def _told(json: bool, request: Any, became: Literal["done", "dry run"] | str, more: dict[str, Any]) -> None:  # noqa: PYI051
    if json:
        _say({"request": request, "outcome": became} | more)
    else:
        goal = request.version or request.model or "the league's own champion"
        goal = f"{request.microseconds:g} µs" if request.what == "budget" else goal
        out.print(f"{request.what} {request.task} {goal}: {became}", highlight=False)
        for name, value in more.items():
            out.print(f"  {name}: {msgspec.json.encode(value).decode()}", highlight=False, soft_wrap=True)


@models_app.command()
def retrain(
    name: Annotated[str, typer.Argument(help="Its name: it is part of its versions.")],
    drop: Annotated[bool, typer.Option("--drop", help="Forget the learner of this name instead.")] = False,
    dry_run: Dry = False,
    json: Json = False,
) -> None:
    """Learn all again from the beginning of the topic `examples`, under a new name, while the old one serves.

    Then `models compare TASK --retrained NAME`, and `models promote --retrained NAME`. Requests of operators are not
    done again. Ends with 2 where the beginning of `examples` is gone.
    """
    from streams.operator import drop as forget
    from streams.retrain import retrain as train

    settings = load_settings()
    with _client(settings) as client:
        if drop:
            if not forget(client, settings, name):
                end(1, f"no learner {name} was trained anew")
            return out.print(f"{name} is forgotten")
        with bar() as tell:
            told = train(client, settings, name, lambda at, end: tell(at, end, f"{at:,} records"), dry_run)
    if json:
        _say(told | {"report": None})
    else:
        out.print(f"{name}: {told['records']:,} records up to offset {told['offset']}", highlight=False)
        for task_name, figures in told["report"].get("tasks", {}).items():
            out.print(f"  {task_name}: {figures['champion']}, {figures['examples']:,} examples", highlight=False)
    return None
