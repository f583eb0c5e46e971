"""Workers of the made-up world whose sources are cut into many chunks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from autollm.contract.tasks import PrepareTask
from autollm.resources.facts import ChunkFact, Prepared, PublishedRevision
from support import synthetic


class ManyChunks:
    """So many chunks in all, spread evenly over the sources."""

    trained, result = staticmethod(synthetic.trained), staticmethod(synthetic.result)
    published, pinned = staticmethod(synthetic.published), staticmethod(synthetic.pinned)

    def __init__(self, chunks: int, like: str = "") -> None:
        self.chunks = chunks
        self._like = like

    def prepared(self, task: PrepareTask, existing: Collection[str] = (), published: PublishedRevision | None = None) -> Prepared:
        """The facts, with chunks in the order of sources."""
        facts = synthetic.prepared(task, existing, published)
        sources = sorted(facts.chunks[number % len(facts.chunks)].source for number in range(self.chunks))
        return facts.model_copy(update={"chunks": list(self._cut(sources))})

    def _cut(self, sources: list[str]) -> list[ChunkFact]:
        numbers: Counter[str] = Counter()
        cut = []
        for source in sources:
            numbers[source] += 1
            chunk = synthetic.chunk(f"{source}-{numbers[source]:04}", self._like)
            cut.append(chunk.model_copy(update={"source": source}))
        return cut
