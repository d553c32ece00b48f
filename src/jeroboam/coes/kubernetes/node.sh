#!/bin/sh
# node WHAT ADDRESS PORT [NAME]: what a node does beside its kubelet, each part when the API server at that address can
# be asked. A program that asks too early is refused, asks again after ever longer waits, and is late for good.
#
#   why            say which of a master's programs keeps ending, and what it printed when it did
#   kubelet        wait until the API server answers: what a node does before its kubelet starts
#   own-kubelet    be a master's kubelet, with the options after NAME
#   control-plane  start this master's controller manager and scheduler, then leave the words that kubeadm looks for;
#                  NAME is `alone` where it is the only master
#   kube-proxy     be the program by which services' addresses lead to pods
#   flannel        be the program that joins the networks of nodes; it wants to know which addresses are this node's
set -eu
what=$1 address=${2:-} port=${3:-} name=${4:-}
here=/etc/kubernetes

# Try so many times, five in a second.
patiently() {
    tries=$1
    shift
    until "$@"; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || return 0
        sleep 0.2
    done
}

# Whoever speaks no TLS is told so, in a few octets.
answers() { echo GET / HTTP/1.0 | nc -w 1 "$address" "$port" 2>/dev/null | grep -q HTTPS; }

# When what it brings along is written: roles above all. It tells that to anybody.
ready() {
    printf 'GET /readyz HTTP/1.0\r\n\r\n' |
        socat -t 5 - "OPENSSL:$address:$port,cafile=$here/pki/ca.crt,commonname=kube-apiserver" 2>/dev/null |
        grep -q '^HTTP/1.. 200'
}

# Wait until the kubelet has told containerd which addresses are for pods. A node that boots again knows them still.
addressed() {
    until set -- /etc/cni/net.d/* && [ -e "$1" ]; do
        sleep 0.2
    done
}

# Whether this kernel's nftables can do what kube-proxy asks of them: some have no maps of verdicts. Both programs have
# to do with the same tables.
tables() {
    /usr/sbin/nft '
        add table ip jeroboam-probe
        add map ip jeroboam-probe m { type ipv4_addr : verdict; }
        delete table ip jeroboam-probe
    ' 2>/dev/null
}

# The newest log of that program, whose name is how often it was started again.
log_of() { ls -t /var/log/pods/kube-system_"$1"-*/"$1"/*.log 2>/dev/null | head -n 1; }

case $what in
why)
    programs="etcd kube-apiserver kube-controller-manager kube-scheduler"
    before=$(for program in $programs; do log_of "$program"; done)
    sleep 3
    for program in $programs; do
        log=$(log_of "$program")
        times=$(basename "$log" .log)
        # One that has run since we looked first has come up by now.
        echo "$before" | grep -qxF "$log" && pidof "$program" >/dev/null && continue
        [ "${times:-0}" -gt 1 ] || continue
        words=$(sed -n 's/^[^ ]* std[a-z]* F //p' "$log" | grep -E '^[EF][0-9]{4} |^panic: |^fatal |^[Ee]rror: |"level":"fatal"' |
            tail -n 1 | sed 's/^[A-Z][0-9]\{4\} [^]]*\] //')
        [ -z "$words" ] || echo "$program has ended $times times and printed last: $words"
    done
    ;;
kubelet)
    patiently 300 answers
    ;;
own-kubelet)
    # An API server without its etcd answers nobody and refuses nobody: a kubelet that starts beside it waits two
    # minutes for its word before it starts the etcd. Where there is none it does what it does at boot.
    pidof etcd >/dev/null || killall -9 kube-apiserver 2>/dev/null || :
    shift 4
    exec kubelet "$@"
    ;;
control-plane)
    mkdir -p $here/held
    for program in kube-controller-manager kube-scheduler; do
        mv $here/manifests/$program.yaml $here/held
    done
    {
        until answers; do
            sleep 0.1
        done
        # One that need not become the leader first asks for nothing but whether the API server is ready, once a second:
        # mostly that is so when it asks for the second time.
        sleep 0.3
        [ "$name" != alone ] || mv $here/held/kube-controller-manager.yaml $here/manifests
        until ready; do
            sleep 0.1
        done
        mv $here/held/*.yaml $here/manifests
        until kubeadm init phase upload-config all --config=$here/kubeadm.yaml --kubeconfig=$here/super-admin.conf; do
            sleep 0.3
        done
    } >/var/log/control-plane.log 2>&1 &
    ;;
kube-proxy)
    # Whoever hears that it is well counts on pods of other nodes too: flannel comes first, which has left its file by
    # then, new at every boot. Where users bring the network, that can be long.
    if [ -e $here/flannel.json ]; then
        until [ -e /run/flannel/subnet.env ]; do
            sleep 0.2
        done
    else
        patiently 300 answers
        patiently 300 ready
    fi
    mode=nftables
    tables || mode=iptables
    sed "s/@PROXY@/$mode/" $here/kube-proxy.yaml >/run/kube-proxy.yaml
    exec kube-proxy --config=/run/kube-proxy.yaml --hostname-override="$name"
    ;;
flannel)
    addressed
    patiently 300 answers
    nftables=true
    tables || nftables=false
    sed "s/@NFTABLES@/$nftables/" $here/flannel.json >/run/flannel.json
    export NODE_NAME="$name"
    exec flanneld --ip-masq --kube-subnet-mgr --net-config-path=/run/flannel.json --kubeconfig-file=$here/flannel.conf
    ;;
esac
