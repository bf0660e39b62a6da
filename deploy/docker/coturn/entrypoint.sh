#!/bin/sh
# Writes coturn's configuration from turnserver.conf and the environment, and starts coturn.
#
#   TURN_SECRET        shared with the gateways (SURTITLE_TURN_SECRET there)
#   TURN_SECRET_OLD    optional: the one before, which stays good while secrets are changed
#   TURN_REALM         any name, such as the domain
#   TURN_EXTERNAL_IP   optional: the address that others see, where the host has another one
#   TURN_ALLOWED_PEERS optional: private ranges that may be relayed to, such as that of the
#                      media nodes: 172.30.20.2-172.30.20.254
#   TURN_CERTIFICATE, TURN_KEY  optional files: TLS on port 5349
#
# Arguments go to turnserver.
set -eu

: "${TURN_SECRET:?is needed}" "${TURN_REALM:?is needed}"
here=${TURN_TEMPLATE:-/etc/surtitle/turnserver.conf}
config=${TURN_CONFIG:-/run/coturn/turnserver.conf}

# A line break in a value would begin another option.
for value in "$TURN_SECRET" "${TURN_SECRET_OLD:-}" "$TURN_REALM" "${TURN_EXTERNAL_IP:-}" \
    "${TURN_ALLOWED_PEERS:-}" "${TURN_CERTIFICATE:-}" "${TURN_KEY:-}"; do
    case $value in
        *'
'*) echo "coturn: a setting has more than one line" >&2; exit 1 ;;
    esac
done

umask 077 # secrets
{
    cat "$here"
    echo "realm=$TURN_REALM"
    echo "static-auth-secret=$TURN_SECRET"
    [ -z "${TURN_SECRET_OLD:-}" ] || echo "static-auth-secret=$TURN_SECRET_OLD"
    [ -z "${TURN_EXTERNAL_IP:-}" ] || echo "external-ip=$TURN_EXTERNAL_IP"
    for range in ${TURN_ALLOWED_PEERS:-}; do
        echo "allowed-peer-ip=$range"
    done
    if [ -n "${TURN_CERTIFICATE:-}" ]; then
        echo "tls-listening-port=5349"
        echo "cert=$TURN_CERTIFICATE"
        echo "pkey=${TURN_KEY:?is needed with TURN_CERTIFICATE}"
    else
        echo "no-tls"
    fi
    # Over UDP people's media is encrypted anyway.
    echo "no-dtls"
    echo "userdb=${config%/*}/users"
    echo "pidfile=${config%/*}/pid"
    echo "log-file=stdout"
    echo "simple-log"
} >"$config"

exec turnserver -c "$config" "$@"
