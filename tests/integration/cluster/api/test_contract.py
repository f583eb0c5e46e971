"""The adapter of the port at a real API server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from autollm_operator.api.client import KubernetesApi
from autollm_operator.api.login import configuration
from cluster.cluster import Cluster
from support.api_contract import ApiContract


class TestKubernetesApi(ApiContract):
    @pytest.fixture
    def api(self, cluster: Cluster) -> Iterator[KubernetesApi]:
        with closing(KubernetesApi(configuration(str(cluster.kubeconfig)), page=3)) as api:  # so that a list of seven has pages
            yield api

    @pytest.fixture
    def worker(self, cluster: Cluster) -> Iterator[KubernetesApi]:
        with closing(KubernetesApi(configuration(str(cluster.kubeconfig)), manager="autollm-train")) as api:
            yield api
