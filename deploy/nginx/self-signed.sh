#!/bin/sh
# A certificate for trying things out, in deploy/nginx/certs: browsers will warn of it.
#
#   deploy/nginx/self-signed.sh captions.example.com
#   deploy/nginx/self-signed.sh 192.0.2.10
set -eu

name=${1:?"usage: deploy/nginx/self-signed.sh NAME_OR_ADDRESS"}
certs=${2:-$(dirname "$0")/certs}
if [ -e "$certs/privkey.pem" ]; then
    echo "there is a key already: $certs/privkey.pem" >&2
    exit 1
fi
case $name in
    *[!0-9.]*) other=DNS:$name ;;
    *) other=IP:$name ;;
esac
mkdir -p "$certs"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 90 \
    -subj "/CN=$name" -addext "subjectAltName=$other,DNS:localhost,IP:127.0.0.1" \
    -addext "extendedKeyUsage=serverAuth" \
    -keyout "$certs/privkey.pem" -out "$certs/fullchain.pem" 2>/dev/null
# nginx and coturn read it as users of their own. A real key is not for everybody's eyes:
# docs/deploying.md gives it to a group.
chmod 644 "$certs/privkey.pem" "$certs/fullchain.pem"
echo "written: $certs/fullchain.pem, $certs/privkey.pem (90 days, for $name)"
