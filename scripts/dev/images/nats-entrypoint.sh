#!/usr/bin/env bash
# Becomes the NATS server with the flags given, as the entrypoint of the official Alpine image does.
#
# Usage: nats-entrypoint.sh [nats-server] [flag…] | <any command>
# Exit codes: the server's
set -Eeuo pipefail

case ${1:--} in
  -*) set -- nats-server "$@" ;;
esac
exec "$@"
