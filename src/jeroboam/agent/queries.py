"""Answers live questions about containers. They wait neither for an op nor for each other."""

from collections.abc import Mapping
from typing import Any

import structlog

from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.protocol import LiveRequest, LiveResponse
from jeroboam.runtimes.base import (
    CommandTimedOut,
    ContainerGone,
    InvalidRequest,
    Runtime,
    SupportsExec,
    SupportsLogs,
    SupportsStats,
    SupportsTop,
)

log = structlog.get_logger(__name__)


async def answer_request(runtime: Runtime, request: LiveRequest, *, limit: float) -> LiveResponse:
    """Return the answer, or why there is none. A command may take `limit` seconds."""
    try:
        result = await _ask(runtime, request.method, request.container, request.params, limit)
    except ContainerGone as error:
        return LiveResponse(id=request.id, error="gone", detail=error.reason)
    except InvalidRequest as error:
        return LiveResponse(id=request.id, error="invalid", detail=error.reason)
    except (Permanent, CommandTimedOut) as error:
        return LiveResponse(id=request.id, error="conflict", detail=error.reason)
    except Temporary as error:
        return LiveResponse(id=request.id, error="unavailable", detail=error.reason)
    except Exception:
        log.exception("agent.bug", method=request.method, container=request.container)
        return LiveResponse(id=request.id, error="unavailable", detail="the agent met an error of its own")
    return LiveResponse(id=request.id, result=result)


async def _ask(runtime: Runtime, method: str, uuid: str, params: Mapping[str, Any], limit: float) -> object:
    match method:
        case "logs" if isinstance(runtime, SupportsLogs):
            return await runtime.logs(uuid, **params)
        case "execute" if isinstance(runtime, SupportsExec):
            result = await runtime.execute(uuid, params["command"], limit=limit)
            return {"output": result.output, "exit_code": result.exit_code}
        case "top" if isinstance(runtime, SupportsTop):
            return dict(await runtime.top(uuid, params.get("ps_args")))
        case "stats" if isinstance(runtime, SupportsStats):
            return dict(await runtime.stats(uuid))
    raise Permanent(f"this host's runtime has no {method}")
