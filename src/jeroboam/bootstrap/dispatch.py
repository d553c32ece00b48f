"""Starts a dispatcher: the server's end of the agents' sessions. Neighbours: `service`; `jeroboam.dispatch`."""

from jeroboam.bootstrap.context import ProcessContext
from jeroboam.dispatch.records import DispatchRecords
from jeroboam.dispatch.sessions import Dispatcher


def start_dispatch(context: ProcessContext) -> Dispatcher:
    """Start a dispatcher that serves no session yet."""
    records = DispatchRecords(
        context.store,
        ids=context.ids,
        dispatcher=context.name,
        heal_seconds=float(context.settings.containers.create_seconds),
    )
    dispatcher = Dispatcher(records, bus=context.bus, clock=context.clock)
    context.tasks.start("dispatch", dispatcher.run())
    return dispatcher
