#!/usr/bin/env bash
# Becomes Redis, with those Dragonfly settings of docker-compose.test.yml that Redis has too.
#
# Usage: dragonfly-standin-entrypoint.sh [redis-server option…]
# Environment: DFLY_dbnum (16), DFLY_maxmemory (no limit)
# Exit codes: the server's
set -Eeuo pipefail

exec redis-server --bind 0.0.0.0 --protected-mode no --save '' --appendonly no \
  --databases "${DFLY_dbnum:-16}" --maxmemory "${DFLY_maxmemory:-0}" "$@"
