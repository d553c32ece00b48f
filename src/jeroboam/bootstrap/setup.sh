#!/bin/bash
# What the machine needs: a Docker Engine that answers and the programs that node images are made of; with --compilers
# what compiles the programs of Kubernetes' node image, with --tests the database server and the registry of the tests.
# Debian, as root; says one line a step, does only what is missing, and is safe to run again. --undo takes back what it
# did, but for Debian's packages, which it names. Neighbour: `setup.py`, which runs this and makes the images.
set -euo pipefail

compilers='' tests='' undo=''
for option in "$@"; do
    case $option in
        --compilers) compilers=yes ;;
        --tests) tests=yes ;;
        --undo) undo=yes ;;
        *) echo "set-up: there is no option $option; there is --compilers, --tests and --undo" >&2; exit 2 ;;
    esac
done

# `su` without `-` leaves these out.
PATH=$PATH:/usr/sbin:/sbin
log=${JEROBOAM_DOCKERD_LOG:-/var/log/jeroboam-dockerd.log}
# What was done here: `packages` has the names of those that were installed, `engine` the process of an Engine and its log.
records=/var/lib/jeroboam-setup
wait_seconds=60

# package:what it must have brought; a `docker` command line may be there without an Engine.
wants=(
    docker.io:dockerd docker.io:docker-init docker.io:docker-proxy containerd:containerd
    containerd:containerd-shim-runc-v2 runc:runc iptables:iptables iproute2:ip busybox-static:busybox
    nftables:nft conntrack:conntrack ethtool:ethtool socat:socat ebtables:ebtables util-linux:nsenter
    mount:mount kmod:modprobe tar:tar haproxy:haproxy
)
[ -z "$compilers" ] || wants+=(gcc:gcc pkg-config:pkg-config)
[ -z "$tests" ] || wants+=(docker-registry:docker-registry)

say() { echo "set-up: $*"; }
die() { echo "set-up: $*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
answers() { [ -S "$socket" ] && ask_engine /_ping >/dev/null 2>&1; }

socket=/var/run/docker.sock
remote='' systemd=''
hosts=()
[ -d /run/systemd/system ] && systemd=yes
case ${DOCKER_HOST:-} in
    '' | unix:///var/run/docker.sock | unix:///run/docker.sock) ;;
    # systemd's Engine listens elsewhere.
    unix://*) socket=${DOCKER_HOST#unix://} hosts=(--host "$DOCKER_HOST") systemd='' ;;
    *) remote=$DOCKER_HOST ;;
esac

lives() { [[ "$(cat "/proc/$1/stat" 2>/dev/null)" == "$1 ($2) "[!ZX]* ]]; }

# Prints what the Engine answers to a GET. No client is sure to be there; Python is.
ask_engine() {
    python3 - "$socket" "$1" <<'PY'
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(3)
s.connect(sys.argv[1])
s.sendall(f"GET {sys.argv[2]} HTTP/1.0\r\n\r\n".encode())
head, _, body = s.makefile("rb").read().decode().partition("\r\n\r\n")
print(body)
sys.exit(0 if " 200 " in head.partition("\r\n")[0] else 1)
PY
}

undo_engine() {
    local engine log
    [ -f "$records/engine" ] || return 0
    read -r engine log <"$records/engine"
    if lives "$engine" dockerd; then
        if [ "$(ask_engine '/containers/json?all=1&limit=1' 2>/dev/null)" != '[]' ]; then
            say "kept the Docker Engine (process $engine): there are containers on it"
            return 0
        fi
        kill "$engine"
        for _ in $(seq $((wait_seconds * 10))); do
            lives "$engine" dockerd || break
            sleep 0.1
        done
        ! lives "$engine" dockerd || die "the Docker Engine (process $engine) does not end"
        say "stopped the Docker Engine (process $engine); what it has stored stays, in /var/lib/docker"
    fi
    [ ! -f "$log" ] || say "removed $log"
    rm -f "$log" "$records/engine"
}

undo_packages() {
    [ -f "$records/packages" ] || return 0
    say "kept packages of Debian that the set-up has installed; this removes them:"
    echo "  apt-get purge $(sort -u "$records/packages" | tr '\n' ' ')"
    rm "$records/packages"
}

if [ -n "$undo" ]; then
    [ -d "$records" ] || { say "nothing was done here"; exit 0; }
    [ "$(id -u)" = 0 ] || die "not root: only root can undo it"
    undo_engine
    undo_packages
    rmdir "$records" 2>/dev/null || true
    exit 0
fi

packages=()
for want in "${wants[@]}"; do
    have "${want#*:}" || packages+=("${want%%:*}")
done
# Debian's usual busybox needs libraries, which a container has not.
! have busybox || ! ldd "$(command -v busybox)" >/dev/null 2>&1 || packages+=(busybox-static)
# Where the kernel has AppArmor, the Engine starts no container without its parser.
[ "$(cat /sys/module/apparmor/parameters/enabled 2>/dev/null)" != Y ] || have apparmor_parser || packages+=(apparmor)
# Without a program of their own: what C programs are compiled with, and a library that runc is linked with.
if [ -n "$compilers" ]; then
    [ -e /usr/include/stdlib.h ] || packages+=(libc6-dev)
    if ! have pkg-config || ! pkg-config --exists libseccomp; then
        packages+=(libseccomp-dev)
    fi
fi
# The tests start the server themselves; Debian keeps it off the PATH.
if [ -n "$tests" ]; then
    compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || packages+=(postgresql)
fi

if [ ${#packages[@]} -gt 0 ]; then
    mapfile -t packages < <(printf '%s\n' "${packages[@]}" | sort -u)
    [ "$(id -u)" = 0 ] || die "not root: install ${packages[*]} first"
    have apt-get || die "not Debian: install what brings ${packages[*]} first"
    say "installing ${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    # Packages must not start services of their own: there may be no init, and the Engine is started below, once all
    # that it needs is there.
    guard=/usr/sbin/policy-rc.d
    if [ ! -e "$guard" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$guard"
        chmod 755 "$guard"
        trap 'rm -f "$guard"' EXIT
    fi
    apt-get -qq update
    apt-get -qq install -y --no-install-recommends "${packages[@]}" >/dev/null
    mkdir -p "$records"
    printf '%s\n' "${packages[@]}" >>"$records/packages"
    for package in "${packages[@]}"; do
        # Only their programs are used: their services need not start at the next boot either.
        case $systemd:$package in
            yes:haproxy | yes:postgresql | yes:docker-registry) systemctl disable --quiet "$package.service" ;;
        esac
    done
else
    say "programs are there"
fi

# Left by an Engine that was killed. A process that nobody has reaped counts as gone, and so does another that has its
# number by now.
remove_stale_pids() {
    local left file
    for left in docker.pid:dockerd docker/containerd/containerd.pid:containerd; do
        file=/var/run/${left%%:*}
        [ -f "$file" ] && ! lives "$(cat "$file")" "${left#*:}" && rm -f "$file"
    done
    return 0
}

has_ended() {
    if [ -n "$systemd" ]; then systemctl is-failed --quiet docker.service; else ! kill -0 "$engine" 2>/dev/null; fi
}
show_log() { if [ -n "$systemd" ]; then echo "see journalctl -u docker"; else tail -n 3 "$log"; fi; }

wait_for_engine() {
    for _ in $(seq $((wait_seconds * 10))); do
        answers && break
        ! has_ended || die "the Docker Engine ended: $(show_log)"
        sleep 0.1
    done
    answers || die "the Docker Engine did not answer within $wait_seconds s: $(show_log)"
    say "the Docker Engine answers"
}

if [ -n "$remote" ]; then
    say "the Engine is elsewhere: $remote"
elif answers; then
    say "the Docker Engine answers"
elif [ "$(id -u)" != 0 ]; then
    die "no Docker Engine answers at $socket, and only root can start one"
elif [ -n "$systemd" ]; then
    say "starting the Docker Engine (log: journalctl -u docker)"
    systemctl enable --quiet --now docker.socket docker.service || die "systemd cannot start the Engine: $(show_log)"
    wait_for_engine
else
    say "starting the Docker Engine (log: $log)"
    remove_stale_pids
    setsid dockerd ${hosts[@]+"${hosts[@]}"} >>"$log" 2>&1 </dev/null &
    engine=$!
    mkdir -p "$records"
    echo "$engine $log" >"$records/engine"
    wait_for_engine
fi
