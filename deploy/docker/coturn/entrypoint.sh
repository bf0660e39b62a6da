#!/bin/sh
# Writes coturn's configuration, of turn/turnserver.conf and the TURN_… variables that
# docs/turn.md explains, and starts coturn. Arguments go to turnserver.
set -eu

: "${TURN_FOLDER:=/run/coturn}"
export TURN_FOLDER
config=$TURN_FOLDER/turnserver.conf

umask 077 # secrets
python3 -m turn >"$config"

exec turnserver -c "$config" "$@"
