#!/bin/sh
# size UUID: have everything in this node read what its container may take where it would read what the machine has, and
# that uuid where it would read the machine's. The kernel knows nothing of containers: work would be given to a node
# that the node's own limits end. Where it may not, the node is as large as the machine, and its log says so.
set -u
uuid=$1
groups=/sys/fs/cgroup

# cover FILE: whoever reads that file of the kernel in this node reads standard input from now on.
cover() {
    file=$(readlink -f "$1")
    mkdir -p /run/jeroboam
    cat >"/run/jeroboam/$(basename "$file")"
    grep -q " $file " /proc/mounts || mount -o bind "/run/jeroboam/$(basename "$file")" "$file" ||
        echo "node: cannot: have $file say what this node may take" >&2
}

# The first of these files that there is.
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
# Where there is no such file, what /etc/machine-id says counts.
[ ! -e /sys/class/dmi/id/product_uuid ] || echo "$uuid" | cover /sys/class/dmi/id/product_uuid
exit 0
