#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Installs the packages of the named sections of scripts/deps.txt (all sections without arguments) that are missing.
# Quick and without privileges when nothing is missing; otherwise it needs root. Where packages come from is the
# system's own configuration.
set -eu
list=$(dirname "$0")/deps.txt

wanted=$(awk -v sections=" $* " '
    /^#/ || NF == 0 { next }
    /^\[/ { name = substr($1, 2, length($1) - 2); next }
    sections == "  " || index(sections, " " name " ") { print $1 }' "$list" | sort -u)

if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "deps: this is no Debian system; install the equivalents of:" $wanted >&2
    exit 1
fi

# shellcheck disable=SC2086 # a list of words
installed=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' $wanted 2>/dev/null | sed -n 's/^installed //p' | sort -u)
missing=
for package in $wanted; do
    case "
$installed
" in
    *"
$package
"*) ;;
    *) missing="$missing $package" ;;
    esac
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
    echo "deps: missing:$missing" >&2
    echo "deps: run 'make deps' as root" >&2
    exit 1
fi
echo "deps: installing$missing"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# shellcheck disable=SC2086
if ! { apt-get -qq update && apt-get -qq install -y --no-install-recommends $missing; } >"$log" 2>&1; then
    cat "$log" >&2
    echo "deps: the installation failed" >&2
    exit 1
fi
