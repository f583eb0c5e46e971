"""The next candidate: a start point not yet tried, then what the optimiser proposes."""

from __future__ import annotations

from typing import Literal

import numpy as np

from autollm.errors import AutoLLMError
from autollm.resources.merge_trial import Origin
from autollm.resources.search import Optimizer
from autollm.search import uniform
from autollm.search.evidence import Evidence, gather
from autollm.search.space import Point
from autollm.search.trials import Request, Suggestion

OptimizerName = Literal["Bayesian", "TPE", "CMAES", "Random"]

LARGEST_BAYESIAN = 12
"""Most parameters for which a Gaussian process is the automatic choice."""

_ATTEMPTS = 64


class SpaceExhausted(AutoLLMError):
    """Every candidate of the space has been tried, as where all weights are fixed."""

    reason = "SpaceExhausted"


def choose_optimizer(asked: Optimizer | None, parameters: int) -> OptimizerName:
    """Return the optimiser that was asked for, or the one that suits the number of parameters."""
    if asked is not None and asked.random is not None:
        return "Random"
    if asked is not None and asked.optuna is not None:
        return asked.optuna.sampler
    if asked is not None and asked.bayesian is not None:
        return "Bayesian"
    return "Bayesian" if parameters <= LARGEST_BAYESIAN else "TPE"


def suggest(request: Request) -> Suggestion:
    """Return the candidate for trial `request.number`: the same for the same request, whatever the order of its trials.

    No candidate is suggested twice, nor one that is pending. Raises SpaceExhausted where no other is left.
    """
    known = suggest_at_once(request)
    if known is not None:
        return known
    name = choose_optimizer(request.optimizer, len(request.space.parameters))
    return _suggestion(request, untried(request, _propose(name, gather(request), request.seed, request.number)), name)


def takes_optimizer(request: Request) -> bool:
    """Return whether a candidate that is no start point takes an optimiser: not where it is uniform, or the space leaves no choice."""
    return bool(request.space.parameters) and choose_optimizer(request.optimizer, len(request.space.parameters)) != "Random"


def suggest_at_once(request: Request) -> Suggestion | None:
    """Return what `suggest` would where that takes no optimiser (a start point, a uniform candidate, a space without choice), else None.

    Costs no more than a few milliseconds. Raises SpaceExhausted where no candidate is left.
    """
    start = next_start(request)
    if start is not None:
        return start
    if takes_optimizer(request):
        return None
    name = choose_optimizer(request.optimizer, len(request.space.parameters))
    proposal = uniform.propose(len(request.space.parameters), request.seed, request.number)
    return _suggestion(request, untried(request, proposal), name)


def suggest_fallback(request: Request, reason: str) -> Suggestion:
    """Return a uniform candidate (or the next start point) in place of one that the optimiser could not give, with the reason.

    Costs no more than a few milliseconds and loads no optimiser.
    """
    start = next_start(request)
    if start is not None:
        return start
    proposal = uniform.propose(len(request.space.parameters), request.seed, request.number)
    return _suggestion(request, untried(request, proposal), "Fallback", reason)


def next_start(request: Request) -> Suggestion | None:
    """Return the first start point that was not tried yet, if there is one; needs no optimiser."""
    for start in request.starts:
        point = request.space.project(start.weights)
        if point not in request.tried:
            suggestion = _suggestion(request, point, "Start")
            return Suggestion(suggestion.weights, suggestion.origin, start.name)
    return None


def untried(request: Request, proposal: np.ndarray) -> Point:
    """Return the storable point next to the proposal (unit coordinates) that is neither finished nor pending."""
    space, tried = request.space, request.tried
    random = np.random.default_rng([request.seed, request.number, 1])
    shifted = np.clip(proposal, 0.0, 1.0)
    for attempt in range(_ATTEMPTS):
        point = space.from_unit(shifted)
        if point not in tried:
            return point
        # From one step of the grid to the whole cube.
        shifted = np.clip(proposal + random.normal(scale=1e-4 * 10 ** (4 * attempt / _ATTEMPTS), size=proposal.shape), 0.0, 1.0)
    raise SpaceExhausted(
        f"search: all candidates of the space, which has {len(space.parameters)} free weights, were tried in {len(tried)} trials; "
        "give the space wider bounds or fewer trials"
    )


def _propose(name: OptimizerName, evidence: Evidence, seed: int, number: int) -> np.ndarray:
    state = int(np.random.SeedSequence([seed, number]).generate_state(1)[0] >> 1)
    # Imported where they are used: the optimisers take seconds to load, and a search uses one of them.
    if name == "Bayesian":
        from autollm.search import bayesian

        return bayesian.propose(evidence, state)
    if name == "TPE":
        from autollm.search import tpe

        return tpe.propose(evidence, state)
    from autollm.search import cma_es

    return cma_es.propose(evidence, state)


def _suggestion(
    request: Request, point: Point, optimizer: OptimizerName | Literal["Start", "Fallback"], reason: str | None = None
) -> Suggestion:
    origin = Origin(optimizer=optimizer, finished=len(request.finished), pending=len(request.pending), reason=reason)
    return Suggestion(request.space.expand(point), origin)
