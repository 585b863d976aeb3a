#!/usr/bin/env bash
# Becomes Redis: for the image of Dragonfly with those of its settings that Redis has too, for the images of Redis and
# Valkey as their entrypoints do.
#
# Usage: dragonfly-standin-entrypoint.sh [redis-server] [redis.conf] [option…] | <any command>
# Environment: DFLY_dbnum (16), DFLY_maxmemory (no limit), DFLY_requirepass
# Exit codes: the server's
set -Eeuo pipefail

readonly PLAIN=(--bind 0.0.0.0 --protected-mode no)

options() { # [option…]: sets OPTIONS to those that Redis has too, each value a word of its own
  local word name
  OPTIONS=()
  for word in "$@"; do
    name=${word%%=*}
    case $name in
      --dbnum) OPTIONS+=(--databases "${word#*=}") ;;
      --requirepass | --maxmemory | --port | --hz | --tcp_keepalive | --maxclients | --timeout | --dir | --dbfilename)
        if [[ $word == *=* ]]; then OPTIONS+=("${name//_/-}" "${word#*=}"); else OPTIONS+=("$word"); fi
        ;;
      --logtostderr | --alsologtostderr | --cache_mode) ;;
      --*) if [[ $word != *=* ]]; then OPTIONS+=("$word"); fi ;; # with one it is Dragonfly's own
      *) OPTIONS+=("$word") ;;
    esac
  done
}

case ${1:-} in
  redis-server | valkey-server | keydb-server | dragonfly) shift ;;
  '' | -* | *.conf) ;;
  *) exec "$@" ;;
esac
if [[ ${1:-} == *.conf ]]; then exec redis-server "$@" "${PLAIN[@]}"; fi
options "$@"
if [[ -n ${DFLY_requirepass:-} ]]; then OPTIONS=(--requirepass "$DFLY_requirepass" "${OPTIONS[@]}"); fi
exec redis-server "${PLAIN[@]}" --save '' --appendonly no \
  --databases "${DFLY_dbnum:-16}" --maxmemory "${DFLY_maxmemory:-0}" "${OPTIONS[@]}"
