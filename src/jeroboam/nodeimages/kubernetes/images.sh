#!/bin/sh
# images lay | adopt | own | bake: the container images that this node image brings, in containerd's store.
#
# Their layers lie unpacked in the node image, in folders that are named by content; a node's store has links to them,
# so that a node starts without copying anything. A volume may outlive the node image that filled it: what the next
# one has too stays linked, what it adds is adopted, and images whose layers went with the old one are forgotten.
#
#   lay    before containerd runs: give an empty store the index that was made with the node image
#   adopt  with containerd running: whatever of this node image is not in the store yet
#   own    copy what is linked into the store, for a node that has to keep its images when its node image changes
#   bake   when the node image is made: keep the index of the store that `adopt` has filled
set -eu

here=/usr/lib/jeroboam/store
layers=/usr/lib/jeroboam/layers
root=/var/lib/containerd
snapshots=$root/io.containerd.snapshotter.v1.overlayfs/snapshots
# Lists of the node images that this store has taken in, by their digest: lines of a layer and the manifest of its
# images, without the algorithm.
taken=/var/lib/jeroboam/images
digest=$(cat $here/digest)

take() { mkdir -p $taken && cp $here/images "$taken/.new" && mv "$taken/.new" "$taken/$digest"; }
run() { ctr -n k8s.io "$@"; }

lay() {
    # Nothing but this script writes here before the first list is there: what is left is half of an earlier try.
    if [ -f $here/index.tar ] && [ -z "$(ls $taken 2>/dev/null)" ]; then
        rm -rf $root
        mkdir -p $root
        tar -x -C $root -f $here/index.tar
        take
    fi
}

# The snapshots' folders that are links into a node image; with an argument, those that lead nowhere.
linked() {
    for folder in "$snapshots"/*; do
        if [ -L "$folder" ] && { [ $# = 0 ] || [ ! -e "$folder" ]; }; then
            echo "$folder"
        fi
    done
}

attach() {
    run snapshots info "sha256:$1" >/dev/null 2>&1 && return
    run snapshots rm "adopt-$1" >/dev/null 2>&1 || true
    folder=$(run snapshots prepare --mounts "adopt-$1" | sed -n 's|.*"\([^"]*/snapshots/[0-9]*\)/fs".*|\1|p')
    rm -rf "$folder"
    ln -s "$layers/$1" "$folder"
    run snapshots commit "sha256:$1" "adopt-$1"
}

forget() {
    lost=$(linked lost | while read -r folder; do basename "$(readlink "$folder")"; done)
    for layer in $lost; do
        for manifest in $(sed -n "s/^$layer //p" $taken/* | sort -u); do
            # All names, those that the CRI gives by the digest of a configuration too.
            run images ls | awk -v digest="sha256:$manifest" '$3 == digest {print $1}' | while read -r name; do
                run images rm "$name" >/dev/null
            done
        done
    done
}

adopt() {
    [ -f "$taken/$digest" ] && [ -z "$(linked lost)" ] && return
    while read -r layer _; do
        attach "$layer"
    done <$here/images
    run images import --local --label io.cri-containerd.pinned=pinned $here/archive.tar >/dev/null
    # Importing has tied the layers to their images: they may go with them from now on.
    while read -r layer _; do
        run snapshots label "sha256:$layer" containerd.io/gc.root= >/dev/null
    done <$here/images
    [ ! -d $taken ] || forget
    take
}

own() {
    linked | while read -r folder; do
        rm -rf "$folder.own"
        cp -a "$(readlink "$folder")" "$folder.own"
        rm "$folder"
        mv "$folder.own" "$folder"
    done
}

bake() {
    keeper=$(cat /run/jeroboam-containerd.pid)
    kill "$keeper"
    while [ -d "/proc/$keeper" ] || pidof containerd >/dev/null; do
        sleep 0.1
    done
    tar -c -C $root -f $here/index.tar .
    rm -f /etc/machine-id /etc/jeroboam/node/commands
}

"$1"
