"""Whether what remains of the data is enough for a run; where it is not, why, with the counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autollm.contract.manifests import SourceCounts
from autollm.errors import InputError
from autollm.resources.run import RunSpec
from autollm_runtime.prepare.split import SPLITS


def check_remains(spec: RunSpec, sources: Sequence[SourceCounts]) -> None:
    """Check that every source has records left, and every split has some.

    Raises InputError: NoRecords (with the reasons and counts), OneRecord, EmptySplit (which split, and what gives it records).
    """
    for source in sources:
        if not sum(source.kept.values()):
            raise InputError(
                f"source {source.name}: none of its {source.read} records is left ({_reasons(source.dropped)}); {_remedy(source.dropped)}",
                reason="NoRecords",
            )
    total = sum(sum(source.kept.values()) for source in sources)
    if total == 1:
        raise InputError(
            "sources: there is one record in all, and nothing is left to hold out; "
            "give more records, or sources with use: Search and use: Test",
            reason="OneRecord",
        )
    shares = {"Search": spec.data.split.search, "Test": spec.data.split.test}
    for split in SPLITS:
        if any(source.kept.get(split, 0) for source in sources):
            continue
        if split == "Train":
            raise InputError(
                f"data.split: none of the {total} records fell to training; "
                "give more records, or lower data.split.search and data.split.test",
                reason="EmptySplit",
            )
        field = f"data.split.{split.lower()}"
        raise InputError(
            f"{field}: none of the {total} records fell to the {split.lower()} split, which is {shares[split]} of each training source; "
            f"raise it, give more records, or add a source with use: {split}",
            reason="EmptySplit",
        )


def _reasons(dropped: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in sorted(dropped.items())) or "it has none"


def _remedy(dropped: Mapping[str, int]) -> str:
    most = max(dropped, key=lambda reason: dropped[reason], default="")
    remedies = {
        "Duplicate": "its records stand in an earlier source already: remove the source, or give it other records",
        "NearDuplicate": "its records resemble earlier ones: raise data.deduplicate.near, or give it other records",
        "Leaked": "its records share prompts or long runs of words with another split: give held-out sources records of their own",
        "TooLong": "raise data.maxTokens, or shorten the records",
        "TemplateRefused": "the model's chat template takes no such chats: leave out what it refuses, such as system messages",
    }
    return remedies.get(most, "mend the records, or name their columns under file.map")
