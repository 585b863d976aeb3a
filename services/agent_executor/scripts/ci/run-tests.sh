#!/usr/bin/env bash
# services/agent_executor/scripts/ci/run-tests.sh: tier 3. The integration tests of this one service, in five steps:
#
#   1. start      PostgreSQL, Dragonfly and NATS, as docker-compose.test.yml names them
#   2. wait       until each of them really answers
#   3. migrate    migrations/*.sql in order, and the JetStream streams of the manifest
#   4. test       tests/integration with pytest, coverage and JUnit, 300 s per test
#   5. tear down  everything, also after a failure, Ctrl-C or SIGTERM
#
# Each step is idempotent, and `testbay run` does all five; [tool.testbay] in pyproject.toml says with what.
#
# Usage: services/agent_executor/scripts/ci/run-tests.sh [--help] [PYTEST ARGUMENTS…]
#        e.g. run-tests.sh -k redelivery -x --pdb
#
# Environment: OPENAI_API_KEY, TESTBAY_LLM, TESTBAY_ENGINE (docs/reference/commands.md)
# Exit codes:  0 passed · 1-5 pytest's · 10-16 testbay's (docs/troubleshooting.md) · 130, 143 interrupted

set -Eeuo pipefail
CDPATH="" cd -P "$(dirname "${BASH_SOURCE[0]}")/../../../.."

main() { # [--help] [PYTEST ARGUMENTS…]
    if [[ ${1:-} == --help ]]; then
        sed -n '2,/^$/s/^# \{0,1\}//p' services/agent_executor/scripts/ci/run-tests.sh
        return
    fi
    if [[ ! -x .venv/bin/testbay ]]; then
        printf '%s\n' "run-tests: there is no testbay in .venv" "  why:      this checkout is not set up" \
            "  do:       scripts/bootstrap" >&2
        return 1
    fi
    PATH="$PWD/.venv/bin:$PATH" exec testbay run agent_executor -- "$@"
}

[[ ${BASH_SOURCE[0]} != "$0" ]] || main "$@"
