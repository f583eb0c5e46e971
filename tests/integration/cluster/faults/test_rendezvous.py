"""The Services of trainings on several nodes, which somebody deletes, and which nobody else is to clear away."""

from __future__ import annotations

from typing import Any

from support.scene import Scene


def test_a_deleted_service_is_there_again_and_goes_with_its_job(scene: Scene) -> None:
    run, admin = scene.run, scene.run.cluster.admin
    path = f"/api/v1/namespaces/{run.namespace}/services"

    def services() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = [one["metadata"] for one in admin.expect("GET", path)["items"]]
        return found

    scene.pods.seconds = lambda what: 600.0 if what == "train" else 0.1
    run.apply(workers={"train": {"nodes": 2}})
    run.until(lambda: len(services()) == 2, "the trainings have no Services")
    before = {service["uid"] for service in services()}
    scene.operator.kill()
    for service in services():
        admin.expect("DELETE", f"{path}/{service['name']}")
    scene.operator.start()
    run.until(lambda: len(services()) == 2, "the Services are not made again")
    made_again = {service["uid"] for service in services()}
    assert not before & made_again
    admin.expect("DELETE", run.batch(run.jobs("train")[0]["metadata"]["name"]), {"propagationPolicy": "Background"})
    run.until(lambda: len({one["uid"] for one in services()} - made_again) == 1, "the Job that is made anew has no Service")
    run.delete()
    run.until(lambda: not services(), "Services are left of a run that is gone")
