#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The demonstration behind `make demo`: a collector, a real exporter, generated flows, a few queries.
#
#     scripts/demo.sh [BUILD]        BUILD holds bin/; default: build
#
# Everything lies in one temporary folder and listens on loopback. What is started here is stopped here, by its process
# id, also after an error. As root all of it runs in a network namespace of its own, which touches no network of the
# machine; without that right it runs on the machine's loopback.
set -eu

build=$(cd "${1:-build}" && pwd)
if [ "${SC_DEMO_NAMESPACE:-}" = "" ] && [ "$(id -u)" -eq 0 ] && unshare --net true 2>/dev/null; then
    SC_DEMO_NAMESPACE=yes exec unshare --net sh "$0" "$build"
fi
PATH=$build/bin:$PATH
work=$(mktemp -d "${TMPDIR:-/tmp}/sc-demo.XXXXXX")
store=$work/store
processes=

say() { printf '\n# %s\n' "$*"; }
# Prints a command as a shell reads it, without the end of the line.
show() {
    line=
    for word in "$@"; do
        case $word in
        *[!A-Za-z0-9_./:=,@%+#-]*) word="'$word'" ;;
        esac
        line="$line $word"
    done
    printf '$%s' "$line"
}
run() { show "$@"; echo; "$@"; }

# Starts a command in the background: its output goes to FILE, its process id to $started.
background() {
    file=$1
    shift
    show "$@"
    echo " >$file 2>&1 &"
    "$@" >"$file" 2>&1 &
    started=$!
    processes="$started $processes"
}

cleanup() {
    status=$?
    trap - EXIT INT TERM
    for process in $processes; do
        kill "$process" 2>/dev/null || true
        wait "$process" 2>/dev/null || true
    done
    [ $status -eq 0 ] || { echo "demo: failed; the collector said:" >&2; cat "$work/collector.log" >&2 || true; }
    rm -rf "$work"
    exit $status
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

free_port() {
    python3 -c 'import socket
s = socket.socket(); u = socket.socket(type=socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 0)); u.bind(("127.0.0.1", s.getsockname()[1])); print(s.getsockname()[1])'
}

# Waits until COMMAND succeeds, five seconds at most.
wait_for() {
    what=$1
    shift
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 50 ] || { echo "demo: $what did not happen within 5 s" >&2; exit 1; }
        sleep 0.1
    done
}

# A pair of interfaces, the far end in a second namespace that lasts as long as the process $far: what passes there are
# real packets.
make_network() {
    [ "${SC_DEMO_NAMESPACE:-}" = yes ] && ip link set lo up || return 1
    unshare --net sleep 3600 &
    far=$!
    processes="$far $processes"
    ip link add near type veth peer name far && move_far_end &&
        ip address add 192.0.2.1/24 dev near && ip address add 2001:db8::1/64 dev near nodad && ip link set near up &&
        inside ip address add 192.0.2.2/24 dev far && inside ip address add 2001:db8::2/64 dev far nodad &&
        inside ip link set far up
}
inside() { nsenter --target "$far" --net "$@"; }
# The namespace is there a moment after its process.
move_far_end() {
    wait_for "the second namespace" sh -c "[ \"\$(readlink /proc/$far/ns/net)\" != \"\$(readlink /proc/$$/ns/net)\" ]"
    ip link set far netns "$far"
}

traffic=$(dirname "$0")/demo-traffic.py

udp=$(free_port)
tcp=$(free_port)

say "A collector with a temporary store."
background "$work/collector.log" sc-collector --store "$store" --listen "udp://127.0.0.1:$udp" \
    --listen "tcp://127.0.0.1:$tcp"
collector=$started
wait_for "listening" sh -c "[ \$(grep -c '^listening' '$work/collector.log') -eq 2 ]"
cat "$work/collector.log"

if make_network; then
    say "Real packets, in a network namespace: web requests and questions to port 53, IPv4 and IPv6."
    interface=near hosts="192.0.2.2 2001:db8::2" domain=53 web=80 inside="nsenter --target $far --net"
else
    say "Real packets, on loopback: web requests and datagrams."
    interface=lo hosts=127.0.0.1 domain=$(free_port) web=$(free_port) inside=
fi
say "softflowd watches them and exports NetFlow v9."
background "$work/softflowd.log" softflowd -d -v 9 -i $interface -n "127.0.0.1:$udp" -c "$work/softflowd.ctl" \
    -p "$work/softflowd.pid" "not port $udp and not port $tcp and (tcp or udp)"
exporter=$started
wait_for "the start of softflowd" softflowctl -c "$work/softflowd.ctl" statistics
for host in $hosts; do
    $inside python3 "$traffic" serve "$host" "$domain" "$web" &
    server=$!
    processes="$server $processes"
    wait_for "the start of the web server" python3 -c "import socket; socket.create_connection(('$host', $web), 1).close()"
    python3 "$traffic" client "$host" "$domain" "$web"
    kill "$server"
    wait "$server" 2>/dev/null || true
done
wait_for "capture" sh -c "softflowctl -c '$work/softflowd.ctl' statistics | grep -q 'processed: [1-9]'"
run softflowctl -c "$work/softflowd.ctl" expire-all
kill "$exporter"
wait "$exporter" 2>/dev/null || true

say "Generated flows: NetFlow v5, v9 and IPFIX over UDP, IPFIX over TCP."
run sc-exporter --generate --flows 20000 --seed 1 --protocol v5 --rate 20000 --to "udp://127.0.0.1:$udp"
run sc-exporter --generate --flows 20000 --seed 2 --protocol v9 --ipv6 20 --rate 20000 --to "udp://127.0.0.1:$udp"
run sc-exporter --generate --flows 20000 --seed 3 --protocol ipfix --ipv6 20 --rate 20000 --to "udp://127.0.0.1:$udp"
run sc-exporter --generate --flows 20000 --seed 4 --protocol ipfix --ipv6 20 --to "tcp://127.0.0.1:$tcp"
sleep 2 # a flow is visible at most two seconds after its arrival

say "What arrived, from whom."
run sc-admin status "$store"

say "The flows of softflowd."
if [ $interface = lo ]; then
    run sc-query -f "dst port $web or dst port $domain" -l 10 "$store"
else
    run sc-query -f 'net 192.0.2.0/24 or net 2001:db8::/64' -l 10 "$store"
fi
say "Top 10 sources by bytes."
run sc-query -s srcip#bytes -l 10 "$store"
say "TCP by network of the destination: /24, and /64 of IPv6."
run sc-query -f 'proto tcp' -s dstip/24/64 -l 10 "$store"
say "The same as JSON, for a program."
run sc-query -f 'proto tcp' -s dstip/24/64 -l 3 --output-format=json "$store"

say "The collector is stopped, what it stored is verified."
run kill "$collector"
wait "$collector"
run sc-admin verify "$store"
say "Done. Everything that was started is stopped; $work is deleted."
