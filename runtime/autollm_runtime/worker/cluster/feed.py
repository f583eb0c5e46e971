"""The trials of one slot, by a watch: what is there is known without asking, and a new trial wakes the worker at once."""

from __future__ import annotations

import logging
import threading

from pydantic import ValidationError

from autollm.errors import AutoLLMError, InputError
from autollm.resources.merge_trial import MergeTrial
from autollm_runtime.worker.cluster.answers import ApiUnavailableError, ExpiredError, ForbiddenError, ObjectGoneError
from autollm_runtime.worker.cluster.api import ClusterApi, Document
from autollm_runtime.worker.cluster.outcome import has_outcome
from autollm_runtime.worker.cluster.ownership import belongs_to
from autollm_runtime.worker.cluster.patience import Clock, Patience
from autollm_runtime.worker.faults import faults_of

_log = logging.getLogger(__name__)

_LONGEST_WAIT = 0.5
"""Seconds within which a request to stop is noticed while nothing else happens."""

_LASTING = 5.0
"""A watch that lasted so many seconds worked: after it the pauses begin anew."""


class KubernetesFeed:
    """The waiting trials of a slot of the run with this uid, followed by a thread from the first question on.

    A trial that is owned by another run, of the same name but another uid, is none of ours. `next` and `named` raise InputError where
    a trial cannot be read (UnreadableTrial), and `next` where the ServiceAccount lacks the right to look (Forbidden).
    """

    def __init__(self, api: ClusterApi, uid: str, *, patience: Patience | None = None, clock: Clock | None = None) -> None:
        self._api = api
        self._uid = uid
        self._patience = patience or Patience()
        self._clock = clock or Clock()
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._waiting: dict[str, Document] = {}
        self._given: set[str] = set()
        self._failure: AutoLLMError | None = None
        self._follower: threading.Thread | None = None
        self._closed = False

    def next(self, slot: int, run: str) -> MergeTrial | None:
        """Return the waiting trial with the lowest number, each once, or None at once where none is known."""
        self._start(slot, run)
        # Cleared before the look: whatever comes after it makes the next wait return at once.
        self._changed.clear()
        with self._lock:
            if self._failure is not None:
                raise self._failure
            trials = [_parse(document) for document in self._waiting.values()]
            first = min(trials, key=lambda trial: (trial.spec.number or 0, trial.metadata.name), default=None)
            if first is not None:
                # Its outcome may be written before the watch tells of it; it is not to be scored again meanwhile.
                self._given.add(self._waiting.pop(first.metadata.name)["metadata"]["uid"])
        return first

    def named(self, name: str) -> MergeTrial | None:
        """Return the trial of this name, or None where it has its outcome or is not there any more."""
        try:
            document = self._api.get("MergeTrial", name)
        except ObjectGoneError:
            return None
        return None if has_outcome(document) or not belongs_to(document, self._uid) else _parse(document)

    def wait(self, stop: threading.Event) -> None:
        """Return as soon as trials have changed, and within half a second when asked to stop."""
        if not stop.is_set():
            self._changed.wait(_LONGEST_WAIT)

    def close(self) -> None:
        """Follow trials no more: the thread ends when its present request does."""
        self._closed = True

    def _start(self, slot: int, run: str) -> None:
        if self._follower is None:
            fields = f"spec.run={run},spec.slot={slot}"
            self._follower = threading.Thread(target=self._follow, args=(fields,), name="trials", daemon=True)
            self._follower.start()

    def _follow(self, fields: str) -> None:
        version: str | None = None
        pauses = self._patience.pauses()
        forbidden: float | None = None
        while self._failure is None and not self._closed:
            began = self._clock.now()
            try:
                if version is None:
                    version = self._look(fields)
                forbidden = None
                for kind, document in self._api.watch("MergeTrial", fields, version):
                    self._take(kind, document)
                    version = document["metadata"]["resourceVersion"]
            except ExpiredError:
                version = None
            except ApiUnavailableError as error:
                _log.info("the watch is taken up again", extra={"cause": str(error)})
            except ForbiddenError as error:
                forbidden = began if forbidden is None else forbidden
                if began - forbidden >= self._patience.forbidden:
                    self._fail(error)
            except AutoLLMError as error:
                self._fail(error)
            except Exception as error:
                _log.exception("the watch ended")
                self._fail(AutoLLMError(f"the trials cannot be watched: {type(error).__name__}: {error}"))
            if self._clock.now() - began >= _LASTING:
                pauses = self._patience.pauses()
            else:
                self._clock.sleep(next(pauses))

    def _look(self, fields: str) -> str:
        documents, version = self._api.list("MergeTrial", fields)
        with self._lock:
            self._waiting = {document["metadata"]["name"]: document for document in documents if self._is_waiting(document)}
        self._changed.set()
        return version

    def _take(self, kind: str, document: Document) -> None:
        if kind == "BOOKMARK":
            return
        name = document["metadata"]["name"]
        with self._lock:
            self._waiting.pop(name, None)
            if kind != "DELETED" and self._is_waiting(document):
                self._waiting[name] = document
        self._changed.set()

    def _is_waiting(self, document: Document) -> bool:
        return belongs_to(document, self._uid) and not has_outcome(document) and document["metadata"]["uid"] not in self._given

    def _fail(self, error: AutoLLMError) -> None:
        with self._lock:
            self._failure = error
        self._changed.set()


def _parse(document: Document) -> MergeTrial:
    try:
        return MergeTrial.parse({name: part for name, part in document.items() if name != "status"})
    except ValidationError as error:
        name = document["metadata"]["name"]
        raise InputError(
            f"MergeTrial {name} cannot be read ({faults_of(error)}): the CRDs are newer than this worker; "
            "use the runtime's image of their version",
            reason="UnreadableTrial",
        ) from error
