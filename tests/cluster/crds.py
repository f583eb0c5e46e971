"""The CRDs of this checkout, put into a cluster."""

from __future__ import annotations

import functools
from pathlib import Path

import yaml

from cluster.connection import APPLY, Connection
from cluster.waiting import wait_until

FOLDER = Path(__file__).parents[2] / "crds"


def install_crds(admin: Connection) -> None:
    """Apply the CRDs and wait until they are served."""
    for path in sorted(FOLDER.glob("*.yaml")):
        document = yaml.safe_load(path.read_text())
        url = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{document['metadata']['name']}"
        admin.expect("PATCH", f"{url}?fieldManager=tests&force=true", document, content_type=APPLY)
        plural, group = document["spec"]["names"]["plural"], document["spec"]["group"]
        served = f"/apis/{group}/{document['spec']['versions'][0]['name']}/{plural}?limit=1"
        wait_until(functools.partial(admin.answers, served), f"the API server does not serve {plural}")
