#!/bin/bash
# Installs the package on this machine, runs the service from it, removes it, and sees that nothing is left. As root;
# refuses where something of jeroboam is installed already. Needs a Docker Engine that answers.
set -euo pipefail
cd "$(dirname "$0")/.."

state=/var/lib/jeroboam
places=(/usr/bin/jeroboam /usr/lib/jeroboam /etc/jeroboam "$state" /var/cache/jeroboam /usr/share/doc/jeroboam
    /usr/lib/systemd/system/jeroboam.service)
package=$1
ports=(--listen 127.0.0.1:0 --keystone-listen 127.0.0.1:0)

die() { echo "test-package: $*" >&2; exit 1; }
run() { echo "+ $*"; "$@"; }
left() { local place; for place in "${places[@]}"; do [ ! -e "$place" ] || echo "$place"; done; }
expect() { [ "$2" = "$3" ] || die "$1: '$2', not '$3'"; }

expect "there before" "$(left)" ""
trap 'jeroboam stop --state "$state" >/dev/null 2>&1 || true; dpkg -P jeroboam >/dev/null 2>&1 || true' EXIT

start() {
    run dpkg -i "$package" >/dev/null
    # With systemd the package has started it.
    [ -d /run/systemd/system ] ||
        run jeroboam up --detach --state "$state" --config /etc/jeroboam/jeroboam.conf "${ports[@]}" >/dev/null
    run jeroboam status --state "$state"
}
stop() { [ -d /run/systemd/system ] || run jeroboam stop --state "$state"; }

! command -v systemd-analyze >/dev/null || {
    run dpkg -i "$package" >/dev/null
    run systemd-analyze verify /usr/lib/systemd/system/jeroboam.service
}
start
run jeroboam --version
run jeroboam setup >/dev/null
run jeroboam run --state "$state" --name box busybox sleep 600
stop

run dpkg -r jeroboam
expect "left by a removal" "$(left)" "$(printf '%s\n' /etc/jeroboam "$state")"
run dpkg -P jeroboam
expect "left by a purge while a container runs" "$(left)" "$state"

start
expect "containers after another installation" "$(jeroboam ps --state "$state" -o json | grep -c '"name": "box"')" 1
stop
[ ! -d /run/systemd/system ] || systemctl stop jeroboam
run jeroboam down --state "$state" --yes
run dpkg -P jeroboam
expect "left in the end" "$(left)" ""
echo "test-package: nothing is left"
