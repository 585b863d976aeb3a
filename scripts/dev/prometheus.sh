#!/usr/bin/env bash
# scripts/dev/prometheus.sh: have promtool and a Pushgateway on a Debian machine, for the tests of `testbay metrics`.
#
# Usage: eval "$(scripts/dev/prometheus.sh)"   (or --help)
# Unpacked into .testbay/prometheus, not installed: the packages would start services. A second time costs nothing.
#
# Exit codes: 0 both are there, the output puts them on the PATH · 1 they could not be had · 2 wrong usage

set -Eeuo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/../.."

main() { # [--help]
    case "${1:-}" in
        "") ;;
        --help) sed -n '2,/^$/s/^# \{0,1\}//p' scripts/dev/prometheus.sh && return ;;
        *) printf 'prometheus.sh: unknown argument %s (see --help)\n' "$1" >&2 && return 2 ;;
    esac
    ! command -v promtool >/dev/null || ! command -v prometheus-pushgateway >/dev/null || return 0
    local folder=$PWD/.testbay/prometheus
    [[ -d $folder ]] || unpack "$folder"
    printf 'export PATH=%q\n' "$folder/usr/bin:$PATH"
}

unpack() { # <folder>
    local parts=$1.part
    if ! command -v apt-get >/dev/null; then
        printf 'prometheus.sh: promtool or prometheus-pushgateway is missing\n  probably: %s\n  to do: %s\n' \
            "this is not Debian" "install both with your package manager" >&2
        return 1
    fi
    rm -rf "$parts" && mkdir -p "$parts/root"
    ((EUID)) || apt-get update -qq >&2
    (cd "$parts" && apt-get download -qq prometheus prometheus-pushgateway >&2)
    local package
    for package in "$parts"/*.deb; do
        dpkg -x "$package" "$parts/root"
    done
    mv "$parts/root" "$1"
    rm -rf "$parts"
}

[[ ${BASH_SOURCE[0]} != "$0" ]] || main "$@"
