#!/usr/bin/env bash
# scripts/ci/run-integration-tests.sh: tier 2. Runs the integration tests of every service, or of those named.
#
# Usage: scripts/ci/run-integration-tests.sh [SERVICE…]
#        scripts/ci/run-integration-tests.sh --shard I/N [SERVICE…]   that part of their tests
#        scripts/ci/run-integration-tests.sh --with-secrets [--shard I/N] SERVICE   with its secrets, fetched just for it
#        scripts/ci/run-integration-tests.sh --list [SERVICE…]        the names, a line each
#        scripts/ci/run-integration-tests.sh --list --json [--changed-since COMMIT] [SERVICE…]
#            a job for each shard, for a workflow's matrix: [{"service": "a", "shard": 1, "shards": 2}, …]; only those
#            whose files, or files that all share, have changed. In GitHub Actions also the step's output `matrix`.
#        scripts/ci/run-integration-tests.sh --help
#
# A service is a folder in services/ with a manifest ([tool.testbay] in pyproject.toml, or testbay.toml) and a
# tier 3 script (scripts/ci/run-tests.sh). A service that fails does not keep the others from running.
#
# Environment (everything else, such as TESTBAY_ENGINE, reaches tier 3 untouched):
#   OPENAI_API_KEY   set: model calls are live
#   TESTBAY_LLM      replay: a local stand-in answers them; at home that is the default, CI has to ask for it
#   CI               true: a missing key is an error instead
#
# Exit codes: 0 passed · 10 a service is unknown or incomplete · 14 no key · 15 fewer services ran than planned
#             130, 143 interrupted · else that of the first service that failed

set -Eeuo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/../.."

# Starts a tier 3 script as the terminal would: default signals (bash makes background jobs deaf to Ctrl-C) and a
# process group of its own, so that it gets each signal once, from us.
readonly AS_A_JOB='
import os, signal, sys
os.setpgid(0, 0)
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE):
    signal.signal(number, signal.SIG_DFL)
try:
    os.execv(sys.argv[1], sys.argv[1:])
except OSError as error:
    print(f"run-integration-tests: {sys.argv[1]}: {error.strerror}", file=sys.stderr)
    sys.exit(127)
'
child="" stopped=""

main() { # [--help | --list … | [--with-secrets] [--shard I/N] SERVICE…]
    local known=() planned=() report="" first=0 ran=0 passed=0 name code start result
    [[ ${1:-} != --help ]] || { sed -n '2,/^$/s/^# \{0,1\}//p' scripts/ci/run-integration-tests.sh && return; }
    find_services
    [[ ${1:-} != --list ]] || { list "${@:2}" && return; }
    [[ ${1:-} != --with-secrets ]] || with_secrets "${@:2}"
    if [[ ${1:-} == --shard ]]; then
        [[ -n ${2:-} ]] || die 10 "--shard needs a value" "which part of the tests, of how many?" "--shard 2/4"
        export TESTBAY_SHARD=$2 # for tier 3, which checks it
        shift 2
    fi
    choose "$@"
    check_key

    trap 'stop INT 130' INT
    trap 'stop TERM 143' TERM
    scripts/bootstrap run || exit
    for name in "${planned[@]}"; do
        [[ -z $stopped ]] || break
        printf '==> %s: services/%s/scripts/ci/run-tests.sh\n' "$name" "$name"
        start=$SECONDS code=0 result=passed
        run "services/$name/scripts/ci/run-tests.sh" || code=$?
        case $code in
            0) passed=$((passed + 1)) ran=$((ran + 1)) ;;
            126 | 127) result="could not be started" code=15 ;;
            130 | 143) result=interrupted stopped=${stopped:-$code} ran=$((ran + 1)) ;;
            *) result="failed (exit $code)" ran=$((ran + 1)) ;;
        esac
        [[ $first != 0 ]] || first=$code
        report+=$(printf '\n  %-24s %-20s %4s s' "$name" "$result" "$((SECONDS - start))")
    done
    printf '\nServices: %s planned, %s ran, %s passed%s\n' "${#planned[@]}" "$ran" "$passed" "$report"
    [[ $first != 0 || $ran == "${#planned[@]}" ]] || first=15
    exit "${stopped:-$first}"
}

# Sets `known`. A manifest without a runner (or the reverse) is an error: silently skipped tests look like passed ones.
find_services() { # (no arguments)
    local folder name manifest
    for folder in services/*/; do
        name=$(basename "$folder") manifest=""
        [[ ! -f $folder/testbay.toml ]] || manifest=testbay.toml
        ! grep -qs '^\[tool\.testbay\]' "$folder/pyproject.toml" || manifest=pyproject.toml
        [[ -n $manifest || -e $folder/scripts/ci/run-tests.sh ]] || continue # a library, a cache: not a service
        [[ -n $manifest ]] || die 10 "services/$name has a tier 3 script and no manifest" \
            "neither [tool.testbay] in its pyproject.toml nor a testbay.toml was found" "add one (docs/add-a-service.md)"
        [[ -x $folder/scripts/ci/run-tests.sh ]] || die 10 "services/$name has a manifest and no tier 3 script" \
            "services/$name/scripts/ci/run-tests.sh is missing or not executable" \
            "copy that of another service; chmod +x it"
        [[ $name =~ ^[a-z0-9_]+$ ]] || die 10 "services/$name is not a name for a service" \
            "names travel through shells, SQL and NATS subjects" "rename the folder: a-z, 0-9 and _ only"
        known+=("$name")
    done
    [[ ${#known[@]} != 0 ]] || die 15 "there is no service to test" "services/ holds none" "see docs/add-a-service.md"
}

list() { # [--json] [--changed-since COMMIT] [SERVICE…]
    local json="" since="" python=python3
    while [[ ${1:-} == --* ]]; do
        case $1 in
            --json) json=1 && shift ;;
            --changed-since) since=${2:-} && shift 2 ;; # empty where a person started it: all of them
            *) die 10 "unknown option $1" "--list takes --json and --changed-since" \
                "scripts/ci/run-integration-tests.sh --help" ;;
        esac
    done
    choose "$@"
    [[ -n $json ]] || { printf '%s\n' "${planned[@]}" && return; }
    [[ ! -x .venv/bin/python ]] || python=.venv/bin/python
    "$python" -I scripts/ci/matrix.py "$since" "${planned[@]}"
}

# The secrets are in the environment of what runs below this process, and nowhere else.
with_secrets() { # [OPTION…] <service>
    [[ $# != 0 ]] || die 10 "--with-secrets needs the name of a service" \
        "secrets are fetched for one service, as its manifest names them" \
        "scripts/ci/run-integration-tests.sh --with-secrets ${known[0]}"
    choose "${!#}"
    scripts/bootstrap || exit
    exec .venv/bin/testbay with-secrets "${!#}" -- scripts/ci/run-integration-tests.sh "$@"
}

# Sets `planned`.
choose() { # [SERVICE…]
    local name
    for name in "$@"; do
        [[ " ${known[*]} " == *" $name "* ]] ||
            die 10 "there is no service '$name'" "services/ holds: ${known[*]}" "name one of these, or none for all"
    done
    [[ $# == 0 ]] && planned=("${known[@]}") || planned=("$@")
}

# At home a missing key means replay; in CI it would mean that the live path is never tested and nobody notices.
check_key() { # (no arguments)
    [[ -z ${OPENAI_API_KEY:-} && ${TESTBAY_LLM:-} != replay ]] || return 0
    [[ ${TESTBAY_LLM:-} == live || ${CI:-} =~ ^(1|[Tt][Rr][Uu][Ee]|[Yy][Ee][Ss])$ ]] || return 0
    die 14 "OPENAI_API_KEY is not set" "the secret did not reach this step, or this job was never meant to have it" \
        "hand it to the step, or ask for the stand-in by name: TESTBAY_LLM=replay" "CI=${CI:-} TESTBAY_LLM=${TESTBAY_LLM:-}"
}

run() { # <script>: returns its exit code; a signal ends our wait, not the child's chance to clean up
    local code
    .venv/bin/python -I -S -c "$AS_A_JOB" "$1" &
    child=$!
    while code=0 && { wait "$child" || code=$?; } && kill -0 "$child" 2>/dev/null; do :; done
    child=""
    return "$code"
}

stop() { # <signal> <exit code>
    stopped=$2
    [[ -n $child ]] || exit "$2"
    # Ctrl-C is for everybody in the job, as at the terminal; TERM is for its head, which ends the others in order.
    case $1 in
        INT) kill -INT -- "-$child" 2>/dev/null || kill -TERM "$child" ;;
        *) kill -TERM "$child" ;;
    esac
}

die() { # <exit code> <what> <why> <what to do> [<evidence>]
    printf 'run-integration-tests: %s\n  why:      %s\n  do:       %s\n' "$2" "$3" "$4" >&2
    [[ -z ${5:-} ]] || printf '  evidence: %s\n' "$5" >&2
    exit "$1"
}

[[ ${BASH_SOURCE[0]} != "$0" ]] || main "$@"
