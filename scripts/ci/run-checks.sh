#!/usr/bin/env bash
# scripts/ci/run-checks.sh: asks what can be asked before a merge: of every service, or of those named.
#
# Usage: scripts/ci/run-checks.sh [SERVICE…]
#        scripts/ci/run-checks.sh --list [--changed-since COMMIT]   those that have something to ask, for a workflow's matrix
#        scripts/ci/run-checks.sh --list-deployments                what is asked on a schedule, for a workflow's matrix
#        scripts/ci/run-checks.sh --help
#
# Each service is started on a lease and its checks of the phase pre-merge are its tests. Of the phase pre-deploy those are
# asked whose variables are in a file of this checkout. A check that fails does not keep the others from being asked.
#
# Exit codes: 0 passed · 10 a service, its manifest or an option is wrong · else that of the first check that failed

set -Eeuo pipefail
CDPATH="" cd -P "$(dirname "${BASH_SOURCE[0]}")/../.."

main() { # [--help | --list [--changed-since COMMIT] | --list-deployments | SERVICE…]
    case ${1:-} in
        --help) sed -n '2,/^$/s/^# \{0,1\}//p' scripts/ci/run-checks.sh ;;
        --list | --list-deployments) list "$@" ;;
        *) ask "$@" ;;
    esac
}

ask() { # [SERVICE…]
    local names calls lines=() call words code first=0
    names=$(scripts/ci/run-integration-tests.sh --list "$@")
    scripts/bootstrap run
    # shellcheck disable=SC2086 # a name for each word
    calls=$(.venv/bin/python scripts/ci/checks.py calls $names)
    mapfile -t lines <<<"$calls"
    for call in "${lines[@]}"; do
        read -ra words <<<"$call"
        [[ ${#words[@]} != 0 ]] || continue # no service has any
        printf '==> testbay check %s\n' "$call"
        code=0
        .venv/bin/testbay check "${words[@]}" || code=$?
        [[ $first != 0 ]] || first=$code
    done
    return "$first"
}

list() { # --list [--changed-since COMMIT] | --list-deployments
    local names question=(services "${3:-}")
    case "$1 ${2:-}" in
        "--list " | "--list --changed-since") ;;
        "--list-deployments ") question=(deployments) ;;
        *) printf 'run-checks: unknown option %s\n  do:       scripts/ci/run-checks.sh --help\n' "${2:-}" >&2 && return 10 ;;
    esac
    names=$(scripts/ci/run-integration-tests.sh --list)
    scripts/bootstrap run >&2
    # shellcheck disable=SC2086 # a name for each word
    .venv/bin/python scripts/ci/checks.py "${question[@]}" $names
}

[[ ${BASH_SOURCE[0]} != "$0" ]] || main "$@"
