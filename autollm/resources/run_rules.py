"""The rules of a run that concern several of its sections at once."""

from __future__ import annotations

from autollm.resources.model import Rule

_KNOWN_DELTA = (
    "(has(self.deltas) && self.deltas.exists(d, d.name == k)) || (k == 'all' && self.baselines.trainOnAll) || "
    "(self.training.methods.exists(m, k.endsWith('/' + m.name)) && "
    "(self.data.chunk.by == 'Size' ? k.startsWith('pool') : "
    "self.sources.exists(s, k.startsWith(s.name + '/') || k.startsWith(s.name + '-'))))"
)
_REMEDY = (
    "weights name a delta that cannot exist: write SOURCE/METHOD with a source and a method of this run "
    "(pool/METHOD where chunks are cut by Size), the name of a ready-made delta, or all where baselines.trainOnAll is true"
)

RUN_RULES = (
    Rule(
        "self.training.methods.all(m, !has(m.sources) || m.sources.all(n, self.sources.exists(s, s.name == n)))",
        "a method's sources must name sources of this run: add the source or correct the name",
        "training",
    ),
    Rule(
        "!has(self.evaluation.metrics) || "
        "self.evaluation.metrics.all(m, !has(m.sources) || m.sources.all(n, self.sources.exists(s, s.name == n)))",
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
        f"!has(self.baselines.manual) || self.baselines.manual.all(p, p.weights.all(k, {_KNOWN_DELTA}))", f"manual {_REMEDY}", "baselines"
    ),
    Rule(f"!has(self.search.start) || self.search.start.all(p, p.weights.all(k, {_KNOWN_DELTA}))", f"start {_REMEDY}", "search"),
)
