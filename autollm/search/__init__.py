"""Search: pure functions from a space and the trials so far to the next candidate."""

from autollm.search.limits import Limits, limits_of
from autollm.search.points import Start, average, start_points
from autollm.search.space import OLDEST, Parameter, Space, build_space
from autollm.search.suggest import SpaceExhausted, choose_optimizer, suggest, suggest_at_once, suggest_fallback, takes_optimizer
from autollm.search.trials import Finished, Request, Suggestion

__all__ = [
    "OLDEST",
    "Finished",
    "Limits",
    "Parameter",
    "Request",
    "Space",
    "SpaceExhausted",
    "Start",
    "Suggestion",
    "average",
    "build_space",
    "choose_optimizer",
    "limits_of",
    "start_points",
    "suggest",
    "suggest_at_once",
    "suggest_fallback",
    "takes_optimizer",
]
