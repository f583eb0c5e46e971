"""Write the kustomize bases from the chart, which is the one truth: `generate.py --helm HELM`, and with `--check` only say what differs."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
CHART = HERE.parent / "autollm"
NAMESPACE = "autollm-system"
OF_HELM = ("helm.sh/chart", "app.kubernetes.io/managed-by", "app.kubernetes.io/instance", "app.kubernetes.io/version")
"""Labels that say that helm made an object, or which release: without meaning here. Selectors keep the instance."""
HEADER = "# Generated from charts/autollm by: make generate\n"


def rendered(helm: str) -> list[dict[str, Any]]:
    """Return the chart's objects with its default values, without the CRDs."""
    command = [helm, "template", "autollm", str(CHART), "--namespace", NAMESPACE, "--set", "crds.enabled=false"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 - a program that the caller names
    return [document for document in yaml.safe_load_all(output) if document]


def generated(helm: str) -> Iterator[tuple[Path, str]]:
    """Yield each generated file with its text."""
    operator, namespace = [], []
    for document in rendered(helm):
        labels = document["metadata"].get("labels", {})
        document["metadata"]["labels"] = {name: value for name, value in labels.items() if name not in OF_HELM}
        if document["kind"] == "ConfigMap":
            yield HERE / "base" / "settings.yaml", HEADER + document["data"]["settings.yaml"]
        elif document["kind"] in ("Role", "RoleBinding") or document["metadata"]["name"] == "autollm-worker":
            namespace.append(document)
        else:
            if document["kind"] == "Deployment":  # the hash in the generated ConfigMap's name serves in its place
                del document["spec"]["template"]["metadata"]["annotations"]["autollm.dev/settings-checksum"]
            operator.append(document)
    yield HERE / "base" / "operator.yaml", HEADER + yaml.safe_dump_all(operator, sort_keys=False)
    yield HERE / "namespace" / "namespace.yaml", HEADER + yaml.safe_dump_all(namespace, sort_keys=False)


def main() -> int:
    """Write the files, or check them; the exit code is 1 where one differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--helm", required=True, help="the program helm")
    parser.add_argument("--check", action="store_true", help="write nothing; name the files that differ")
    arguments = parser.parse_args()
    different = [(path, text) for path, text in generated(arguments.helm) if not path.is_file() or path.read_text() != text]
    for path, text in different:
        if arguments.check:
            sys.stderr.write(f"{path.relative_to(HERE)} is not what the chart says: run make generate\n")
        else:
            path.write_text(text)
    return 1 if arguments.check and different else 0


if __name__ == "__main__":
    raise SystemExit(main())
