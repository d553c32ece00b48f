"""The disk of a plain Debian: what its installer or a cloud's image leaves, made from packages.

The cloud kernel, systemd, cgroups of version 2, AppArmor, systemd-networkd and systemd-resolved, an ssh server with one
key, and of what README asks for python3, git and make. Made once and kept; each run writes into a layer of its own.
Neighbours: `registries`, how packages are reached; `guest`, which boots it.
"""

import hashlib
import pathlib
import shutil
import subprocess
from dataclasses import dataclass

from . import registries

PROGRAMS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "ssh": "openssh-client",
}
DISK = "20G"
_PACKAGES = (
    *(
        "systemd",
        "systemd-sysv",
        "systemd-resolved",
        "systemd-timesyncd",
        "dbus",
        "udev",
        "kmod",
        "procps",
        "netbase",
        "apparmor",
    ),
    *("busybox", "sudo", "less", "iputils-ping"),
    *("linux-image-cloud-amd64", "openssh-server", "ca-certificates", "iproute2"),
    *("python3", "git", "make"),
)
_NETWORK = "[Match]\nName=en* eth*\n[Network]\nDHCP=yes\n"
_HOSTS = "127.0.0.1 localhost\n127.0.1.1 debian\n::1 localhost ip6-localhost ip6-loopback\n"
_LAYOUT = 1
"""Incremented when the same packages make another disk."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """A disk that was prepared, and what boots it."""

    folder: pathlib.Path

    @property
    def disk(self) -> pathlib.Path:
        return self.folder / "disk.raw"

    @property
    def kernel(self) -> pathlib.Path:
        return self.folder / "kernel"

    @property
    def initrd(self) -> pathlib.Path:
        return self.folder / "initrd"

    @property
    def key(self) -> pathlib.Path:
        return self.folder / "key"


def install_programs() -> list[str]:
    """Install the packages of missing programs; return their names."""
    missing = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
    if missing:
        subprocess.run(["apt-get", "-qq", "update"], check=True)
        install = ["apt-get", "-qq", "install", "-y", "--no-install-recommends", *missing]
        subprocess.run(install, check=True, stdout=subprocess.DEVNULL)
    return missing


def prepare_image(cache: pathlib.Path, release: str) -> Image:
    """Return the disk of that release from the cache, made if it is not there or settings of registries changed."""
    sources, options = registries.read_apt_sources(release), registries.read_apt_options()
    files = registries.list_files()
    parts = repr((_LAYOUT, _PACKAGES, DISK, sources, options, sorted(files.items())))
    image = Image(folder=cache / f"{release}-{hashlib.sha256(parts.encode()).hexdigest()[:12]}")
    if image.disk.exists():
        return image
    root = image.folder / "root"
    shutil.rmtree(image.folder, ignore_errors=True)
    image.folder.mkdir(parents=True)
    _install_system(root, release, sources, options)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", image.key], check=True)
    _configure_system(root, files, image.key.with_suffix(".pub").read_text())
    for name, target in (("vmlinuz", image.kernel), ("initrd.img", image.initrd)):
        shutil.copy(next(iter(sorted((root / "boot").glob(f"{name}-*")))), target)
    unfinished = image.folder / "disk.part"
    subprocess.run(["truncate", "--size", DISK, unfinished], check=True)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-L", "root", "-d", root, unfinished], check=True)
    shutil.rmtree(root)
    unfinished.rename(image.disk)
    return image


def _install_system(root: pathlib.Path, release: str, sources: str, options: str) -> None:
    options_file = root.parent / "apt.conf"
    options_file.write_text(options)
    command = ["nice", "mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "--format=directory"]
    command += [f"--aptopt={options_file}", f"--include={','.join(_PACKAGES)}", release, str(root)]
    # Without sources of the machine's own, mmdebstrap takes Debian's.
    subprocess.run([*command, "-"] if sources else command, input=sources, text=True, check=True)


def _configure_system(root: pathlib.Path, files: dict[str, bytes], key: str) -> None:
    texts = {
        "etc/hostname": "debian\n",
        "etc/hosts": _HOSTS,
        "etc/fstab": "LABEL=root / ext4 defaults 0 1\n",
        "etc/machine-id": "",
        "etc/systemd/network/10-dhcp.network": _NETWORK,
        "root/.ssh/authorized_keys": key,
    }
    for place, content in {**files, **{place: text.encode() for place, text in texts.items()}}.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_bytes(content)
    (root / "root/.ssh").chmod(0o700)
    services = ["systemd-networkd", "systemd-resolved", "ssh"]
    subprocess.run(["chroot", root, "systemctl", "--quiet", "enable", *services], check=True)
    subprocess.run(["chroot", root, "update-ca-certificates"], check=True, capture_output=True)
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    (root / "etc/resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")
