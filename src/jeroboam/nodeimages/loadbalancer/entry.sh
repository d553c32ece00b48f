#!/bin/sh
# A load balancer's first script: run its commands; HAProxy is the last of them.
exec /bin/sh /etc/jeroboam/node/commands
