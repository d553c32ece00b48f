"""A Docker Engine of its own for tests that take images away, which other tests need."""

import asyncio
import contextlib
import pathlib
import shutil
import tempfile

from tests.fault.installation import until

START_SECONDS = 60.0


@contextlib.asynccontextmanager
async def running_engine():
    """The Engine's address; it ends with the context, and all that was on it goes."""
    # Sockets have short paths.
    folder = pathlib.Path(tempfile.mkdtemp(prefix="engine-"))
    address = f"unix://{folder}/docker.sock"
    options = ["--data-root", folder / "data", "--exec-root", folder / "exec", "--pidfile", folder / "pid"]
    options += ["--host", address, "--bridge", "none", "--iptables=false"]
    with (folder / "log").open("w") as log:
        process = await asyncio.create_subprocess_exec("dockerd", *options, stdout=log, stderr=log)
    try:
        await until(lambda: _is_listening(process, folder / "log"), START_SECONDS)
        assert process.returncode is None, (folder / "log").read_text()
        yield address
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
        await asyncio.to_thread(shutil.rmtree, folder)


async def _is_listening(process: asyncio.subprocess.Process, log: pathlib.Path) -> bool:
    return process.returncode is not None or "API listen on" in log.read_text()
