#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The demonstration behind `make demo-cluster`: the smallest highly available cluster. Three machines, each proxy and
# subcollector at once, with two copies of every batch; one is killed under load and comes back.
#
#     scripts/demo-cluster.sh [BUILD]        BUILD holds bin/; default: build
#
# The machines are network namespaces on a bridge, which needs root. Everything lies in one temporary folder; what is started
# here is stopped here, by its process id, and the namespaces go, also after an error.
set -eu

build=$(cd "${1:-build}" && pwd)
[ "$(id -u)" -eq 0 ] || { echo "demo-cluster: three machines need network namespaces: run it as root" >&2; exit 1; }
PATH=$build/bin:$PATH
traffic=$(dirname "$0")/demo-traffic.py
work=$(mktemp -d "${TMPDIR:-/tmp}/sc-demo.XXXXXX")
tag=scdemo$$
processes=

say() { printf '\n# %s\n' "$*"; }
run() { printf '$'; printf ' %s' "$@"; echo; "$@"; }
at() { where=$1; shift; ip netns exec "$tag-$where" "$@"; }

cleanup() {
    status=$?
    trap - EXIT INT TERM
    for process in $processes; do
        kill "$process" 2>/dev/null || true
        wait "$process" 2>/dev/null || true
    done
    for machine in switch alpha beta gamma web; do
        ip netns delete "$tag-$machine" 2>/dev/null || true
    done
    [ $status -eq 0 ] || { echo "demo-cluster: failed; the collectors said:" >&2; cat "$work"/*.log >&2 || true; }
    rm -rf "$work"
    exit $status
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Waits until COMMAND succeeds, 20 seconds at most.
wait_for() {
    what=$1
    shift
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 200 ] || { echo "demo-cluster: $what did not happen within 20 s" >&2; exit 1; }
        sleep 0.1
    done
}

start() {
    printf '$ sc-collector -c %s.yaml     (on %s)\n' "$1" "$1"
    ip netns exec "$tag-$1" "$build/bin/sc-collector" -c "$work/$1.yaml" >>"$work/$1.log" 2>&1 &
    eval "process_$1=$!"
    processes="$! $processes"
    wait_for "the start of $1" grep -q '^listening' "$work/$1.log"
}

# How many subcollectors a proxy uses.
uses() { [ "$(sc-admin status --json "$work/$1" | grep -o '"usable":true' | wc -l)" -eq "$2" ]; }
settled() { sc-admin status --json "$work/$1" | grep -q '"waiting_batches":0,'; }
flows() { sc-query --output-items=p --output-format=json "$@" | sed -n 's/.*"flows": *\([0-9]*\).*/\1/p' | head -1; }

say "Three machines on a switch, a fourth with a web server, and a place for exporters."
ip netns add "$tag-switch"
at switch ip link add switch type bridge
at switch ip address add 10.77.0.254/24 dev switch
at switch ip link set switch up
number=0
for machine in alpha beta gamma web; do
    number=$((number + 1))
    ip netns add "$tag-$machine"
    at switch ip link add "to-$machine" type veth peer name eth0 netns "$tag-$machine"
    at switch ip link set "to-$machine" master switch up
    at $machine ip link set lo up
    at $machine ip address add "10.77.0.$number/24" dev eth0
    at $machine ip link set eth0 up
done

say "The membership file, the same on all."
cat >"$work/cluster.yaml" <<END
version: 1
replication: 2
members:
  - {name: alpha, address: '10.77.0.1:4741'}
  - {name: beta,  address: '10.77.0.2:4741'}
  - {name: gamma, address: '10.77.0.3:4741'}
END
cat "$work/cluster.yaml"
say "The certificates by which they know each other."
run "$build/bin/sc-admin" certs --cluster="$work/cluster.yaml" "$work/tls"
for machine in alpha beta gamma; do
    printf 'cluster: %s\nnode: %s\ntls: %s\nstore: %s\nwindow: 60\nlisteners: ["udp://[::]:2055", "tcp://[::]:4739"]\n' \
        "$work/cluster.yaml" $machine "$work/tls" "$work/$machine" >"$work/$machine.yaml"
done
say "The file of alpha."
cat "$work/alpha.yaml"

say "The collectors."
for machine in alpha beta gamma; do start $machine; done
for machine in alpha beta gamma; do wait_for "that $machine uses all three" uses $machine 3; done

say "A real exporter: softflowd watches the packets of the web server and sends NetFlow v9 over UDP to gamma."
printf '$ softflowd -v 9 -i eth0 -n 10.77.0.3:2055 ...     (on web)\n'
ip netns exec "$tag-web" softflowd -d -v 9 -i eth0 -n 10.77.0.3:2055 -c "$work/softflowd.ctl" -p "$work/softflowd.pid" \
    'not port 2055 and (tcp or udp)' >"$work/softflowd.log" 2>&1 &
softflowd=$!
processes="$softflowd $processes"
wait_for "the start of softflowd" softflowctl -c "$work/softflowd.ctl" statistics
ip netns exec "$tag-web" python3 "$traffic" serve 10.77.0.4 53 80 &
processes="$! $processes"
wait_for "the start of the web server" at switch python3 -c \
    'import socket; socket.create_connection(("10.77.0.4", 80), 1).close()'
at switch python3 "$traffic" client 10.77.0.4 53 80
wait_for "capture" sh -c "softflowctl -c '$work/softflowd.ctl' statistics | grep -q 'processed: [1-9]'"
softflowctl -c "$work/softflowd.ctl" expire-all

say "Two more: generated flows as IPFIX over TCP to alpha, and as NetFlow v9 over UDP to gamma, for ten seconds."
ip netns exec "$tag-switch" "$build/bin/sc-exporter" --generate --flows 60000 --seed 1 --protocol ipfix --rate 6000 \
    --to tcp://10.77.0.1:4739 &
first=$!
ip netns exec "$tag-switch" "$build/bin/sc-exporter" --generate --flows 40000 --seed 2 --protocol v9 --rate 4000 \
    --to udp://10.77.0.3:2055 &
second=$!
processes="$first $second $processes"
sleep 3
say "After three seconds beta is killed."
# shellcheck disable=SC2154 # set by start
run kill -9 "$process_beta"
wait_for "that alpha notices" uses alpha 2
say "Alpha goes on with two."
run sc-admin status "$work/alpha"
at switch python3 "$traffic" client 10.77.0.4 53 80
wait $first
wait $second
softflowctl -c "$work/softflowd.ctl" expire-all
softflowctl -c "$work/softflowd.ctl" statistics >"$work/statistics"
real=$(sed -n 's/.*[Ff]lows exported: .*(\([0-9]*\) records).*/\1/p' "$work/statistics")
sleep 1
for machine in alpha gamma; do wait_for "that $machine's batches are safe" settled $machine; done

say "All flows are in the stores of the two that are left, each counted once. Beta was a proxy too, so that the answer says that"
say "it is silent: what it may have accepted nobody knows (exit status 3)."
status=0
run sc-query -s srcip#bytes -l 3 "$work/alpha" "$work/gamma" || status=$?
echo "exit status $status"
left=$(flows "$work/alpha" "$work/gamma" || true)

say "Beta comes back, takes part again, and the answer is complete."
start beta
wait_for "that alpha uses beta again" uses alpha 3
wait_for "that beta is heard of" sc-query --output-items=p "$work/alpha" "$work/beta" "$work/gamma"
run sc-query -s srcip#bytes -l 3 "$work/alpha" "$work/beta" "$work/gamma"
all=$(flows "$work/alpha" "$work/beta" "$work/gamma")

say "What softflowd saw."
run sc-query -f 'exporterip 10.77.0.4' -s dstport#flows -l 5 "$work/alpha" "$work/beta" "$work/gamma"
soft=$(flows -f 'exporterip 10.77.0.4' "$work/alpha" "$work/beta" "$work/gamma")

say "Sent: $((100000 + real)) flows, $real of them by softflowd. Without beta: $left. With it: $all, $soft of softflowd."
[ "$left" = $((100000 + real)) ] && [ "$all" = "$left" ] && [ "$soft" = "$real" ]
