"""What an operator asks for, done at its place among the examples."""

from typing import Final

from models.league.labels import LabelLeague
from models.learning.care import Refused, allow_labels, promote_labels
from models.learning.leagues import UNSERVED, Leagues
from schemas.requests import DONE, Request

TASKS: Final = ("response", "churn", "value", "segments", "sales", "market", "brand_choice", "sentiment", "demand")
"""Everything that is learned, leagues or not."""


def perform(leagues: Leagues, request: Request) -> None:
    """Do what was asked, once; remember what became of it."""
    care = leagues.care
    if request.id in care.asked:
        return
    try:
        _do(leagues, request)
    except Refused as refused:
        care.answer(request.id, str(refused))
    else:
        care.answer(request.id, DONE)


def _do(leagues: Leagues, request: Request) -> None:
    if request.what == "retrained":
        return None  # who reads this has taken over already; who has not cannot save that he read it
    if request.task not in leagues:
        able = ", ".join(leagues)
        if request.task in TASKS:
            raise Refused(
                f"{request.task} is served by what its own figures say, not by request: {able} can be asked for"
            )
        raise Refused(f"there is no league {request.task}: there are {able}")
    task, league, care = request.task, leagues[request.task], leagues.care
    if request.what == "rollback":
        return care.hold(task, request.version, league, request.reason())
    if request.what == "budget":
        return allow_labels(league, request)
    leagues.keep(task)
    if request.model in ("", leagues.champion(task)):
        if task not in care.held:
            raise Refused(f"{leagues.champion(task)} serves {task} already")
    elif isinstance(league, LabelLeague):
        promote_labels(league, request)
    else:
        _promote_amount(leagues, request)
    care.release(task, league, request.reason())
    return None


def _promote_amount(leagues: Leagues, request: Request) -> None:
    league, contest = leagues[request.task], leagues.contests[request.task]
    able = [name for name in league.entrants() if name not in UNSERVED]
    if request.model not in able:
        raise Refused(f"{request.model} cannot serve {request.task}: {', '.join(able)} can")
    contest.promote(request.model, leagues.care.newest.get(request.task, 0.0), request.reason())
