#!/bin/bash
# Takes back what `make install`, the service and its users made with this checkout, and says a line for each thing:
# the unit of systemd, clusters and containers, state, images, caches, the Engine that the set-up started, virtual
# environments. Debian's packages stay, and are named. Asks once, unless YES is set.
set -euo pipefail
cd "$(dirname "$0")/.."

program=$PWD/.venv/bin/jeroboam
unit=/etc/systemd/system/jeroboam.service

[ -x "$program" ] || { echo "uninstall: there is no $program, which knows what there is: make venv" >&2; exit 1; }
if [ -z "${YES:-}" ]; then
    read -r -p "Remove jeroboam with all its clusters, containers, images and caches? [y/N] " answer
    [ "$answer" = y ] || { echo "uninstall: nothing was removed"; exit 1; }
fi

# A unit that starts another program is not ours.
if line=$(grep "^ExecStart=$program up " "$unit" 2>/dev/null); then
    systemctl disable --quiet --now jeroboam.service
    echo "stopped jeroboam.service"
    # `systemd-unit` quotes for a shell, and then for systemd.
    line=${line#*" up "} line=${line//%%/%} line=${line//\$\$/\$}
    eval "options=($line)"
    OS_NODE_IMAGES__CACHE=/var/cache/jeroboam "$program" down --yes --cache "${options[@]}"
    rm "$unit"
    systemctl daemon-reload
    echo "removed $unit"
fi

"$program" stop 2>/dev/null || true
"$program" down --yes --images --cache
"$program" setup --undo

for path in .venv .venv-2015 .venv-audit .venv-docs build .mypy_cache .ruff_cache .hypothesis .import_linter_cache; do
    [ ! -e "$path" ] || { rm -r "$path"; echo "removed $PWD/$path"; }
done
find . -name __pycache__ -prune -exec rm -r {} +
echo "removed __pycache__ in $PWD"
