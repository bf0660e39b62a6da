#!/bin/sh
# Starts a node under what only the container knows of itself: its name and its address.
# Whatever is set already stays, so nothing here is needed where every node has a name.
set -eu

# The container's name, which Docker's and Kubernetes' networks resolve.
: "${SURTITLE_ID:=$(hostname)}"
: "${SURTITLE_CONTROL_URL:=http://$(hostname):${SURTITLE_PORT:-8081}}"
export SURTITLE_ID SURTITLE_CONTROL_URL

# Of several addresses, the one in the network that media uses: NODE_MEDIA_PREFIX=172.30.20.
if [ -n "${NODE_MEDIA_PREFIX:-}" ] && [ -z "${SURTITLE_ADVERTISE:-}" ]; then
    for address in $(hostname -I); do
        case $address in "$NODE_MEDIA_PREFIX"*) SURTITLE_ADVERTISE=$address ;; esac
    done
    if [ -z "${SURTITLE_ADVERTISE:-}" ]; then
        echo "node-entrypoint: no address begins with $NODE_MEDIA_PREFIX: $(hostname -I)" >&2
        exit 1
    fi
    export SURTITLE_ADVERTISE
fi

# exec: signals shall reach the node, which drains on SIGTERM.
exec surtitle node "$@"
