#!/usr/bin/env bash
# scripts/dev/programs.sh: have promtool, a Pushgateway, memcached and bubblewrap on a Debian machine, for tests.
#
# Usage: eval "$(scripts/dev/programs.sh)"   (or --help)
# Unpacked into .testbay/programs, not installed: the packages would start services. A second time costs nothing.
#
# Exit codes: 0 all are there, the output puts them on the PATH · 1 they could not be had · 2 wrong usage

set -Eeuo pipefail
CDPATH="" cd -P "$(dirname "${BASH_SOURCE[0]}")/../.."

main() { # [--help]
    case "${1:-}" in
        "") ;;
        --help) sed -n '2,/^$/s/^# \{0,1\}//p' scripts/dev/programs.sh && return ;;
        *) printf 'programs.sh: unknown argument %s (see --help)\n' "$1" >&2 && return 2 ;;
    esac
    (($(command -v promtool prometheus-pushgateway memcached bwrap | wc -l) < 4)) || return 0
    local folder=$PWD/.testbay/programs
    [[ -d $folder ]] || unpack "$folder"
    printf 'export PATH=%q\n' "$folder/usr/bin:$PATH"
}

unpack() { # <folder>
    local parts=$1.part
    if ! command -v apt-get >/dev/null; then
        printf 'programs.sh: %s is missing\n  probably: %s\n  to do: %s\n' \
            "promtool, prometheus-pushgateway, memcached or bwrap" "this is not Debian" \
            "install them with your package manager" >&2
        return 1
    fi
    rm -rf "$parts" && mkdir -p "$parts/root"
    ((EUID)) || apt-get update -qq >&2
    local packages=(prometheus prometheus-blackbox-exporter prometheus-pushgateway memcached bubblewrap)
    (cd "$parts" && apt-get download -qq "${packages[@]}" >&2)
    local package
    for package in "$parts"/*.deb; do
        dpkg -x "$package" "$parts/root"
    done
    mv "$parts/root" "$1"
    rm -rf "$parts"
}

[[ ${BASH_SOURCE[0]} != "$0" ]] || main "$@"
