#!/bin/sh
# Make the image `busybox:latest` on the local Docker Engine from this machine's own static busybox, so that there is
# something small to run where no registry can be reached. Does nothing when the image is there already.
set -eu

image=${1:-busybox:latest}
if docker image inspect "$image" >/dev/null 2>&1; then
    exit 0
fi

busybox=$(command -v busybox) || {
    echo "$0: no busybox on this machine; install Debian's busybox-static" >&2
    exit 1
}

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
for folder in bin dev etc home proc root sys tmp usr/bin usr/sbin sbin var; do
    mkdir -p "$root/$folder"
done
chmod 1777 "$root/tmp"
cp "$busybox" "$root/bin/busybox"
chmod 755 "$root/bin/busybox"
for applet in $("$busybox" --list); do
    [ -e "$root/bin/$applet" ] || ln -s busybox "$root/bin/$applet"
done
printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' >"$root/etc/passwd"
printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
: >"$root/etc/nsswitch.conf"

tar --numeric-owner --owner=0 --group=0 -C "$root" -c . |
    docker import --change 'CMD ["sh"]' --change 'ENV PATH=/bin:/sbin:/usr/bin:/usr/sbin' - "$image" >/dev/null
