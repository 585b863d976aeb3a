#!/usr/bin/env bash
# scripts/dev/browser.sh: have Chromium and its driver on a Debian machine, for the tests that open our pages.
#
# Usage: scripts/dev/browser.sh [--help]
# A second time costs nothing.
#
# Exit codes: 0 both are there · 1 they could not be installed · 2 wrong usage

set -Eeuo pipefail
CDPATH="" cd -P "$(dirname "${BASH_SOURCE[0]}")/../.."

main() { # [--help]
    case "${1:-}" in
        "") ;;
        --help) sed -n '2,/^$/s/^# \{0,1\}//p' scripts/dev/browser.sh && return ;;
        *) printf 'browser.sh: unknown argument %s (see --help)\n' "$1" >&2 && return 2 ;;
    esac
    ! command -v chromium >/dev/null || ! command -v chromedriver >/dev/null || return 0
    if ((EUID)) || ! command -v apt-get >/dev/null; then
        printf 'browser.sh: chromium or chromedriver is missing\n  probably: %s\n  to do: %s\n' \
            "this is not Debian, or you are not root" "install both with your package manager" >&2
        return 1
    fi
    printf '==> installing chromium and chromedriver\n'
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # With a font: without one every text is empty boxes, as wide as they like.
    apt-get -o DPkg::Lock::Timeout=120 install -y -qq --no-install-recommends \
        chromium chromium-driver fonts-dejavu-core >/dev/null
}

[[ ${BASH_SOURCE[0]} != "$0" ]] || main "$@"
