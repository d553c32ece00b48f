# NAME ADDRESS LIST OTHER…: how this node's etcd comes into the cluster's, as two words: `new` or `existing`, and its
# members. LIST are those that a cluster begins with, OTHER the addresses of the other masters.
#
# All masters boot at once and begin a cluster together. One that lost its disk is still a member there, with a past
# that it knows nothing of, and would never come up again: it leaves, and comes as another.
name=$1 address=$2 list=$3
shift 3
pki=/etc/kubernetes/pki/etcd
if [ -d /var/lib/etcd/member ]; then
    echo "new $list" # it knows, and does not read this
    exit
fi
for other in "$@"; do
    ask() {
        etcdctl --endpoints "https://$other:2379" --cacert $pki/ca.crt --cert $pki/healthcheck-client.crt \
            --key $pki/healthcheck-client.key --command-timeout=3s --dial-timeout=1s "$@" 2>>/var/log/etcd-member.log
    }
    # Whoever does not listen is not waited for: where none does, this is how a cluster begins.
    nc -w 1 "$other" 2379 </dev/null >/dev/null 2>&1 || continue
    # Lines of: id, started or unstarted, name, peer address, client address, whether it learns.
    members=$(ask member list) || continue
    # A change is refused for some seconds after another one.
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
    # One that has not started has no name yet; its identifier does as well.
    all=$(echo "$members" | awk -F ', ' -v own="https://$address:2380" -v name="$name" \
        '{ print ($4 == own ? name : $3 == "" ? $1 : $3) "=" $4 }' | paste -sd, -)
    echo "existing $all"
    exit
done
echo "new $list"
