#!/bin/bash
# conformance_images.sh CACHE SOURCE: the images that the conformance suite of Kubernetes asks for, in this machine's
# Docker Engine under the names that it asks for, with no registry. CACHE/bin has their programs, SOURCE is the source
# of Kubernetes. Root file systems are made of Debian's packages and kept in CACHE.
#
# They are not upstream's: Debian where those are Alpine, one image for several versions of one program.
set -euo pipefail
cache=$1 source=$2 here=$(cd "$(dirname "$0")" && pwd)
e2e=registry.k8s.io/e2e-test-images
images="busybox:1.37.0-1 nginx:1.15-4 nginx:1.27-0 agnhost:2.63.0 agnhost:2.55 kitten:1.8 nautilus:1.8 nonewprivs:1.4
    sample-apiserver:1.29.2 nonroot:1.5 glibc-dns-testing:2.0.0"

# Images are as good as what made them: another script or another program makes them again.
recipe=$(cat "$0" "$here/conformance_registry.py" "$cache"/bin/{agnhost,nnp,sample-apiserver} | sha256sum)
[ "$(cat "$cache/images.made" 2>/dev/null)" = "$recipe" ] || missing=1
for image in $images; do
    docker image inspect "$e2e/$image" >/dev/null 2>&1 || missing=1
done
[ -n "${missing:-}" ] || exit 0

fetch() { (cd "$cache" && apt-get -q download "$1" && rm -rf "$1" && dpkg -x "$1"_*.deb "$1"); }
trim() { rm -rf "$1"/var/cache/apt/archives/*.deb "$1"/var/lib/apt/lists/* "$1"/usr/share/{doc,locale,man}; }
import() { tar -C "$1" -c . | docker import "${@:3}" - "$2" >/dev/null; }

# Debian, with what tests run in it.
root=$cache/debian
if [ ! -e "$root.made" ]; then
    fetch debootstrap
    rm -rf "$root"
    # The mirror that this machine's apt uses.
    mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | head -n 1)
    DEBOOTSTRAP_DIR=$cache/debootstrap/usr/share/debootstrap "$cache/debootstrap/usr/sbin/debootstrap" \
        --variant=minbase \
        --include=bash,ca-certificates,curl,netcat-openbsd,iproute2,iperf,bind9-dnsutils,util-linux,procps,hostname \
        bookworm "$root" "$mirror" >"$cache/debootstrap.log"
    trim "$root"
    touch "$root.made"
fi
import "$root" e2e-debian:bookworm

# nginx as its own image has it: port 80, pages in /usr/share/nginx/html, logs to the streams.
if [ ! -e "$cache/nginx.made" ]; then
    rm -rf "$cache/nginx"
    cp -a "$root" "$cache/nginx"
    cp /etc/resolv.conf /etc/hosts "$cache/nginx/etc/"
    printf '#!/bin/sh\nexit 101\n' >"$cache/nginx/usr/sbin/policy-rc.d"
    chmod +x "$cache/nginx/usr/sbin/policy-rc.d"
    chroot "$cache/nginx" sh -c \
        'apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends nginx-light' \
        >"$cache/nginx.log"
    trim "$cache/nginx"
    mkdir -p "$cache"/nginx/usr/share/nginx/html "$cache"/nginx/var/cache/nginx
    cp "$cache"/nginx/var/www/html/index*.html "$cache"/nginx/usr/share/nginx/html/index.html
    cat >"$cache/nginx/etc/nginx/nginx.conf" <<'C'
user www-data;
worker_processes 1;
pid /run/nginx.pid;
error_log /dev/stderr notice;
events { worker_connections 512; }
http {
  include /etc/nginx/mime.types;
  default_type application/octet-stream;
  access_log /dev/stdout;
  sendfile on;
  server {
    listen 80;
    server_name localhost;
    location / { root /usr/share/nginx/html; index index.html index.htm; }
  }
}
C
    touch "$cache/nginx.made"
fi
import "$cache/nginx" $e2e/nginx:1.15-4 -c 'CMD ["nginx","-g","daemon off;"]' -c 'EXPOSE 80'
docker tag $e2e/nginx:1.15-4 $e2e/nginx:1.27-0

# busybox: one static program and its names. Its shell says what tests want to read, and drops variables with names such
# as data-1, which other tests look for; where there are such variables, bash is the shell.
box=$cache/busybox
rm -rf "$box"
mkdir -p "$box"/{bin,tmp,etc,root,var/tmp,var/spool/mail,home,dev,usr/bin,usr/sbin,sbin,lib}
cp "$(command -v busybox)" "$box/bin/busybox"
for name in $("$box/bin/busybox" --list); do
    [ "$name" = busybox ] || ln -f "$box/bin/busybox" "$box/bin/$name"
done
ln -s ../../bin/env "$box/usr/bin/env"
[ -d "$cache/bash-static" ] || fetch bash-static
cp "$cache/bash-static/bin/bash-static" "$box/bin/bash"
rm "$box/bin/sh"
gcc -Os -static -o "$box/bin/sh" -x c - <<'C'
#include <string.h>
#include <unistd.h>
extern char **environ;
int main(int argc, char **argv) {
    (void)argc;
    for (char **entry = environ; *entry; entry++)
        if (memchr(*entry, '-', strcspn(*entry, "="))) execv("/bin/bash", argv);
    execv("/bin/busybox", argv);
    return 127;
}
C
chmod 1777 "$box/tmp" "$box/var/tmp"
cat >"$box/etc/passwd" <<'C'
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
bin:x:2:2:bin:/bin:/bin/false
sys:x:3:3:sys:/dev:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
C
printf '%s:x:%s:\n' root 0 daemon 1 bin 2 sys 3 tty 5 www-data 33 users 100 nobody 65534 >"$box/etc/group"
import "$box" $e2e/busybox:1.37.0-1 -c 'CMD ["sh"]'

# What the fake registry of agnhost serves: the suite's pause.
mkdir -p "$cache/pause"
gcc -Os -static -DVERSION=3.10.2 -o "$cache/pause/pause" "$source/build/pause/linux/pause.c"
import "$cache/pause" e2e-pause:testing -c 'ENTRYPOINT ["/pause"]' -c 'USER 65535:65535'
docker save -o "$cache/pause.tar" e2e-pause:testing

context=$cache/context
rm -rf "$context"
mkdir -p "$context"
cp "$cache"/bin/{agnhost,nnp,sample-apiserver} "$context/"
pictures=$source/test/images
cp "$pictures"/agnhost/porter/localhost.{crt,key} "$context/"
for name in kitten nautilus; do
    cp "$pictures/$name/html/$name.jpg" "$context/"
    cp "$pictures/$name/html/data.json" "$context/$name.json"
done
python3 "$here/conformance_registry.py" "$context/registry" pause testing "$cache/pause.tar"
build() { docker build -q -t "$1" -f - "$context" >/dev/null; }
build $e2e/agnhost:2.63.0 <<'C'
FROM e2e-debian:bookworm
EXPOSE 80 8080 8081 9376 5000
RUN mkdir /uploads && useradd -u 1000 -m user-defined-in-image && groupadd -g 50000 group-defined-in-image \
  && usermod -a -G group-defined-in-image user-defined-in-image && ln -s /usr/bin/iperf /usr/local/bin/iperf && ln -s agnhost /agnhost-2
ADD localhost.crt localhost.key /
ADD agnhost /agnhost
ADD registry /var/registry
ENTRYPOINT ["/agnhost"]
CMD ["pause"]
C
docker tag $e2e/agnhost:2.63.0 $e2e/agnhost:2.55
# A test of image volumes looks into os-release.
build $e2e/kitten:1.8 <<C
FROM $e2e/agnhost:2.63.0
COPY kitten.jpg /kitten.jpg
COPY kitten.json /data.json
RUN rm -f /etc/os-release && echo 'NAME="Alpine Linux"' > /etc/os-release
CMD ["test-webserver"]
C
build $e2e/nautilus:1.8 <<C
FROM $e2e/agnhost:2.63.0
COPY nautilus.jpg /nautilus.jpg
COPY nautilus.json /data.json
CMD ["test-webserver"]
C
build $e2e/nonewprivs:1.4 <<'C'
FROM e2e-debian:bookworm
COPY nnp /usr/local/bin/nnp
RUN chmod +s /usr/local/bin/nnp
CMD ["nnp"]
C
build $e2e/sample-apiserver:1.29.2 <<'C'
FROM e2e-debian:bookworm
ADD sample-apiserver /sample-apiserver
ENTRYPOINT ["/sample-apiserver"]
C
build $e2e/nonroot:1.5 <<'C'
FROM e2e-debian:bookworm
USER 1234
C
docker tag e2e-debian:bookworm $e2e/glibc-dns-testing:2.0.0
echo "$recipe" >"$cache/images.made"
