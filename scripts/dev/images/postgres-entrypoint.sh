#!/usr/bin/env bash
# Makes the cluster in PGDATA unless there is one, then becomes the server.
#
# Usage: postgres-entrypoint.sh [postgres] [-c name=value …] | <any command>
# Environment: POSTGRES_PASSWORD (required), POSTGRES_USER (postgres), POSTGRES_DB (as the user), PGDATA
# Exit codes: the server's; 1 when the cluster could not be made
set -Eeuo pipefail

# A cluster of user, password and database `testbay`, made when the image was built.
readonly READY_MADE=/usr/local/share/testbay/pgdata

provide_cluster() { # as POSTGRES_* ask
  local user=${POSTGRES_USER:-postgres}
  local password=${POSTGRES_PASSWORD:?is empty: the server would accept nobody. Set it in the compose file.}
  local database=${POSTGRES_DB:-$user}
  if [[ -d $READY_MADE && $user/$password/$database == testbay/testbay/testbay ]]; then
    cp -a "$READY_MADE" "$PGDATA"
  else
    make_cluster "$user" "$password" "$database"
  fi
}

make_cluster() { # <user> <password> <database>
  initdb --pgdata="$PGDATA" --username="$1" --pwfile=<(printf '%s\n' "$2") --no-sync \
    --encoding=UTF8 --auth-local=trust --auth-host=scram-sha-256 >/dev/null
  printf 'host all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"
  [[ $3 == postgres ]] && return
  postgres --single -D "$PGDATA" -c fsync=off postgres <<<"CREATE DATABASE \"${3//\"/\"\"}\"" >/dev/null
}

main() { # [argument…]
  [[ ${1:-} == -* ]] && set -- postgres "$@"
  if [[ ${1:-} == postgres ]]; then
    if [[ ! -s $PGDATA/PG_VERSION ]]; then provide_cluster; fi
    set -- postgres -c "listen_addresses=*" "${@:2}"
  fi
  exec "$@"
}

main "$@"
