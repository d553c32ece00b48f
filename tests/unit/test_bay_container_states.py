"""What a container in a bay is called, and what may be asked of it: one function of wish and observation."""

import datetime as dt
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jeroboam.domain.bay_containers import (
    VANISHED,
    ContainerAction,
    ask_bay_container,
    ask_delete,
    check_act,
    final_status_of,
    parse_memory,
    pending_ops_of,
    project_bay_container,
    split_command,
)
from jeroboam.domain.containers import RuntimeState
from jeroboam.domain.errors import Conflict
from tests import builders
from tests.builders import NOW

LATER = NOW + dt.timedelta(seconds=60)
ACTS = st.sampled_from([act for act in ContainerAction if act is not ContainerAction.CREATE])


def made(**changes):
    """A container of which nothing is asked any more."""
    fresh = builders.workload(builders.cluster(builders.template()))
    seen = replace(fresh.observed, **{"seq": 1, "touched": True, "state": RuntimeState.CREATED, **changes})
    return project_bay_container(replace(fresh, observed=seen))


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("created", "Stopped"), ("running", "Running"), ("restarting", "Running"), ("paused", "Paused"),
        ("exited", "Stopped"), ("dead", "Error"), ("absent", "Error"),
    ],
)  # fmt: skip
def test_what_was_seen_last(state, status):
    shown = made(state=RuntimeState(state))
    assert (shown.status, shown.deadline_at, shown.ops) == (status, None, ())
    assert shown.status_reason == (VANISHED if state == "absent" else None)


@pytest.mark.parametrize(
    ("failed", "state", "status"),
    [
        (ContainerAction.CREATE, "absent", "Error"), (ContainerAction.START, "created", "Error"),
        (ContainerAction.REBOOT, "exited", "Error"),
        (ContainerAction.START, "running", "Running"), (ContainerAction.PAUSE, "running", "Running"),
        (ContainerAction.STOP, "exited", "Stopped"),
        (None, "running", "Running"),
    ],
)  # fmt: skip
def test_what_failed_shows_with_what_was_seen(failed, state, status):
    shown = made(state=RuntimeState(state), failure="no", failed_generation=1, failed=failed, silent="away")
    assert (shown.status, shown.status_reason) == (status, "no")


def test_nobody_knows_while_the_bay_is_silent():
    shown = made(state=RuntimeState.RUNNING, silent="the bay does not answer")
    assert (shown.status, shown.status_reason) == ("Unknown", "the bay does not answer")
    assert final_status_of(shown) == "Running", "what may be asked does not depend on it"


def test_what_waits_keeps_the_later_deadline():
    asked = ask_bay_container(made(), ContainerAction.START, now=NOW, deadline=LATER)
    more = ask_bay_container(asked, ContainerAction.PAUSE, now=NOW, deadline=NOW + dt.timedelta(seconds=5))
    assert more.deadline_at == LATER
    done = project_bay_container(replace(more, observed=replace(more.observed, seq=3, state=RuntimeState.PAUSED)))
    again = ask_bay_container(done, ContainerAction.UNPAUSE, now=NOW, deadline=NOW + dt.timedelta(seconds=5))
    assert again.deadline_at == NOW + dt.timedelta(seconds=5)


@given(acts=st.lists(ACTS, max_size=12))
def test_whatever_is_accepted_makes_sense_in_its_order(acts):
    """A machine that refuses what makes no sense and carries out the rest comes to what was said of it."""
    workload, state = made(), "Stopped"
    for act in acts:
        makes_sense = {
            ContainerAction.START: state == "Stopped", ContainerAction.STOP: state == "Running",
            ContainerAction.PAUSE: state == "Running",
            ContainerAction.UNPAUSE: state == "Paused", ContainerAction.REBOOT: state != "Paused",
        }[act]  # fmt: skip
        try:
            check_act(workload, act)
        except Conflict:
            assert not makes_sense
            continue
        assert makes_sense
        workload = ask_bay_container(workload, act, now=NOW, deadline=LATER)
        state = {ContainerAction.STOP: "Stopped", ContainerAction.PAUSE: "Paused"}.get(act, "Running")
        assert final_status_of(workload) == state
        assert [op.seq for op in pending_ops_of(workload)] == list(range(2, 2 + len(pending_ops_of(workload))))


@given(acts=st.lists(ACTS, max_size=3))
def test_a_delete_makes_all_that_waits_moot(acts):
    workload = made(state=RuntimeState.RUNNING)
    for act in acts:
        workload = ask_bay_container(workload, act, now=NOW, deadline=LATER)
    leaving = ask_delete(workload, now=NOW, deadline=LATER)
    assert (leaving.ops, leaving.status, leaving.deadline_at) == ((), "Running", LATER)
    assert ask_delete(leaving, now=LATER, deadline=LATER) is leaving
    for act in (*ContainerAction, "logs", "execute"):
        if act is not ContainerAction.CREATE:
            with pytest.raises(Conflict, match="being deleted"):
                check_act(leaving, act)


@pytest.mark.parametrize("memory", ["", "0", "m", "-1", "1.5g", "1t", "1 m", "999999999999999g", "٣"])
def test_what_is_no_size(memory):
    with pytest.raises(ValueError, match=f"^{re.escape(memory)}$"):
        parse_memory(memory)


def test_words():
    assert split_command("sh -c 'echo \"a b\"' c\\ d") == ("sh", "-c", 'echo "a b"', "c d")
    with pytest.raises(ValueError, match="quotation"):
        split_command("sh -c 'x")
