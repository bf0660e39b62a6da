#!/bin/sh
# Makes .env from .env.example, with secrets of its own. An .env there is stays as it is.
#
#   deploy/env.sh 192.0.2.10                        # the address other machines see
#   deploy/env.sh 192.0.2.10 captions.example.com   # and the name in its certificate
set -eu

address=${1:?"usage: deploy/env.sh ADDRESS [NAME]"}
name=${2:-$address}
cd "$(dirname "$0")/.."
if [ -e .env ]; then
    echo "there is an .env already: $PWD/.env" >&2
    exit 1
fi
umask 077
while IFS= read -r line; do
    case $line in
        SURTITLE_PUBLIC_ADDRESS=) echo "$line$address" ;;
        SURTITLE_PUBLIC_HOST=) echo "$line$name" ;;
        *_SECRET= | *_PASSWORD= | *_KEY=) echo "$line$(openssl rand -hex 32)" ;;
        *) echo "$line" ;;
    esac
done <.env.example >.env.new
mv .env.new .env
echo "written: $PWD/.env"
