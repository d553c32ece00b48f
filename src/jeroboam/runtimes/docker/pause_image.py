"""The image of sandboxes: one program that waits for ever, made here, since no registry may answer.

The program is a few instructions in an ELF file; it needs no library. The name of its image has a registry that cannot
exist, so that no user can have another image pulled under it. Neighbour: `sandboxes`.
"""

import io
import struct
import tarfile
from collections.abc import AsyncIterator
from http import HTTPStatus

from jeroboam.clients.docker import DockerClient
from jeroboam.clients.docker_images import import_image
from jeroboam.clients.docker_types import DockerError
from jeroboam.domain.errors import Permanent

REPOSITORY, TAG = "jeroboam.invalid/pause", "1"
NAME = f"{REPOSITORY}:{TAG}"
_PROGRAM = "pause"
_BASE = 0x400000
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_EXECUTABLE, _LOAD, _READ_AND_EXECUTE = 2, 1, 5
_PAGE = 0x1000
# Machine number and code by the Engine's name of the architecture: the system call that waits, again and again.
_PAUSE_X86_64 = bytes.fromhex("b8220000000f05ebf7")
_PPOLL_AARCH64 = struct.pack(
    "<7I", 0xD2800000, 0xD2800001, 0xD2800002, 0xD2800003, 0xD2800928, 0xD4000001, 0x14000000 | (-6 & 0x3FFFFFF)
)
_MACHINES = {
    "x86_64": (62, _PAUSE_X86_64),
    "amd64": (62, _PAUSE_X86_64),
    "aarch64": (183, _PPOLL_AARCH64),
    "arm64": (183, _PPOLL_AARCH64),
}


def build_program(architecture: str) -> bytes:
    """Return the program as an ELF file. Raises `Permanent` for an architecture without one."""
    if architecture not in _MACHINES:
        raise Permanent(f"there is no sandbox for hosts with processors of the kind {architecture or 'unknown'}")
    machine, code = _MACHINES[architecture]
    start = _HEADER.size + _SEGMENT.size
    size = start + len(code)
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    header = _HEADER.pack(
        ident, _EXECUTABLE, machine, 1, _BASE + start, _HEADER.size, 0, 0, _HEADER.size, _SEGMENT.size, 1, 0, 0, 0
    )
    segment = _SEGMENT.pack(_LOAD, _READ_AND_EXECUTE, 0, _BASE, _BASE, size, size, _PAGE)
    return header + segment + code


async def import_pause_image(engine: DockerClient) -> None:
    """Make the image if the Engine does not have it. Raises `Permanent` for an Engine without a program for it."""
    try:
        await engine.images.inspect(NAME)
    except DockerError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        info = await engine.system.info()
        content = _build_tar(build_program(info.get("Architecture", "")))
        await import_image(
            engine, _once(content), repository=REPOSITORY, tag=TAG, changes=[f'ENTRYPOINT ["/{_PROGRAM}"]']
        )


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


def _build_tar(program: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo(_PROGRAM)
        member.size, member.mode = len(program), 0o755
        tar.addfile(member, io.BytesIO(program))
    return buffer.getvalue()
