#!/usr/bin/env bash
# scripts/ci/run-integration-tests.sh: tier 2. Runs the integration tests of every service, or of those named.
#
# Usage: scripts/ci/run-integration-tests.sh [SERVICE…]
#        scripts/ci/run-integration-tests.sh --shard I/N [SERVICE…]   that part of their tests
#        scripts/ci/run-integration-tests.sh --jobs N [SERVICE…]      so many services at once; else one per processor
#        scripts/ci/run-integration-tests.sh --with-secrets [--shard I/N] SERVICE   with its secrets, fetched just for it
#        scripts/ci/run-integration-tests.sh --list [SERVICE…]        the names, a line each
#        scripts/ci/run-integration-tests.sh --list --json [--changed-since COMMIT] [SERVICE…]
#            a job for each shard, for a workflow's matrix: [{"service": "a", "shard": 1, "shards": 2}, …]; only those
#            whose files, or files that all share, have changed. In GitHub Actions also the step's output `matrix`.
#        scripts/ci/run-integration-tests.sh --help
#
# A service is a folder in services/ with a manifest ([tool.testbay] in pyproject.toml, or testbay.toml) and a
# tier 3 script (scripts/ci/run-tests.sh). A service that fails does not keep the others from running. Services run side
# by side; what each says is shown as one piece, in the order of their names.
#
# Environment (everything else, such as TESTBAY_ENGINE, reaches tier 3 untouched):
#   OPENAI_API_KEY   set: model calls are live
#   TESTBAY_LLM      replay: a local stand-in answers them; at home that is the default, CI has to ask for it
#   CI               true: a missing key is an error instead
#
# Exit codes: 0 passed · 10 a service is unknown or incomplete · 14 no key · 15 fewer services ran than planned, or a
#             script ended well without a run that passed · 130, 143 interrupted
#             else that of the first service that failed

set -Eeuo pipefail
CDPATH="" cd -P "$(dirname "${BASH_SOURCE[0]}")/../.."

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
# Shows a log as it grows, until the file that says "done" is there.
readonly FOLLOW='
import os, sys, time
log, done = sys.argv[1:]
with open(log, "rb") as file:
    ended = False
    while not ended:
        ended = os.path.exists(done)
        while part := file.read(65536):
            sys.stdout.buffer.write(part)
            sys.stdout.flush()
        time.sleep(0 if ended else 0.05)
'
children=() began=() ended=() proofs=() proven=() stopped="" logs=""

main() { # [--help | --list … | [--with-secrets] [--shard I/N] [--jobs N] SERVICE…]
    local known=() planned=() jobs=""
    [[ ${1:-} != --help ]] || { sed -n '2,/^$/s/^# \{0,1\}//p' scripts/ci/run-integration-tests.sh && return; }
    find_services
    [[ ${1:-} != --list ]] || { list "${@:2}" && return; }
    [[ ${1:-} != --with-secrets ]] || with_secrets "${@:2}"
    while [[ ${1:-} == --* ]]; do
        case $1 in
            --shard)
                [[ -n ${2:-} ]] || die 10 "--shard needs a value" "which part of the tests, of how many?" "--shard 2/4"
                export TESTBAY_SHARD=$2 # for tier 3, which checks it
                ;;
            --jobs)
                [[ ${2:-} =~ ^[1-9][0-9]?$ ]] || die 10 "--jobs needs a number" "how many services at once?" "--jobs 2"
                jobs=$2
                ;;
            *) die 10 "unknown option $1" "see what there is" "scripts/ci/run-integration-tests.sh --help" ;;
        esac
        shift 2
    done
    choose "$@"
    check_key

    trap 'stop INT 130' INT
    trap 'stop TERM 143' TERM
    # Bytecode is kept beside this checkout's sources, in folders that git ignores: without it each of some twenty
    # processes compiles all of them anew, and pytest rewrites every test file. Of the packages then only what is
    # imported needs to be compiled, where the installer would compile everything.
    unset PYTHONDONTWRITEBYTECODE
    scripts/bootstrap run || exit
    jobs=${jobs:-$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN || echo 1)}
    logs=$(mktemp -d "${TMPDIR:-/tmp}/testbay-services.XXXXXX")
    trap 'rm -rf "$logs"' EXIT
    trap note_ended CHLD
    run_all "$jobs"
}

run_all() { # <how many at once>: never returns
    local report="" first=0 ran=0 passed=0 next=0 number name code result
    for number in "${!planned[@]}"; do
        name=${planned[number]} code=0 result=passed
        [[ -z $stopped || $number -lt $next ]] || break
        printf '==> %s: services/%s/scripts/ci/run-tests.sh\n' "$name" "$name"
        while ((next < ${#planned[@]} && next < number + $1)) && [[ -z $stopped ]]; do
            start "$next" "$number"
            next=$((next + 1))
        done
        finish "$number" || code=$?
        case $code:${proven[number]:-} in
            0:yes) passed=$((passed + 1)) ran=$((ran + 1)) ;;
            0:) result="ran no tests" code=15 && deny "$name" ;;
            126:* | 127:*) result="could not be started" code=15 ;;
            130:* | 143:*)
                result=interrupted ran=$((ran + 1))
                [[ -n $stopped ]] || stop INT "$code"
                ;;
            *) result="failed (exit $code)" ran=$((ran + 1)) ;;
        esac
        [[ $first != 0 ]] || first=$code
        report+=$(printf '\n  %-24s %-20s %4s s' "$name" "$result" "$((${ended[number]:-SECONDS} - began[number]))")
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
        [[ $name =~ ^[a-z0-9_][a-z0-9_-]*$ ]] || die 10 "services/$name is not a name for a service" \
            "names travel through shells, SQL and NATS subjects" "rename the folder: a-z, 0-9, _ and - only"
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

# Its turn to speak: it does so at once. Otherwise its words wait in a file.
start() { # <number of the service> <number of the one whose turn it is>
    local script="services/${planned[$1]}/scripts/ci/run-tests.sh"
    : >"$logs/$1.began"
    if [[ $1 == "$2" ]]; then
        .venv/bin/python -I -S -c "$AS_A_JOB" "$script" &
    else
        : >"$logs/$1" # by us: the job may not have begun when its turn comes
        .venv/bin/python -I -S -c "$AS_A_JOB" "$script" >"$logs/$1" 2>&1 &
    fi
    children[$1]=$! began[$1]=$SECONDS
    .venv/bin/python -I -S scripts/ci/passed.py "${planned[$1]}" "$logs/$1.began" "$!" &
    proofs[$1]=$!
}

# A signal ends our wait, not the child's chance to clean up.
finish() { # <number of the service>: returns its exit code
    local code=0 shown=0 follower=""
    if [[ -f $logs/$1 ]]; then
        .venv/bin/python -I -S -c "$FOLLOW" "$logs/$1" "$logs/$1.done" &
        follower=$!
    fi
    wait_for "${children[$1]}" || code=$?
    note_ended
    ! wait_for "${proofs[$1]}" || proven[$1]=yes
    if [[ -n $follower ]]; then
        : >"$logs/$1.done" || kill "$follower" # it would wait for that file
        wait_for "$follower" || shown=$?
        [[ $shown == 0 ]] || printf 'note: not all that %s said is shown: showing it failed (exit %s)\n' \
            "${planned[$1]}" "$shown" >&2
    fi
    return "$code"
}

# A trap ends a `wait` with a code of its own: the last `wait`, for a process that has ended, has that of the process.
wait_for() { # <process>: returns its exit code
    while kill -0 "$1" 2>/dev/null; do wait "$1" || true; done
    wait "$1"
}

# When a service ended, also while another one's turn lasts.
note_ended() { # (no arguments)
    local number
    for number in "${!children[@]}"; do
        [[ -z ${ended[number]:-} ]] || continue
        kill -0 "${children[number]}" 2>/dev/null || ended[number]=$SECONDS
    done
}

deny() { # <service>
    printf 'run-integration-tests: %s\n  why:      %s\n  do:       %s\n' \
        "$1 ended with exit code 0, and none of its tests are known to have run" \
        "since it began, .testbay/runs got no record of a run of it that passed" \
        "have services/$1/scripts/ci/run-tests.sh end with: exec testbay run $1 -- \"\$@\"" >&2
}

stop() { # <signal> <exit code>
    local number
    stopped=$2
    [[ ${#children[@]} != 0 ]] || exit "$2"
    # Ctrl-C is for everybody in the job, as at the terminal; TERM is for its head, which ends the others in order.
    for number in "${!children[@]}"; do
        [[ -z ${ended[number]:-} ]] || continue
        case $1 in
            INT) kill -INT -- "-${children[number]}" 2>/dev/null || kill -TERM "${children[number]}" 2>/dev/null || true ;;
            *) kill -TERM "${children[number]}" 2>/dev/null || true ;;
        esac
    done
}

die() { # <exit code> <what> <why> <what to do> [<evidence>]
    printf 'run-integration-tests: %s\n  why:      %s\n  do:       %s\n' "$2" "$3" "$4" >&2
    [[ -z ${5:-} ]] || printf '  evidence: %s\n' "$5" >&2
    exit "$1"
}

[[ ${BASH_SOURCE[0]} != "$0" ]] || main "$@"
