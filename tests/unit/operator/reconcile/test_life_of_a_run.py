"""The life of a run in a cluster, from `kubectl apply` to a published model."""

from __future__ import annotations

from support.cluster_world import ClusterWorld, remote_run


class TestWholeLife:
    def test_to_published(self) -> None:
        world = ClusterWorld()
        world.apply(remote_run())
        world.settle()
        assert world.conditions()["Succeeded"] == ("True", "Published")
