#!/bin/sh
# The part that every node image's entry begins with (it reads this file, under an init that reaps): make this
# container as much of a machine as its Engine allows. What cannot be had is said on stderr, where `docker logs` shows
# it. Leaves `say`, `try`, `environment` and `commands`, the script that the entry ends with.
say() { echo "node: $*" >&2; }
try() { "$@" 2>/dev/null || say "cannot: $*"; }

# environment FILE: what is run from here on has its lines NAME=value, taken literally. There may be a password among
# them, so they are no arguments, which everybody sees.
environment() {
    [ -f "$1" ] || return 0
    while IFS= read -r line; do
        export "$line"
    done <"$1"
}

commands=/etc/jeroboam/node/commands
if [ ! -f "$commands" ]; then
    say "no $commands: whoever made this container did not say what the node does"
    exit 78
fi

# Fresh at every boot, so that no pid file or socket of the last life is left.
for folder in /run /tmp; do
    grep -q " $folder tmpfs " /proc/mounts || try mount -t tmpfs -o mode=1777 tmpfs "$folder"
done
try mount --make-rshared /

# An engine makes cgroups and writes sysctls; without --privileged both trees come read-only.
[ -w /sys/kernel ] || try mount -o remount,rw /sys
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
    try mount -o remount,rw /sys/fs/cgroup
    # Version 2: controllers can be handed down only by a group without processes of its own.
    mkdir -p /sys/fs/cgroup/init
    for pid in $(cat /sys/fs/cgroup/cgroup.procs); do
        echo "$pid" 2>/dev/null >/sys/fs/cgroup/init/cgroup.procs || true
    done
    sed -e 's/ / +/g' -e 's/^/+/' </sys/fs/cgroup/cgroup.controllers >/sys/fs/cgroup/cgroup.subtree_control ||
        say "cannot: hand cgroup controllers down"
else
    mount -o remount,bind,rw /sys/fs/cgroup 2>/dev/null
    for folder in /sys/fs/cgroup/*/; do
        try mount -o remount,bind,rw "${folder%/}"
    done
fi
echo 1 2>/dev/null >/proc/sys/net/ipv4/ip_forward || say "cannot: forward packets (net.ipv4.ip_forward)"

# iptables has two families, and a kernel may know only the other one.
if ! iptables -t nat -S >/dev/null 2>&1; then
    for family in nft legacy; do
        if "iptables-$family" -t nat -S >/dev/null 2>&1; then
            for name in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
                tool=${name%%-*}
                ln -sf "/usr/sbin/$tool-$family${name#"$tool"}" "/usr/local/bin/$name"
            done
            break
        fi
    done
    iptables -t nat -S >/dev/null 2>&1 || say "cannot: iptables works in neither of its families"
fi
