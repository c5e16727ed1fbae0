#!/bin/sh
# Starts a server on a free port, lets the client talk to it, and stops it.
set -eu
bin=$(cd "$1" && pwd)
log=$(mktemp)
"$bin/kv-server" --port 0 > "$log" &
server=$!
trap 'kill $server 2>/dev/null; wait $server; rm -f "$log"' EXIT
until [ -s "$log" ]; do kill -0 $server; sleep 0.1; done
cat "$log"
KV_PORT=$(sed 's/.*://' "$log")
export KV_PORT
PATH="$bin:$PATH"

# Each line is printed as it is typed in a shell, and run by one.
while read -r line; do
    echo "\$ $line"
    sh -c "$line" < /dev/null
done << 'END'
kv SET user:1 '{"name": "Ada", "langs": ["en", "fr"]}'
kv GET user:1
kv MSET greeting hello nothing null
kv MGET user:1 greeting nothing missing
kv FLUSH
END

kill $server
wait $server
trap 'rm -f "$log"' EXIT
echo "To go on, start a server, which listens on port 7379, and the shell:"
echo "export PATH=\"$bin:\$PATH\"; kv-server & sleep 1; kv"
