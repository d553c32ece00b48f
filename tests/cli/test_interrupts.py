"""Ctrl-C, and a reader that goes away: few words, and none that are untrue."""

import asyncio
import json
import os
import signal
import sys


async def start(*words, **environment: str):
    kept = {key: value for key, value in os.environ.items() if not key.startswith("OS_")}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "jeroboam", *words),
        env=kept | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_while_modules_are_imported(tmp_path):
    (tmp_path / "typer.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = await start("ps", PYTHONPATH=path)
    assert await command.communicate() == (b"", b"\n")
    assert command.returncode == 130


async def test_before_a_change_was_asked_for(tmp_path):
    is_asked = asyncio.Event()

    async def stay_silent(reader, writer):
        is_asked.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(stay_silent, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        clouds = tmp_path / "clouds.yaml"
        auth = {"username": "a", "password": "b", "project_name": "c", "auth_url": url}
        clouds.write_text(json.dumps({"clouds": {"far": {"auth": auth}}}))
        for line in ("cluster delete cc", "run busybox"):
            is_asked.clear()
            command = await start(*line.split(), OS_CLOUD="far", OS_CLIENT_CONFIG_FILE=str(clouds))
            await is_asked.wait()
            command.send_signal(signal.SIGINT)
            out, err = await command.communicate()
            assert (command.returncode, out, err) == (130, b"", b"jeroboam: interrupted\n"), line


async def test_a_reader_that_goes_away(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    for line in ("completion bash", "config sample", "config show"):
        command = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "jeroboam", *line.split()), stdout=writer, stderr=asyncio.subprocess.PIPE
        )
        _, err = await command.communicate()
        assert err == b"", line
        assert command.returncode != 0
    os.close(writer)
