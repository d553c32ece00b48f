#!/bin/sh
# A Swarm node's first script: become a machine, then run the node's commands; the Engine is one of them.
. /usr/lib/jeroboam/machine

environment /etc/docker/environment
exec /bin/sh "$commands"
