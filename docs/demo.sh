#!/bin/sh
# Starts a server on a free port, lets the client talk to it, and stops it.
set -eu
bin=$1
said=$(mktemp)
"$bin/kv-server" --port 0 > "$said" &
server=$!
trap 'kill $server 2>/dev/null; wait $server; rm -f "$said"' EXIT
until [ -s "$said" ]; do kill -0 $server; sleep 0.1; done
cat "$said"
KV_PORT=$(sed 's/.*://' "$said")
export KV_PORT

show() {
    echo "\$ kv $*"
    "$bin/kv" "$@"
}
show SET user:1 '{"name": "Ada", "langs": ["en", "fr"]}'
show GET user:1
show MSET greeting hello nothing null
show MGET user:1 greeting nothing missing
show FLUSH
