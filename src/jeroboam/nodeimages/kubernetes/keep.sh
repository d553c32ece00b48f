#!/bin/sh
# keep COMMAND [ARGUMENT…]: run it, and again whenever it ends, until we are told to end. A node's services have no
# other supervisor.
ended() {
    trap '' TERM
    kill "$child" 2>/dev/null
    wait "$child"
    exit 0
}
trap ended TERM INT
while :; do
    "$@" &
    child=$!
    wait "$child"
    echo "node: $1 ended with status $?; it is started again" >&2
    sleep 0.5
done
