# NAME ADDRESS LIST OTHER…: print how this node's etcd joins the cluster, as two words: `new` or `existing`, and the
# members. LIST are the members of a new cluster, OTHER the addresses of the other masters.
#
# All masters boot at once and form a cluster together. A master that has lost its disk is still a member of the
# cluster, but without its data it could never start: so it is removed and added as a new member.
name=$1 address=$2 list=$3
shift 3
pki=/etc/kubernetes/pki/etcd
if [ -d /var/lib/etcd/member ]; then
    echo "new $list" # etcd has its data and ignores this
    exit
fi
for other in "$@"; do
    ask() {
        etcdctl --endpoints "https://$other:2379" --cacert $pki/ca.crt --cert $pki/healthcheck-client.crt \
            --key $pki/healthcheck-client.key --command-timeout=3s --dial-timeout=1s "$@" 2>>/var/log/etcd-member.log
    }
    # A master that does not listen is skipped: if none does, this is a new cluster.
    nc -w 1 "$other" 2379 </dev/null >/dev/null 2>&1 || continue
    # Lines of: id, started or unstarted, name, peer address, client address, whether it is a learner.
    members=$(ask member list) || continue
    # etcd refuses a change of members for some seconds after another one.
    tries=60
    while [ $tries -gt 0 ]; do
        known=$(echo "$members" | grep -F ", https://$address:2380," || true)
        case $known in
        *", unstarted, "*) break ;;
        "") ask member add "$name" "--peer-urls=https://$address:2380" >/dev/null ;;
        *) ask member remove "${known%%,*}" >/dev/null ;;
        esac || sleep 1
        members=$(ask member list)
        tries=$((tries - 1))
    done
    # A member that has not started has no name yet: its id takes the place.
    all=$(echo "$members" | awk -F ', ' -v own="https://$address:2380" -v name="$name" \
        '{ print ($4 == own ? name : $3 == "" ? $1 : $3) "=" $4 }' | paste -sd, -)
    echo "existing $all"
    exit
done
echo "new $list"
