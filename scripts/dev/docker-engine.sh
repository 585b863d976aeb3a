#!/usr/bin/env bash
# Brings a real Docker engine, Compose v2 and local images up on a Debian or Ubuntu machine that has none.
#
# Usage:
#   eval "$(scripts/dev/docker-engine.sh up)"      use the engine that answers, else install and start one
#   eval "$(scripts/dev/docker-engine.sh images)"  build stand-ins for the official images, where no registry is reachable
#   scripts/dev/docker-engine.sh status            what answers, and which local images there are
#   scripts/dev/docker-engine.sh down              end the engine that `up` started; its images stay
# `up` and `images` print `export` lines on stdout and talk on stderr. A second time costs nothing.
#
# Environment:
#   TESTBAY_DOCKER_HOME  state of our own engine: data, socket, pid, log (default /var/lib/testbay-docker)
#   DOCKER_HOST          as everywhere: the engine to use, when it answers
#   DOCKER_CONFIG        where the Compose plugin goes (default ~/.docker)
#   NATS_SERVER_BIN      a statically linked nats-server for the NATS image (default: the distribution's)
# Exit codes: 0 done · 1 a step failed · 2 wrong usage · 11 no engine, as testbay's own code
set -Eeuo pipefail

HERE=$(CDPATH="" cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CODENAME=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-unknown}")
readonly HERE CODENAME
readonly STATE=${TESTBAY_DOCKER_HOME:-/var/lib/testbay-docker}
readonly SOCKET=$STATE/docker.sock PIDFILE=$STATE/docker.pid LOG=$STATE/engine.log
readonly COMPOSE_SUITE=trixie # the first Debian with Compose v2; its one file runs on older ones too
readonly ADVICE="run: eval \"\$(scripts/dev/docker-engine.sh up)\""

# shellcheck source-path=SCRIPTDIR source=images/build.sh
. "$HERE/images/build.sh"

say() { printf '==> %s\n' "$*" >&2; } # <text…>

die() { # <exit-code> <what happened> <why, probably> <what to do>
  printf 'docker-engine: %s\n  probably: %s\n  to do: %s\n' "$2" "$3" "$4" >&2
  exit "$1"
}

step() { # <what> <command…>: runs it unattended, shows its output only when it fails
  local what=$1 started=$SECONDS
  shift
  if ! DEBIAN_FRONTEND=noninteractive "$@" </dev/null >"$WORK/step.log" 2>&1; then
    tail -n 15 "$WORK/step.log" | sed 's/^/  | /' >&2
    die 1 "failed: $what ($*)" "the lines above say why; often a package mirror or a full disk" "fix that, run this again"
  fi
  say "$what ($((SECONDS - started)) s)"
}

need_root() { # <for what>
  ((EUID == 0)) || die 1 "$1 needs root" "you are $(id -un), and no engine answers you" \
    "run this as root, or start Docker yourself and join its group"
}

apt_install() { # <package…>: those that are missing
  local package missing=()
  for package in "$@"; do
    [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  need_root "installing ${missing[*]}"
  command -v apt-get >/dev/null ||
    die 1 "apt-get not found" "this is not Debian or Ubuntu" "install ${missing[*]} with your own package manager"
  step "package lists" apt-get update -qq
  # Run level 1: where there is no systemd, Debian's scripts would start a second engine on the default socket.
  step "installed ${missing[*]}" env RUNLEVEL=1 \
    apt-get -o DPkg::Lock::Timeout=120 install -y -qq --no-install-recommends "${missing[@]}"
}

sources_for() { # <suite>: prints the path of this machine's own package sources, turned to that suite
  local file
  for file in /etc/apt/sources.list.d/{debian,ubuntu}.sources /etc/apt/sources.list; do
    grep -qsE "^[^#]*\b$CODENAME\b" "$file" || continue
    sed "s/\b$CODENAME\b/$1/g" "$file" >"$WORK/$1.${file##*.}"
    printf '%s' "$WORK/$1.${file##*.}"
    return
  done
  die 1 "no package source for $CODENAME found" "it stands in a file of another name" \
    "name it as Debian does: /etc/apt/sources.list.d/debian.sources"
}

answers() { # prints the version of the engine that DOCKER_HOST means; fails when there is none
  command -v docker >/dev/null && timeout 20 docker version --format '{{.Server.Version}}' 2>/dev/null
}

connect() { # finds the engine: the user's, or else our own; sets DOCKER_HOST to reach the latter
  answers >/dev/null && return
  [[ -S $SOCKET ]] && DOCKER_HOST=unix://$SOCKET answers >/dev/null && export DOCKER_HOST=unix://$SOCKET
}

own_pid() { # prints the pid of the engine we started; fails when that is gone, even if its pid is used again
  local pid
  pid=$(cat "$PIDFILE" 2>/dev/null) && grep -qsF -- "--pidfile=$PIDFILE" "/proc/$pid/cmdline" && printf '%s' "$pid"
}

start_engine() { # starts dockerd on a folder and socket of its own, waits until it answers
  need_root "starting dockerd"
  rm -f "$PIDFILE" # a stale one whose pid is in use again would stop dockerd
  export DOCKER_HOST=unix://$SOCKET
  # A session of its own, so that no Ctrl-C reaches it; and our lock (9) must not live on in it.
  setsid nohup dockerd --host="$DOCKER_HOST" --data-root="$STATE/data" --exec-root="$STATE/exec" \
    --pidfile="$PIDFILE" >"$LOG" 2>&1 </dev/null 9>&- &
  local pid=$! deadline=$((SECONDS + 60))
  until answers >/dev/null; do
    if ! kill -0 "$pid" 2>/dev/null || ((SECONDS > deadline)); then
      kill "$pid" 2>/dev/null || true
      grep -E 'level=(error|fatal)|failed' "$LOG" | tail -n 5 | sed 's/^/  | /' >&2
      die 11 "dockerd did not come up" "this machine lacks a right (a container without --privileged) or a kernel module" \
        "read $LOG"
    fi
    sleep 0.1
  done
  say "Docker engine $(answers) answers at $DOCKER_HOST, pid $pid, log $LOG"
}

fetch_compose() { # puts the Compose v2 plugin of a newer Debian into the user's plugin folder
  local plugins=${DOCKER_CONFIG:-$HOME/.docker}/cli-plugins sources
  sources=$(sources_for "$COMPOSE_SUITE")
  mkdir -p "$WORK/lists/partial" "$plugins"
  local apt=(apt-get -qq -o "Dir::Etc::sourcelist=$sources" -o Dir::Etc::sourceparts=-
    -o "Dir::State::lists=$WORK/lists" -o "Dir::Cache=$WORK" -o APT::Sandbox::User=root)
  step "package lists of $COMPOSE_SUITE" "${apt[@]}" update
  step "fetched docker-compose of $COMPOSE_SUITE" env -C "$WORK" "${apt[@]}" download docker-compose
  step "unpacked it" dpkg -x "$WORK"/docker-compose_*.deb "$WORK/compose"
  install -m 755 "$WORK/compose/usr/libexec/docker/cli-plugins/docker-compose" "$plugins/docker-compose"
}

ensure_compose() { # Compose v2 as `docker compose`
  docker compose version >/dev/null 2>&1 && return
  if apt-cache show docker-compose-v2 >/dev/null 2>&1; then apt_install docker-compose-v2; else fetch_compose; fi
  docker compose version >/dev/null 2>&1 ||
    die 1 "docker compose still does not run" "the plugin does not fit this system" "install Compose v2, run this again"
  say "Compose $(docker compose version --short)"
}

export_engine() { # prints how to reach the engine, where that needs saying
  if [[ -n ${DOCKER_HOST:-} ]]; then printf 'export DOCKER_HOST=%q\n' "$DOCKER_HOST"; fi
}

up() { # engine and Compose, ours or the user's
  if connect; then
    say "Docker engine $(answers) already answers${DOCKER_HOST:+ at $DOCKER_HOST}"
  elif [[ -n ${DOCKER_HOST:-} && $DOCKER_HOST != "unix://$SOCKET" ]]; then
    die 11 "DOCKER_HOST=$DOCKER_HOST does not answer" "that engine is down or out of reach" \
      "start it, or unset DOCKER_HOST to get an engine here"
  else
    command -v dockerd >/dev/null || apt_install docker.io
    command -v iptables >/dev/null || apt_install iptables
    connect || start_engine # with systemd the package has started one
  fi
  ensure_compose
  export_engine
}

images() { # the local images, built where they are missing
  connect || die 11 "no Docker engine answers" "none was started" "$ADVICE"
  build_images
  python_image
  export_engine
}

status() { # what there is; exit code 11 without an engine
  local pid
  connect || die 11 "no Docker engine answers" "none was started" "$ADVICE"
  pid=$(own_pid) || pid="not ours"
  printf 'engine:  %s at %s (pid: %s)\n' "$(answers)" "${DOCKER_HOST:-the default socket}" "$pid"
  printf 'compose: %s\n' "$(docker compose version --short 2>/dev/null || printf 'missing; run up')"
  printf 'images:  %s\n' "$(print_images | sed "s,.*=,," | tr "\n" " " || printf 'some are missing or out of date; run images')"
}

down() { # ends our own engine, and with it the containers in it
  local pid deadline=$((SECONDS + 40))
  if ! pid=$(own_pid); then say "no engine started by this script is running" && return; fi
  kill "$pid"
  while own_pid >/dev/null; do
    ((SECONDS < deadline)) ||
      die 1 "engine $pid did not end in 40 s" "a container does not stop" "read $LOG; then: kill -9 $pid"
    sleep 0.1
  done
  say "engine $pid ended; its images stay in $STATE until you delete that folder"
}

main() { # <up|images|status|down|--help>
  case ${1:-} in
    up | images | status | down) ;;
    -h | --help) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" && return ;;
    *) die 2 "unknown command: ${1:-(none)}" "a typing error" "use up, images, status, down or --help" ;;
  esac
  WORK=$(mktemp -d)
  trap 'rm -rf "$WORK"' EXIT
  # Two at once would do the work twice. Who may not write there can only use an engine that already answers.
  if mkdir -p "$STATE" 2>/dev/null && [[ -w $STATE ]]; then exec 9>"$STATE/lock" && flock 9; fi
  "$1"
}

main "$@"
