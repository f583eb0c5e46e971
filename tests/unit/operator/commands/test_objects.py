"""What is said of an object that cannot be had: whether it is missing, its kind is, or nobody knows who asks."""

from __future__ import annotations

import pytest

from autollm.errors import AutoLLMError
from autollm_operator.api.port import ApiError, ForbiddenError, NotFoundError, UnknownKindError
from autollm_operator.api.resources import RUNS
from autollm_operator.commands.objects import read_object
from support.fake_api import Call, FakeApi, When


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (NotFoundError("no", status=404), "there is no AutoLLMRun demo in the namespace team-a"),
        (UnknownKindError("no", status=404), "this cluster does not know AutoLLMRuns: install AutoLLM's CRDs"),
        (ForbiddenError("Unauthorized (401)", status=401), r"Unauthorized \(401\): sign in to the cluster again"),
        (ForbiddenError("the role lacks it (403)", status=403), r"^the role lacks it \(403\)$"),
    ],
)
def test_each_reason_has_its_remedy(error: ApiError, said: str) -> None:
    def fails(call: Call, when: When) -> None:
        raise error

    api = FakeApi()
    api.fault = fails
    with pytest.raises(AutoLLMError, match=said):
        read_object(api, RUNS, "team-a", "demo")
