#!/bin/sh
# node WHAT ADDRESS PORT [NAME]: start a part of the node when the API server at that address answers. A program that
# starts too early fails, retries after ever longer waits, and is late for good.
#
#   why            print which of a master's programs keeps exiting, and its last error
#   kubelet        wait until the API server answers; runs before the kubelet
#   own-kubelet    run a master's kubelet, with the options after NAME
#   control-plane  start this master's controller manager and scheduler, then upload kubeadm's configuration;
#                  NAME is `alone` for the only master
#   kube-proxy     run kube-proxy
#   flannel        run flannel, as soon as the node has its pod range
set -eu
what=$1 address=${2:-} port=${3:-} name=${4:-}
here=/etc/kubernetes

# patiently TRIES COMMAND…: retry five times a second, at most TRIES times.
patiently() {
    tries=$1
    shift
    until "$@"; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || return 0
        sleep 0.2
    done
}

# Whether the API server answers: it rejects a plain HTTP request with a few bytes.
answers() { echo GET / HTTP/1.0 | nc -w 1 "$address" "$port" 2>/dev/null | grep -q HTTPS; }

# Whether the API server is ready: its default objects, above all roles, exist. Anonymous requests may ask that.
ready() {
    printf 'GET /readyz HTTP/1.0\r\n\r\n' |
        socat -t 5 - "OPENSSL:$address:$port,cafile=$here/pki/ca.crt,commonname=kube-apiserver" 2>/dev/null |
        grep -q '^HTTP/1.. 200'
}

# Wait until the kubelet has passed the pod range to containerd. A node that boots again has it already.
addressed() {
    until set -- /etc/cni/net.d/* && [ -e "$1" ]; do
        sleep 0.2
    done
}

# Whether this kernel's nftables have what kube-proxy needs: some lack verdict maps. kube-proxy and flannel have to use
# the same kind of tables.
tables() {
    /usr/sbin/nft '
        add table ip jeroboam-probe
        add map ip jeroboam-probe m { type ipv4_addr : verdict; }
        delete table ip jeroboam-probe
    ' 2>/dev/null
}

# Print the newest log of that program; its file name is the number of restarts.
log_of() { ls -t /var/log/pods/kube-system_"$1"-*/"$1"/*.log 2>/dev/null | head -n 1; }

case $what in
why)
    programs="etcd kube-apiserver kube-controller-manager kube-scheduler"
    before=$(for program in $programs; do log_of "$program"; done)
    sleep 3
    for program in $programs; do
        log=$(log_of "$program")
        times=$(basename "$log" .log)
        # A program that has run since the first look is up by now.
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
    # An API server without its etcd neither answers nor refuses requests: a kubelet would wait two minutes for it
    # before it starts etcd. Without an API server the kubelet starts etcd at once, as at boot.
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
        # A controller manager without leader election only polls once a second until the API server is ready: mostly
        # the second poll succeeds.
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
    # A healthy kube-proxy means that pods of other nodes can be reached: so it starts after flannel, which writes its
    # file anew at every boot. A network that users install may come much later: then it only waits for the API.
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
