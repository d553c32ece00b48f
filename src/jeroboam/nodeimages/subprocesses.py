"""Runs the programs that make node images. Neighbours: `gomodules`; `gotoolchain`."""

import asyncio
import os
import signal
from collections.abc import Mapping
from pathlib import Path


async def run_program(*args: str, cwd: Path, env: Mapping[str, str]) -> tuple[int, str, str]:
    """Run a command; return its exit status, output and error output. When cancelled, its process group is killed."""
    start = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *args,
            cwd=cwd,
            env={**os.environ, **env},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    )
    try:
        # A start that is cancelled ends the program alone, and not what the program has started by then.
        process = await asyncio.shield(start)
        out, err = await process.communicate()
    finally:
        process = await start
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    return process.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace")
