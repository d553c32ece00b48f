"""Which changes of a cluster are worth an event, and what other services are told."""

import json
from dataclasses import replace

import pytest

from jeroboam.domain.clusters import ClusterStatus, Health, NodeObserved, NodeState, Operation
from jeroboam.domain.events import CLUSTER_STATUS, Event, EventDraft, draft_events, is_count_only, is_repeated
from jeroboam.domain.notifications import Initiator, build_cadf_event, build_message, event_type_of, result_of
from jeroboam.domain.progress import list_some
from tests import builders

NOW = builders.NOW
KIND, HERE = "magnum.cluster.create", "container-infra.h"
ASKER = Initiator(user_id="u1", project_id="p1", request_id="req-1")


@pytest.fixture
def cluster():
    return builders.cluster(builders.template())


def seen(cluster, **changes):
    return replace(cluster, observed=replace(cluster.observed, **changes))


def event(status, message, kind=CLUSTER_STATUS) -> Event:
    return Event(
        uuid="e",
        cluster_id="c",
        cluster_name="n",
        project_id="p",
        event_type=kind,
        status=status,
        message=message,
        created_at=NOW,
    )


def test_nothing_changed_is_nothing_told(cluster):
    assert draft_events(cluster, cluster) == []
    same = replace(cluster, status_reason="no room")
    assert draft_events(same, same) == []


def test_status_reason_and_health_are_told(cluster):
    done = replace(cluster, status=ClusterStatus.CREATE_FAILED, status_reason="no room")
    assert draft_events(cluster, done) == [
        EventDraft(event_type="cluster.status", status="CREATE_FAILED", message="no room")
    ]
    waits = replace(cluster, status_reason="no room")
    assert [told.message for told in draft_events(cluster, waits)] == ["no room"]
    assert draft_events(waits, cluster) == [], "that a reason is over is no event"
    sick = seen(cluster, health_status=Health.UNHEALTHY, health_status_reason={"api": "refused"})
    assert draft_events(cluster, sick) == [
        EventDraft(event_type="cluster.health", status="UNHEALTHY", message="api: refused")
    ]
    assert draft_events(sick, seen(sick, health_status_reason={"api": "away"})) == []


def test_progress_that_only_counts_up_is_not_told(cluster):
    assert draft_events(cluster, replace(cluster, status_reason="2 of 3 nodes are up")) == []
    assert is_count_only("12 of 40 nodes are up")
    assert not is_count_only("node 2 of 3 is lost")


def test_what_fails_again_and_again_is_told_once():
    told = EventDraft(event_type=CLUSTER_STATUS, status="CREATE_IN_PROGRESS", message="no answer in 10 s")
    known = [event("CREATE_IN_PROGRESS", "no room"), event("CREATE_IN_PROGRESS", "no answer in 5 s")]
    assert is_repeated(told, known)
    assert not is_repeated(told, known[:1])
    assert not is_repeated(told, [event("UPDATE_IN_PROGRESS", "no answer in 5 s")])
    health = EventDraft(event_type="cluster.health", status="HEALTHY", message=None)
    assert not is_repeated(health, [event("HEALTHY", None, "cluster.health")])


@pytest.mark.parametrize(
    ("operation", "status", "kind", "result"),
    [
        (Operation.CREATE, "CREATE_IN_PROGRESS", "create", "pending"),
        (Operation.CREATE, "CREATE_COMPLETE", "create", "success"),
        (Operation.UPDATE, "UPDATE_FAILED", "update", "failure"),
        (Operation.DELETE, "DELETE_COMPLETE", "delete", "success"),
        (Operation.ROLLBACK, "ROLLBACK_IN_PROGRESS", "update", "pending"),
        (Operation.ROLLBACK, "ROLLBACK_COMPLETE", "update", "failure"),
    ],
)
def test_what_is_told_of_an_operation(cluster, operation, status, kind, result):
    cluster = replace(cluster, operation=operation, status=ClusterStatus[status])
    assert (event_type_of(cluster), result_of(cluster)) == (f"magnum.cluster.{kind}", result)


def test_the_payload_is_cadf_with_the_whole_cluster_and_no_secret(cluster):
    labels = {"team": "a", "grafana_admin_passwd": "hunter2", "registry_token": "hunter3"}
    cluster = replace(cluster, spec=replace(cluster.spec, labels=labels, discovery_url="https://d/hunter4"))
    groups = builders.groups(cluster, 1, 2)
    node = NodeObserved(uuid="n", name="n", state=NodeState.RUNNING, address="10.0.0.2")
    groups[1] = replace(groups[1], observed=(node,))
    payload = build_cadf_event(cluster, groups, ASKER, ident="id-1", now=NOW)
    json.dumps(payload)
    assert payload["typeURI"] == "http://schemas.dmtf.org/cloud/audit/1.0/event"
    assert (payload["eventType"], payload["action"], payload["outcome"], payload["id"]) == (
        "activity",
        "create",
        "pending",
        "id-1",
    )
    assert payload["initiator"] | {"typeURI": ""} == {
        "typeURI": "",
        "id": "u1",
        "user_id": "u1",
        "project_id": "p1",
        "request_id": "req-1",
    }
    target = payload["target"]
    assert target["id"] == cluster.uuid
    [attachment] = target["attachments"]
    content = attachment["content"]
    assert (content["master_count"], content["node_count"], content["node_addresses"]) == (1, 2, ["10.0.0.2"])
    assert content["labels"] == {"team": "a", "grafana_admin_passwd": "***", "registry_token": "***"}
    assert "hunter" not in repr(payload)
    assert "reason" not in payload


def test_a_failure_says_why_and_has_another_priority(cluster):
    cluster = replace(cluster, status=ClusterStatus.CREATE_FAILED, status_reason="no room")
    payload = build_cadf_event(cluster, (), Initiator(user_id=None, project_id="p1"), ident="i", now=NOW)
    assert payload["reason"]["reasonCode"] == "no room"
    assert "user_id" not in payload["initiator"]
    message = build_message(KIND, json.dumps(payload), number=7, at=NOW, publisher_id="container-infra.h")
    assert (message.priority, message.publisher_id) == ("ERROR", HERE)
    again = build_message(KIND, json.dumps(payload), number=7, at=NOW, publisher_id=HERE)
    assert message == again, "sent twice it is the same message"
    other = build_message(KIND, json.dumps(payload), number=8, at=NOW, publisher_id=HERE)
    assert other.message_id != message.message_id
    plain = build_message("container.stop", '{"status": "Stopped"}', number=9, at=NOW, publisher_id="x")
    assert (plain.priority, plain.timestamp) == ("INFO", "2026-01-02 03:04:05.000000")


@pytest.mark.parametrize(
    ("count", "text"), [(0, ""), (3, "t0; t1; t2"), (4, "t0; t1; t2; and 1 more"), (100, "t0; t1; t2; and 97 more")]
)
def test_of_many_things_a_sentence_names_three(count, text):
    things = [f"t{number}" for number in range(count)]
    assert list_some(things) == text
    assert list_some(things, between=", ") == text.replace("; ", ", ")
