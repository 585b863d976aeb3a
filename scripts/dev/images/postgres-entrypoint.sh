#!/usr/bin/env bash
# Makes the cluster in PGDATA unless there is one, runs /docker-entrypoint-initdb.d on it, then becomes the server, as
# the entrypoint of the official image does.
#
# Usage: postgres-entrypoint.sh [postgres] [-c name=value …] | <any command>
# Environment: POSTGRES_PASSWORD (required unless POSTGRES_HOST_AUTH_METHOD is trust), POSTGRES_USER (postgres),
#   POSTGRES_DB (as the user), POSTGRES_INITDB_ARGS, each also as a file: POSTGRES_PASSWORD_FILE …; PGDATA
# Exit codes: the server's; 1 when the cluster could not be made
set -Eeuo pipefail

# A cluster of user, password and database `testbay`, made when the image was built.
readonly READY_MADE=/usr/local/share/testbay/pgdata

read_files() { # the variables whose values lie in a file
  local name file
  for name in POSTGRES_PASSWORD POSTGRES_USER POSTGRES_DB POSTGRES_INITDB_ARGS; do
    file=${name}_FILE
    if [[ -n ${!file:-} ]]; then export "$name=$(<"${!file}")"; fi
  done
}

provide_cluster() { # as POSTGRES_* ask
  read_files
  local method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256} password=${POSTGRES_PASSWORD:-}
  if [[ $method != trust ]]; then
    : "${password:?POSTGRES_PASSWORD is empty: the server would refuse every login. Set it in the compose file.}"
  fi
  export POSTGRES_USER=${POSTGRES_USER:-postgres}
  export POSTGRES_DB=${POSTGRES_DB:-$POSTGRES_USER}
  local wanted=$POSTGRES_USER/$password/$POSTGRES_DB/${POSTGRES_INITDB_ARGS:-}/$method
  if [[ -s $READY_MADE/PG_VERSION && $wanted == testbay/testbay/testbay//scram-sha-256 ]]; then
    cp -a "$READY_MADE/." "$PGDATA"
  else
    make_cluster "$POSTGRES_USER" "$password" "$POSTGRES_DB" "$method"
  fi
  if compgen -G '/docker-entrypoint-initdb.d/*' >/dev/null; then run_scripts "$@"; fi
}

make_cluster() { # <user> <password> <database> <method of logging in>
  local arguments=()
  eval "arguments=(${POSTGRES_INITDB_ARGS:-})" # as the official image does: the text has quotes in it
  arguments=(--pgdata="$PGDATA" --username="$1" --no-sync --encoding=UTF8 --auth-local=trust --auth-host="$4"
    "${arguments[@]}")
  if [[ -n $2 ]]; then
    initdb "${arguments[@]}" --pwfile=<(printf '%s\n' "$2") >/dev/null
  else
    initdb "${arguments[@]}" >/dev/null
  fi
  printf 'host all all all %s\n' "$4" >>"$PGDATA/pg_hba.conf"
  [[ $3 == postgres ]] && return
  postgres --single -D "$PGDATA" -c fsync=off postgres <<<"CREATE DATABASE \"${3//\"/\"\"}\"" >/dev/null
}

run_scripts() { # [argument of the server…]: on a server that only we reach
  local script flags='' psql=(psql -v ON_ERROR_STOP=1 --no-psqlrc -U "$POSTGRES_USER" -d "$POSTGRES_DB")
  if (($#)); then flags=$(printf '%q ' "$@"); fi
  export PGPORT=${PGPORT:-5432}
  pg_ctl -D "$PGDATA" -o "$flags -c listen_addresses='' -p $PGPORT" -w start
  for script in /docker-entrypoint-initdb.d/*; do
    case $script in
      *.sh) if [[ -x $script ]]; then "$script"; else bash -e "$script"; fi ;;
      *.sql) "${psql[@]}" -f "$script" ;;
      *.sql.gz) gunzip -c "$script" | "${psql[@]}" ;;
      *.sql.xz) xzcat "$script" | "${psql[@]}" ;;
    esac
  done
  pg_ctl -D "$PGDATA" -m fast -w stop
}

step_down() { # [argument…]: the server runs as postgres, whose the folder has to be
  if [[ ${1:-} == postgres && $EUID == 0 ]]; then
    install -d -o postgres -m 700 "$PGDATA"
    chown postgres /run/postgresql
    exec setpriv --reuid=postgres --regid=postgres --init-groups -- "$0" "$@"
  fi
}

main() { # [argument…]
  [[ ${1:-} == -* ]] && set -- postgres "$@"
  step_down "$@"
  if [[ ${1:-} == postgres ]]; then
    mkdir -p "$PGDATA"
    if [[ ! -s $PGDATA/PG_VERSION ]]; then provide_cluster "${@:2}"; fi
    set -- postgres -c "listen_addresses=*" "${@:2}"
  fi
  exec "$@"
}

main "$@"
