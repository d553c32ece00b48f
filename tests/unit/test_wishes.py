"""A wish leaves what was observed as it is, and a failure of an earlier wish does not count for it."""

import datetime as dt
from dataclasses import replace

from jeroboam.domain import bay_containers, bay_manifests, states
from jeroboam.domain.bay_containers import ContainerAction
from jeroboam.domain.clusters import Operation
from jeroboam.domain.containers import OpKind, RuntimeState, Status
from tests import builders
from tests.builders import NOW

LATER = NOW + dt.timedelta(minutes=1)


def test_of_a_cluster():
    cluster = builders.cluster(builders.template())
    observed = replace(cluster.observed, failure="no room", failed_generation=cluster.generation)
    failed = states.project_cluster(replace(cluster, observed=observed))
    assert (failed.status, failed.status_reason) == ("CREATE_FAILED", "no room")
    asked = states.ask_cluster(failed, Operation.UPDATE, now=NOW, minutes=60)
    assert asked.observed == observed
    assert states.is_in_progress(asked)
    again = states.project_cluster(asked, waiting_for="nodes")
    assert (again.status, again.status_reason) == ("UPDATE_IN_PROGRESS", "nodes")
    done = states.project_cluster(replace(again, observed=replace(observed, generation=again.generation)))
    assert (done.status, done.status_reason) == ("UPDATE_COMPLETE", None)


def test_of_a_container():
    container = builders.container(host_id="h", host="h1")
    observed = replace(container.observed, seq=1, error="no image", error_seq=1, failed_op=OpKind.CREATE)
    failed = states.project_container(replace(container, observed=observed))
    assert (failed.status, failed.status_reason) == (Status.ERROR, "no image")
    asked = states.ask_container(failed, OpKind.START, now=NOW, seconds=60, request_id="r")
    assert asked.observed == observed
    assert asked.status_reason is None
    waits = replace(observed, error="the Engine is away", error_seq=2)
    assert states.project_container(replace(asked, observed=waits)).status_reason == "the Engine is away"
    done = replace(observed, seq=2, state=RuntimeState.RUNNING, error=None, error_seq=None, failed_op=None)
    assert states.project_container(replace(asked, observed=done)).status is Status.RUNNING


def test_of_a_container_whose_next_op_is_given_up():
    container = builders.container(host_id="h", host="h1")
    observed = replace(container.observed, seq=1, error="no image", failed_op=OpKind.CREATE)
    failed = states.project_container(replace(container, observed=observed))
    assert failed.status_reason == "no image", "an error of an earlier version is about the last op that ended"
    asked = states.ask_container(failed, OpKind.START, now=NOW, seconds=60, request_id="r")
    given_up = states.project_container(replace(asked, given_up=2, failure="Timed out"))
    assert (given_up.status, given_up.status_reason) == (Status.ERROR, "Timed out")


def test_of_a_container_in_a_bay():
    container = builders.workload(builders.cluster(builders.template()))
    observed = replace(
        container.observed, seq=1, failure="no image", failed_generation=1, failed=ContainerAction.CREATE
    )
    failed = bay_containers.project_bay_container(replace(container, observed=observed))
    assert (failed.status, failed.status_reason) == ("Error", "no image")
    for asked in (
        bay_containers.ask_bay_container(failed, ContainerAction.START, now=NOW, deadline=LATER),
        bay_containers.ask_delete(failed, now=NOW, deadline=LATER),
    ):
        assert asked.observed == observed
        assert "no image" not in asked.status_reason


def test_of_a_manifest():
    manifest = builders.orchestrated(builders.cluster(builders.template()))
    observed = replace(manifest.observed, generation=1, failure="no quota")
    failed = bay_manifests.project_bay_manifest(replace(manifest, observed=observed))
    assert (failed.status, failed.status_reason) == ("Error", "no quota")
    for asked in (
        bay_manifests.ask_manifest_change(failed, failed.spec, now=NOW, deadline=LATER),
        bay_manifests.ask_manifest_delete(failed, now=NOW, deadline=LATER),
    ):
        assert asked.observed == observed
        assert "no quota" not in asked.status_reason
