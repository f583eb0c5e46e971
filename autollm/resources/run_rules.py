"""The rules of a run that concern several of its sections at once."""

from __future__ import annotations

from autollm.resources.model import Rule

# Every rule is cheap enough for the API server's budget (a cost of 1,000,000) in the largest document that the bounds let through:
# `in` costs one a member, where exists() costs some six, and a sum of strings is only made where their beginning agrees.
# cel-python lets an error inside filter() escape from `!has(…) || …`, so what may be absent is filtered out before.
_NAMED_SOURCES = "self.sources.filter(s, s.name in m.sources).size() == m.sources.size()"
_OF_A_SOURCE = (
    "k.contains('/') ? (self.data.chunk.by == 'Size' ? k.startsWith('pool') : "
    "self.sources.exists(s, k.startsWith(s.name) && (k.startsWith(s.name + '/') || k.startsWith(s.name + '-')))) : "
    "(k == 'all' && self.baselines.trainOnAll) || (has(self.deltas) && self.deltas.exists(d, d.name == k))"
)
_OF_A_METHOD = "!k.contains('/') || self.training.methods.exists(m, k.endsWith(m.name) && k.endsWith('/' + m.name))"


def _weights_name_deltas(points: str, words: str, field: str) -> tuple[Rule, Rule]:
    """Return the rules that hand-written weights are of deltas which this run can have."""
    return (
        Rule(
            f"!has({points}) || {points}.all(p, p.weights.all(k, {_OF_A_SOURCE}))",
            f"{words} name a delta of no source: write SOURCE/METHOD with a source of this run (pool/METHOD where chunks are cut by Size), "
            "the name of a ready-made delta, or all where baselines.trainOnAll is true",
            field,
        ),
        Rule(
            f"!has({points}) || {points}.all(p, p.weights.all(k, {_OF_A_METHOD}))",
            f"{words} name a delta of no method: write SOURCE/METHOD with a method of this run",
            field,
        ),
    )


_CREDENTIALS = "['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN']"

RUN_RULES = (
    Rule(
        f"self.training.methods.filter(m, has(m.sources)).all(m, {_NAMED_SOURCES})",
        "a method's sources must name sources of this run: add the source or correct the name",
        "training",
    ),
    Rule(
        f"!has(self.evaluation.metrics) || self.evaluation.metrics.filter(m, has(m.sources)).all(m, {_NAMED_SOURCES})",
        "a metric's sources must name sources of this run: add the source or correct the name",
        "evaluation",
    ),
    Rule(
        "self.sources.exists(s, s.use == 'Train')",
        "at least one source must have use: Train (the default), or there is nothing to train on",
        "sources",
    ),
    Rule(
        "double(self.data.split.search) > 0.0 || self.sources.exists(s, s.use == 'Search')",
        "the search split would be empty: set data.split.search above 0 or give a source use: Search",
        "data",
    ),
    Rule(
        "double(self.data.split.test) > 0.0 || self.sources.exists(s, s.use == 'Test')",
        "the test split would be empty: set data.split.test above 0 or give a source use: Test",
        "data",
    ),
    Rule(
        "self.sources.all(s, !s.name.matches('-([01][0-9][0-9][0-9]|2000)$') || "
        "!self.sources.exists(o, s.name.size() == o.name.size() + 5 && s.name.startsWith(o.name + '-')))",
        "a source must not be called like a chunk of another (math-0001 beside math): give one of them another name",
        "sources",
    ),
    Rule(
        "self.data.chunk.by != 'Size' || self.sources.all(s, !s.name.startsWith('pool'))",
        "where chunks are cut by Size, they are called pool: give the source that begins so another name",
        "sources",
    ),
    Rule(
        "!has(self.deltas) || !has(self.baselines.manual) || self.baselines.manual.all(p, !self.deltas.exists(d, d.name == p.name))",
        "a manual point must not have the name of a ready-made delta: rename one, both are rows of the results table",
        "baselines",
    ),
    Rule(
        f"!has(self.artifacts.secretName) || !has(self.workers.env) || !self.workers.env.exists(e, e.name in {_CREDENTIALS})",
        "the credentials for S3 come from artifacts.secretName: remove AWS_ACCESS_KEY_ID and the like from env, or secretName",
        "workers",
    ),
    *_weights_name_deltas("self.baselines.manual", "manual weights", "baselines"),
    *_weights_name_deltas("self.search.start", "start weights", "search"),
)
