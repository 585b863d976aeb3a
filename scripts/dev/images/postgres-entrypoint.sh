#!/usr/bin/env bash
# Makes the cluster in PGDATA unless there is one, runs /docker-entrypoint-initdb.d on it, then becomes the server.
#
# Usage: postgres-entrypoint.sh [postgres] [-c name=value …] | <any command>
# Environment: POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE (required), POSTGRES_USER (postgres), POSTGRES_DB (as the
#   user), POSTGRES_INITDB_ARGS, PGDATA
# Exit codes: the server's; 1 when the cluster could not be made
set -Eeuo pipefail

# A cluster of user, password and database `testbay`, made when the image was built.
readonly READY_MADE=/usr/local/share/testbay/pgdata

provide_cluster() { # as POSTGRES_* ask
  if [[ -n ${POSTGRES_PASSWORD_FILE:-} ]]; then POSTGRES_PASSWORD=$(<"$POSTGRES_PASSWORD_FILE"); fi
  local password=${POSTGRES_PASSWORD:?is empty: the server would accept nobody. Set it in the compose file.}
  export POSTGRES_USER=${POSTGRES_USER:-postgres}
  export POSTGRES_DB=${POSTGRES_DB:-$POSTGRES_USER}
  local wanted=$POSTGRES_USER/$password/$POSTGRES_DB/${POSTGRES_INITDB_ARGS:-}
  if [[ -d $READY_MADE && $wanted == testbay/testbay/testbay/ ]]; then
    cp -a "$READY_MADE" "$PGDATA"
  else
    make_cluster "$POSTGRES_USER" "$password" "$POSTGRES_DB"
  fi
  if compgen -G '/docker-entrypoint-initdb.d/*' >/dev/null; then run_scripts "$@"; fi
}

make_cluster() { # <user> <password> <database>
  local arguments=()
  read -ra arguments <<<"${POSTGRES_INITDB_ARGS:-}"
  initdb --pgdata="$PGDATA" --username="$1" --pwfile=<(printf '%s\n' "$2") --no-sync \
    --encoding=UTF8 --auth-local=trust --auth-host=scram-sha-256 "${arguments[@]}" >/dev/null
  printf 'host all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"
  [[ $3 == postgres ]] && return
  postgres --single -D "$PGDATA" -c fsync=off postgres <<<"CREATE DATABASE \"${3//\"/\"\"}\"" >/dev/null
}

run_scripts() { # [argument of the server…]
  local script psql=(psql -v ON_ERROR_STOP=1 --no-psqlrc -U "$POSTGRES_USER" -d "$POSTGRES_DB")
  pg_ctl -D "$PGDATA" -o "-c listen_addresses='' $(printf '%q ' "$@")" -w start
  for script in /docker-entrypoint-initdb.d/*; do
    case $script in
      *.sh) bash -e "$script" ;;
      *.sql) "${psql[@]}" -f "$script" ;;
      *.sql.gz) gunzip -c "$script" | "${psql[@]}" ;;
    esac
  done
  pg_ctl -D "$PGDATA" -m fast -w stop
}

main() { # [argument…]
  [[ ${1:-} == -* ]] && set -- postgres "$@"
  if [[ ${1:-} == postgres ]]; then
    if [[ ! -s $PGDATA/PG_VERSION ]]; then provide_cluster "${@:2}"; fi
    set -- postgres -c "listen_addresses=*" "${@:2}"
  fi
  exec "$@"
}

main "$@"
