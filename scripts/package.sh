#!/bin/bash
# Builds a package for this release of Debian: build/jeroboam_VERSION_ARCHITECTURE.deb. The program and all that it
# depends on, by the lock file, are in an environment of their own that uses Debian's Python. Nothing is installed.
set -euo pipefail
cd "$(dirname "$0")/.."

uv=$PWD/.venv/bin/uv
python=/usr/bin/python3
home=/usr/lib/jeroboam
config=/etc/jeroboam/jeroboam.conf

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
chmod 755 "$tree"

"$uv" build --quiet --wheel --out-dir "$tree/wheel" .
wheel=("$tree"/wheel/*.whl)
"$uv" venv --quiet --relocatable --python "$python" "$tree$home"
"$uv" pip install --quiet --link-mode copy --python "$tree$home/bin/python" --constraints requirements.lock \
    "${wheel[0]}[embedded,clients]"
rm -r "$tree/wheel" "$tree$home"/{.lock,.gitignore} "$tree$home"/bin/*activate*
# The service may not write there. Templates in some packages are no Python, which is an error here and no harm.
"$python" -m compileall -q -j 0 -s "$tree" --invalidation-mode unchecked-hash "$tree$home/lib" >/dev/null || true

# The program says what its unit and its configuration are. Paths are those of the machine that it will be on.
program=$tree$home/bin/jeroboam
mkdir -p "$tree"/{DEBIAN,usr/bin,usr/lib/systemd/system,etc/jeroboam,usr/share/doc/jeroboam}
"$program" config sample >"$tree$config"
"$program" systemd-unit --config "$tree$config" | sed -e "s|$program|/usr/bin/jeroboam|; s|$tree||g; /^# /d" \
    >"$tree/usr/lib/systemd/system/jeroboam.service"
ln -s "../lib/jeroboam/bin/jeroboam" "$tree/usr/bin/jeroboam"
cp LICENSE "$tree/usr/share/doc/jeroboam/copyright"
gzip -9n <CHANGELOG.md >"$tree/usr/share/doc/jeroboam/changelog.gz"
chmod 640 "$tree$config"

version=$("$program" --version | cut -d ' ' -f 2)-1
architecture=$(dpkg --print-architecture)
minor=$("$python" -c 'import sys; print(sys.version_info.minor)')
sed -e "s/@VERSION@/$version/; s/@ARCHITECTURE@/$architecture/; s/@KIB@/$(du -sk "$tree" | cut -f 1)/" \
    -e "s/@PYTHON@/3.$minor/; s/@PYTHON_NEXT@/3.$((minor + 1))/" packaging/control >"$tree/DEBIAN/control"
install -m 755 packaging/{postinst,prerm,postrm} "$tree/DEBIAN/"
echo "$config" >"$tree/DEBIAN/conffiles"

mkdir -p build
package=build/jeroboam_${version}_$architecture.deb
dpkg-deb -Zzstd -z9 --root-owner-group --build "$tree" "$package" >/dev/null
echo "$package ($(du -m "$package" | cut -f 1) MB, $(du -sm "$tree" | cut -f 1) MB installed)"
