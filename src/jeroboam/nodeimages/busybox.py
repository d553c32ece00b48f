"""The image `busybox:latest` from this machine's static busybox: something small to run where no registry answers.

No node boots from it. Neighbours: `engine`, which imports it; `tree`.
"""

import asyncio
import shutil
from pathlib import Path

from jeroboam.clients.docker import DockerClient, translate_errors
from jeroboam.domain.errors import Permanent
from jeroboam.nodeimages.base import BuiltImage
from jeroboam.nodeimages.engine import find_image, import_root
from jeroboam.nodeimages.host import list_libraries
from jeroboam.nodeimages.subprocesses import run_program
from jeroboam.nodeimages.tree import RootTree

NAME = "busybox:latest"
BUSYBOX_LABEL = "jeroboam.busybox"
"""The label by which an image that was made here differs from one that somebody has pulled."""
_FOLDERS = "bin dev etc home proc root sbin sys tmp usr/bin usr/sbin var"
_INSTRUCTIONS = ('CMD ["sh"]', "ENV PATH=/bin:/sbin:/usr/bin:/usr/sbin", f'LABEL {BUSYBOX_LABEL}="yes"')
_ACCOUNTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "",
}


async def build(docker: DockerClient) -> BuiltImage:
    """Make the image unless one of that name exists, whoever made it. Raises `Permanent` without a static busybox."""
    with translate_errors(f"making the image {NAME}"):
        existing_image = await find_image(docker, NAME)
        if existing_image is not None:
            return BuiltImage(id=existing_image["Id"], name=NAME, fresh=False)
        repository, _, tag = NAME.partition(":")
        image = await import_root(docker, await _build_tree(), repository=repository, tag=tag, changes=_INSTRUCTIONS)
    return BuiltImage(id=image, name=NAME, fresh=True)


async def _build_tree() -> RootTree:
    program = shutil.which("busybox")
    if program is None:
        raise Permanent("this machine has no busybox: apt-get install busybox-static")
    if await asyncio.to_thread(list_libraries, [Path(program)]):
        raise Permanent("the busybox of this machine needs libraries: apt-get install busybox-static")
    _, applets, _ = await run_program(program, "--list", cwd=Path("/"), env={})
    return RootTree(
        files={"bin/busybox": Path(program)},
        contents={path: (text.encode(), 0o644) for path, text in _ACCOUNTS.items()},
        links={f"bin/{applet}": "busybox" for applet in applets.split() if applet != "busybox"},
        folders=tuple(_FOLDERS.split()),
    )
