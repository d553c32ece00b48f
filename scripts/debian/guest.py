"""A virtual machine for one run: QEMU with a layer of its own over the prepared disk, and ssh on a loopback port.

Neighbours: `image`, the disk; `steps`, what is typed in it.
"""

import contextlib
import os
import pathlib
import re
import shlex
import socket
import subprocess
import time
from collections.abc import Iterator

from .image import Image

BOOT_SECONDS = 300
_LOOK_SECONDS = 1
_LAST_LINES = 25
# Without it each look at the clock of an emulated processor stops the other one.
_EMULATED_CLOCK = "tsc=reliable clocksource=tsc"


class StepFailed(Exception):
    """A step did not do what it should."""


class Guest:
    """A virtual machine that runs."""

    def __init__(self, image: Image, port: int, folder: pathlib.Path, process: subprocess.Popen[bytes]) -> None:
        """`folder` takes the console's output, and what each command printed."""
        self._folder = folder
        self._process = process
        self._ssh = ["ssh", "-q", "-i", str(image.key), "-p", str(port), "-o", "StrictHostKeyChecking=no"]
        self._ssh += ["-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=20"]
        self._ssh += ["root@127.0.0.1"]

    def run(self, command: str, *, seconds: float = 300, log: str = "", content: bytes | None = None) -> str:
        """Return what the command printed, a shell's as root. `content` is its input; `log` names a file to keep.

        Raises `StepFailed` with the last lines if it fails or takes longer.
        """
        words = [*self._ssh, f"bash -c {shlex.quote(command)}"]
        # One after the other, as on a terminal.
        source = {"input": content} if content is not None else {"stdin": subprocess.DEVNULL}
        try:
            done = subprocess.run(
                words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds, check=False, **source
            )
        except subprocess.TimeoutExpired as error:
            self._keep(log, error.stdout or b"")
            raise StepFailed(f"{command}: no end after {seconds:.0f} s\n{_shorten(error.stdout or b'')}") from error
        self._keep(log, done.stdout)
        if done.returncode != 0:
            raise StepFailed(f"{command}: exit status {done.returncode}\n{_shorten(done.stdout)}")
        return done.stdout.decode(errors="replace")

    def wait_for(self, command: str, *, seconds: float) -> str:
        """Return what the command printed as soon as it succeeds."""
        end = time.monotonic() + seconds
        while True:
            self.check_alive()
            try:
                return self.run(command, seconds=60)
            except StepFailed:
                if time.monotonic() > end:
                    raise
            time.sleep(_LOOK_SECONDS)

    def reboot(self) -> None:
        """Restart the system as `reboot` does, and wait until it answers again."""
        boot = self.run("cat /proc/sys/kernel/random/boot_id").strip()
        with contextlib.suppress(StepFailed):
            self.run("systemctl reboot", seconds=60)
        self.wait_for(f"! grep -qx {boot} /proc/sys/kernel/random/boot_id", seconds=BOOT_SECONDS)

    def check_alive(self) -> None:
        """Raise `StepFailed` if the machine has ended."""
        if self._process.poll() is not None:
            raise StepFailed(f"QEMU has ended; see {self._folder}/qemu.log and console.log")

    def _keep(self, log: str, content: bytes) -> None:
        if log:
            (self._folder / f"{log}.log").write_bytes(content)


@contextlib.contextmanager
def boot_guest(
    image: Image, folder: pathlib.Path, *, memory_mib: int, programs: pathlib.Path | None
) -> Iterator[Guest]:
    """Boot a machine that ends with the block. `programs` is a second disk, which the machine only reads."""
    layer = folder / "layer.qcow2"
    layer.unlink(missing_ok=True)
    create = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", image.disk.resolve(), layer]
    subprocess.run(create, check=True)
    port = _find_free_port()
    clock = "" if has_processor_support() else _EMULATED_CLOCK
    command = ["nice", "-n", "5", "qemu-system-x86_64", *_choose_accelerator(), "-smp", "2", "-m", str(memory_mib)]
    command += ["-nodefaults", "-no-user-config", "-display", "none", "-serial", f"file:{folder}/console.log"]
    command += ["-kernel", str(image.kernel), "-initrd", str(image.initrd)]
    command += ["-append", f"root=LABEL=root ro console=ttyS0 quiet {clock}", "-device", "virtio-rng-pci"]
    command += ["-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{port}-:22", "-device", "virtio-net-pci,netdev=net"]
    command += ["-drive", f"file={layer},if=virtio,cache=unsafe,discard=unmap"]
    command += ["-drive", f"file={programs},if=virtio,format=raw,readonly=on"] if programs else []
    with (folder / "qemu.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    guest = Guest(image, port, folder, process)
    try:
        guest.wait_for("systemctl is-system-running --wait", seconds=BOOT_SECONDS)
        yield guest
    finally:
        process.kill()
        process.wait()
        layer.unlink(missing_ok=True)


def has_processor_support() -> bool:
    """Whether KVM can be used: some machines have the device, and a processor that does not support it."""
    cpuinfo = pathlib.Path("/proc/cpuinfo").read_text()
    return os.access("/dev/kvm", os.W_OK) and re.search(r"^flags.*\b(vmx|svm)\b", cpuinfo, re.MULTILINE) is not None


def _choose_accelerator() -> list[str]:
    if has_processor_support():
        return ["-accel", "kvm", "-cpu", "host"]
    return ["-accel", "tcg,thread=multi", "-cpu", "max", "-machine", "hpet=off"]


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _shorten(output: bytes) -> str:
    return "\n".join(output.decode(errors="replace").splitlines()[-_LAST_LINES:])
