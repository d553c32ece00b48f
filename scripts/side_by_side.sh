#!/bin/bash
# Runs each argument as a command, all of them side by side. What a command prints goes to build/side-NUMBER.log; once it
# has ended, the whole of it is printed, with the time that it took. The exit status is 0 only if each command's was 0.
set -u
mkdir -p build
children=()
for number in $(seq $#); do
    (SECONDS=0; bash -c "${!number}"; status=$?; echo "== $SECONDS s, exit status $status: ${!number}"; exit $status) \
        >"build/side-$number.log" 2>&1 &
    children+=($!)
done
failed=0
for number in $(seq $#); do
    wait "${children[number - 1]}" || failed=1
    cat "build/side-$number.log"
done
exit $failed
