#!/bin/sh
# size UUID: make all programs in this node read the limits of its container in place of the machine's size, and that
# uuid in place of the machine's. The kernel shows the machine's size in containers too: the node would get work that
# exceeds its limits. Where a mount is not permitted, the node is as large as the machine, and its log says so.
set -u
uuid=$1
groups=/sys/fs/cgroup

# cover FILE: replace the content of that kernel file in this node by standard input.
cover() {
    file=$(readlink -f "$1")
    mkdir -p /run/jeroboam
    cat >"/run/jeroboam/$(basename "$file")"
    grep -q " $file " /proc/mounts || mount -o bind "/run/jeroboam/$(basename "$file")" "$file" ||
        echo "node: cannot: have $file say what this node may take" >&2
}

# Print the first of these files that exists.
first_of() {
    for file in "$@"; do
        if [ -r "$file" ]; then
            cat "$file"
            return
        fi
    done
}

cover_memory() {
    most=$(first_of $groups/memory.max $groups/memory/memory.limit_in_bytes)
    case $most in "" | max) return ;; esac
    has=$(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo)
    [ $((most / 1024)) -lt "$has" ] || return 0
    table=$(awk -v most=$((most / 1024)) '
        /^Mem(Total|Free|Available):/ { if ($2 > most) $2 = most }
        /^Swap/ { $2 = 0 }
        { print }
    ' /proc/meminfo)
    echo "$table" | cover /proc/meminfo
}

cover_cores() {
    set -- $(first_of $groups/cpu.max) $(first_of $groups/cpu/cpu.cfs_quota_us) $(first_of $groups/cpu/cpu.cfs_period_us)
    case ${1:-max} in max | -1) return ;; esac
    cores=$(($1 / $2))
    [ $cores -gt 0 ] || cores=1
    numbers=$(sed -n 's/^processor[^:]*: //p' /proc/cpuinfo)
    [ "$(echo "$numbers" | wc -l)" -gt $cores ] && [ -e /sys/devices/system/cpu/online ] || return 0
    echo "$numbers" | head -n $cores | paste -sd, - | cover /sys/devices/system/cpu/online
}

cover_memory
cover_cores
# Without such a file, /etc/machine-id counts.
[ ! -e /sys/class/dmi/id/product_uuid ] || echo "$uuid" | cover /sys/class/dmi/id/product_uuid
exit 0
