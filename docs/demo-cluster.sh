#!/bin/sh
# Starts three primaries on this machine and two servers before them, lets the client talk to both,
# and stops all of it. Needs redis-server and redis-cli.
set -eu
bin=$(cd "$1" && pwd)
dir=$(mktemp -d)
pids=""
stop() {
    for pid in $pids; do kill "$pid" 2>/dev/null || true; done
    for pid in $pids; do wait "$pid" || true; done
    rm -rf "$dir"
}
trap stop EXIT

free_port() {
    "$bin/python" -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

places=""
for number in 1 2 3; do
    port=$(free_port)
    bus=$(free_port)
    mkdir "$dir/$number"
    redis-server --port "$port" --bind 127.0.0.1 --cluster-enabled yes --cluster-port "$bus" \
        --dir "$dir/$number" --save "" > "$dir/$number/log" &
    pids="$pids $!"
    places="$places 127.0.0.1:$port"
    until redis-cli -p "$port" ping > /dev/null 2>&1; do sleep 0.1; done
done
# shellcheck disable=SC2086 # each place is an argument
redis-cli --cluster create $places --cluster-yes > "$dir/log"
for place in $places; do
    until redis-cli -p "${place#*:}" cluster info | grep -q state:ok; do sleep 0.1; done
done
engine="redis-cluster://$(echo $places | tr ' ' ',')"
echo "Three primaries: $engine"

for server in one other; do
    "$bin/kv-server" --port 0 --store "$engine" > "$dir/$server" 2> "$dir/$server.log" &
    pids="$pids $!"
done
for server in one other; do
    until [ -s "$dir/$server" ]; do
        # shellcheck disable=SC2086 # each process is an argument
        kill -0 $pids 2> /dev/null || { cat "$dir"/*.log >&2; exit 1; }
        sleep 0.1
    done
    cat "$dir/$server"
done
one=$(sed 's/.*://' "$dir/one")
other=$(sed 's/.*://' "$dir/other")
PATH="$bin:$PATH"

# Each line is printed as it is typed in a shell, and run by one.
while read -r line; do
    echo "\$ $line"
    sh -c "$line" < /dev/null || true
done << END
kv -p $one SET user:1 '{"name": "Ada"}'
kv -p $other GET user:1
kv -p $one INCR visits
kv -p $other INCR visits
kv -p $one MSET a 1 b 2
kv -p $one MSET {u}:a 1 {u}:b 2
kv -p $other COUNT
END
