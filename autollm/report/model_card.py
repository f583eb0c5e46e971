"""The model card of a published model: what it was made of, how well it did, how to load it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from autollm.contract.digests import short
from autollm.contract.manifests import DataManifest, RevisionManifest
from autollm.resources.facts import ModelFact
from autollm.resources.run_status import Interval, ResultRow, ScoredOn

_HUB = "hf://"


def model_card(manifest: RevisionManifest, data: DataManifest, uri: str) -> str:
    """Return the README.md of a published model in Markdown; `uri` is where it is published."""
    parts = [
        _front_matter(manifest),
        f"# {manifest.run} {manifest.revision}",
        f"A language model merged from a base and {_count(len(manifest.deltas), 'delta')} by AutoLLM: "
        "W = W_base + Σ weight · Δ, summed in fp32 from the base and rounded once.",
        "## Made of\n\n" + _made_of(manifest),
        "## Scores\n\n" + _scores(manifest.results),
        "## Data\n\n" + _data(data),
        "## How to load it\n\n" + _loading(uri),
        f"The file `manifest.json` beside this one has the full lineage: the run's document, the data (`{manifest.data}`), how each delta "
        f"was trained, the digest of every file and the versions of the programs. Merged on {manifest.created}.",
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(manifest: RevisionManifest) -> str:
    lines = ["library_name: transformers", "pipeline_tag: text-generation", "tags: [merge, autollm]"]
    if isinstance(manifest.model, ModelFact) and manifest.model.uri.startswith(_HUB):
        lines.insert(0, f"base_model: {manifest.model.uri.removeprefix(_HUB).partition('@')[0]}")
    return "\n".join(["---", *lines, "---"])


def _made_of(manifest: RevisionManifest) -> str:
    model = manifest.model
    base = f"`{model.uri}` ({short(model.digest)}), {manifest.dtype}" if isinstance(model, ModelFact) else f"`{model}`"
    made = {delta.key: delta for delta in manifest.lineage}
    rows = []
    for name, weight in manifest.weights.items():
        delta = made.get(manifest.deltas.get(name, ""))
        how = "" if delta is None else (delta.method.kind if delta.method is not None else delta.origin)
        form = "" if delta is None else {"Lora": "LoRA", "Full": "full difference"}[delta.form]
        rows.append((f"`{name}`", _number(weight), how, form, f"`{short(manifest.deltas[name])}`" if name in manifest.deltas else ""))
    return f"Base: {base}\n\n" + _table(("delta", "weight", "trained by", "form", "key"), rows)


def _scores(results: Sequence[ResultRow]) -> str:
    if not results:
        return "This model was published without scores."
    rows = [(f"`{row.name}`", _scored(row.search), _scored(row.test), _interval(row.versus)) for row in results]
    test = next((row.test for row in results if row.test is not None), None)
    items = f" on {test.items} items" if test is not None else ""
    note = (
        "Every score lies between 0 and 1, higher is better, ± its standard error. `auto` is this model. The search split chose the "
        f"weights; the test split{items} was never searched. The last column is `auto` minus the row on the test split, with its paired "
        "95 % interval."
    )
    return _table(("model", "search", "test", "auto ahead by"), rows) + "\n\n" + note


def _data(data: DataManifest) -> str:
    rows = []
    for source in data.sources:
        kept = [str(source.kept.get(split, 0)) for split in ("Train", "Search", "Test")]
        dropped = ", ".join(f"{count} {reason}" for reason, count in sorted(source.dropped.items())) or "none"
        rows.append((f"`{source.name}`", str(source.read), *kept, dropped))
    return _table(("source", "read", "train", "search", "test", "dropped"), rows)


def _loading(uri: str) -> str:
    local = uri.removeprefix("file://")
    fetch = f"    aws s3 sync {uri} model\n\n" if uri.startswith("s3://") else ""
    folder = "model" if fetch else local
    return (
        f"It is a plain `transformers` model and needs nothing of AutoLLM.\n\n{fetch}"
        "```python\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        f'tokenizer = AutoTokenizer.from_pretrained("{folder}")\n'
        f'model = AutoModelForCausalLM.from_pretrained("{folder}")\n'
        "```"
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _scored(scored: ScoredOn | None) -> str:
    return "" if scored is None else f"{scored.score:.4f} ± {scored.standard_error:.4f}"


def _interval(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval.difference:+.4f} [{interval.low:+.4f}, {interval.high:+.4f}]"


def _number(value: Decimal) -> str:
    return f"{value:.4f}".rstrip("0").rstrip(".") or "0"


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")
