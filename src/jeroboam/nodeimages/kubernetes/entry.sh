#!/bin/sh
# A Kubernetes node's first script: become a machine, bring containerd up with the images of this node image, then run
# the node's commands; the kubelet is one of them.
. /usr/lib/jeroboam/machine

# The kubelet watches the kernel's log for processes that ran out of memory.
[ -e /dev/kmsg ] || try mknod -m 600 /dev/kmsg c 1 11

# One name for this machine for as long as it has its disk.
mkdir -p /var/lib/jeroboam
[ -s /var/lib/jeroboam/machine-id ] || tr -d - </proc/sys/kernel/random/uuid >/var/lib/jeroboam/machine-id
ln -sf /var/lib/jeroboam/machine-id /etc/machine-id

# Every kubelet, kube-proxy and containerd holds some, and the kernel counts those of all nodes together.
inotify=/proc/sys/fs/inotify/max_user_instances
[ "$(cat $inotify)" -ge 8192 ] || echo 8192 2>/dev/null >$inotify ||
    say "cannot: raise fs.inotify.max_user_instances ($(cat $inotify)); from about ten nodes on it has to be 8192"

# The Engine's resolver answers on a loopback address, where no pod reaches it. Let it answer on the address of the
# node's gateway too, and name that one: what is in resolv.conf then holds for pods as well.
gateway=$(ip -4 route show default | sed -n 's/.* via \([0-9.]*\) .*/\1/p' | head -n 1)
for protocol in udp tcp; do
    resolver=$(iptables-save -t nat 2>/dev/null | sed -n "s/^-A DOCKER_OUTPUT .*-p $protocol .*--to-destination //p")
    [ -n "$gateway" ] && [ -n "$resolver" ] || continue
    echo 1 2>/dev/null >/proc/sys/net/ipv4/conf/all/route_localnet
    for chain in PREROUTING OUTPUT; do
        try iptables -t nat -A "$chain" -d "$gateway" -p "$protocol" --dport 53 -j DNAT --to-destination "$resolver"
    done
    # The Engine has mounted the file: it can be written to and not replaced.
    named=$(sed "s/^nameserver 127\.0\.0\.11/nameserver $gateway/" /etc/resolv.conf)
    echo "$named" >/etc/resolv.conf
done
grep -q '^nameserver 127\.0\.0\.11' /etc/resolv.conf && say "cannot: give pods a resolver; the Engine's is not to be found"

/usr/lib/jeroboam/images lay || say "cannot: lay the images of this node image"
# The proxies that images are fetched through: containerd alone is told of them.
(
    environment /etc/containerd/environment
    exec /usr/lib/jeroboam/keep containerd
) &
echo $! >/run/jeroboam-containerd.pid
tries=300
until ctr version >/dev/null 2>&1; do
    tries=$((tries - 1))
    if [ $tries = 0 ]; then
        say "containerd does not answer"
        exit 75
    fi
    sleep 0.1
done
/usr/lib/jeroboam/images adopt || say "cannot: adopt the images of this node image"

exec /bin/sh "$commands"
