"""Actions on a container inside a bay: start, stop, reboot, pause, unpause; its output; a command in it.

The first five are wishes: refused at once if the state forbids them, otherwise carried out in the order in which they
were stored. The others are questions: the bay itself answers, and nothing is stored.
"""

import datetime as dt

from jeroboam.api.bays.containers import detail_view
from jeroboam.api.bays.lookup import container_of
from jeroboam.api.bays.shapes import Output
from jeroboam.api.call import Answer, Call, Handler, reply
from jeroboam.domain.bay_containers import BayContainer, ContainerAction, ask_bay_container, check_act, split_command
from jeroboam.domain.errors import Invalid

ACTS = tuple(act for act in ContainerAction if act is not ContainerAction.CREATE)
_ALL_PROJECTS_RULE = "container:update_all_projects"


def build_handler(act: ContainerAction) -> Handler:
    """The handler of that action, for both forms of its path."""

    async def ask(call: Call) -> Answer:
        async with call.parts.store.write() as tx:
            container = await container_of(tx, call, _ALL_PROJECTS_RULE)
            check_act(container, act)
            deadline = tx.now + dt.timedelta(seconds=call.parts.options.op_seconds)
            container = ask_bay_container(container, act, now=tx.now, deadline=deadline)
            await tx.bay_containers.update(container)
            tx.hint("workload", container.uuid)
        return reply(detail_view(container, call))

    ask.__doc__ = f"PUT /containers/{{id or name}}/{act}: {act} a container in a bay"
    return ask


async def logs(call: Call) -> Answer:
    """GET /containers/{id or name}/logs: what a container in a bay printed"""
    container = await _find_container(call, "logs")
    view: Output = {"output": await call.parts.conductor.read_bay_logs(container.cluster_id, container.uuid)}
    return reply(view)


async def execute(call: Call) -> Answer:
    """PUT /containers/{id or name}/execute: what a command in a container in a bay prints"""
    command = split_command(call.query.get("command", ""))
    if not command:
        raise Invalid("Mandatory argument missing: command. It has to contain at least one word.", field="command")
    container = await _find_container(call, "execute")
    answer = await call.parts.conductor.execute_in_bay(container.cluster_id, container.uuid, command)
    view: Output = {"output": answer.output}
    return reply(view)


async def _find_container(call: Call, question: str) -> BayContainer:
    """The container. The transaction ends before the bay is asked."""
    async with call.parts.store.read() as tx:
        container = await container_of(tx, call, _ALL_PROJECTS_RULE)
    check_act(container, question)
    return container
