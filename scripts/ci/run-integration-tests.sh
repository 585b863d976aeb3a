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

main() { # [--help | --list … | [--with-secrets] [--shard I/N] [--jobs N] SERVICE…]
    case ${1:-} in
        --help) sed -n '2,/^$/s/^# \{0,1\}//p' scripts/ci/run-integration-tests.sh ;;
        --list) decide list "${@:2}" ;;
        --with-secrets) with_secrets "${@:2}" ;;
        *) run "$@" ;;
    esac
}

run() { # [--shard I/N] [--jobs N] [SERVICE…]
    [[ -e .venv/.bootstrapped ]] || decide check "$@" # else that is soon enough after the bootstrap, which takes a moment
    trap 'exit 130' INT
    trap 'exit 143' TERM # when the bootstrap has ended
    # Bytecode is kept beside this checkout's sources, in folders that git ignores: without it each of some twenty
    # processes compiles all of them anew, and pytest rewrites every test file. Of the packages then only what is
    # imported needs to be compiled, where the installer would compile everything.
    unset PYTHONDONTWRITEBYTECODE
    scripts/bootstrap run
    exec .venv/bin/python -E -s -S scripts/ci/tier2.py run "$@"
}

# The secrets are in the environment of what runs below this process, and nowhere else.
with_secrets() { # [OPTION…] <service>
    decide secrets "$@"
    scripts/bootstrap
    exec .venv/bin/testbay with-secrets "${!#}" -- scripts/ci/run-integration-tests.sh "$@"
}

# Any Python will do, as no package is needed; without variables and folders of the user's own it starts alike everywhere.
decide() { # <question> <word…>
    local python=.venv/bin/python
    [[ -x $python ]] || python=$(. scripts/bootstrap && find_python)
    "$python" -E -s -S scripts/ci/tier2.py "$@"
}

[[ ${BASH_SOURCE[0]} != "$0" ]] || main "$@"
