"""What the chart's objects are called: whatever helm takes as a release's name, and one release's never as another's."""

from __future__ import annotations

import pytest

from support.chart import of_kind, render


@pytest.mark.parametrize(
    ("release", "name"),
    [
        ("first", "first-autollm"),
        ("my.release", "my-release-autollm"),
        ("autollm.1", "autollm-1"),
        ("1st", "release-1st-autollm"),
        ("123", "release-123-autollm"),
        ("a" * 38 + "--b", "a" * 38),
    ],
)
def test_every_name_of_a_release_gives_a_service_a_name_that_it_can_have(release: str, name: str) -> None:
    documents = render({"crds": {"enabled": False}}, release=release)
    (service,) = of_kind(documents, "Service")
    (deployment,) = of_kind(documents, "Deployment")
    assert service["metadata"]["name"] == deployment["metadata"]["name"] == name
    assert service["spec"]["selector"]["app.kubernetes.io/instance"] == release
    assert service["spec"]["selector"].items() <= deployment["spec"]["template"]["metadata"]["labels"].items()


def test_releases_of_two_namespaces_share_no_name_of_the_cluster() -> None:
    values = {"crds": {"enabled": False}, "clusterWide": True}
    names = [
        one["metadata"]["name"]
        for namespace, release in (("team", "a"), ("team-a", "autollm"))
        for one in render(values, namespace=namespace, release=release)
        if one["kind"].startswith("Cluster")
    ]
    assert len(names) == 10
    assert len(set(names)) == 8, names  # a role and its binding have one name
