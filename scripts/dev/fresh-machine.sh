#!/usr/bin/env bash
# Runs the README's two commands on a bare Debian of another age, as a newcomer would: a clone, an ordinary user, and
# Python, git and make. The machine is a folder with namespaces of its own; nothing of it is left.
#
# Usage:
#   scripts/dev/fresh-machine.sh SUITE                the commands of the README's section "In this repository"
#   scripts/dev/fresh-machine.sh SUITE -- COMMAND…    this command in the clone instead
#   SUITE: bookworm (Python 3.11), trixie (3.13), forky or sid (3.14). Changes that are not committed do not come along.
#
# Environment:
#   TESTBAY_MACHINES   keeps the bare systems, each for a week (default /var/cache/testbay-machines)
#   TESTBAY_*, CI      everything else of these names reaches the command, as PIP_*, UV_* and the proxies' names do
# Needs root, mmdebstrap (installed when missing) and the machine's own Debian source.
# Exit codes: 0 done · 2 wrong usage · 1 the machine could not be made · else that of the command that failed
set -Eeuo pipefail

HERE=$(CDPATH="" cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPOSITORY=$(cd "$HERE/../.." && pwd)
readonly HERE REPOSITORY
readonly MACHINES=${TESTBAY_MACHINES:-/var/cache/testbay-machines}
readonly DEV=/home/dev # the newcomer
namespaces=""          # the process that has them
readonly PACKAGES=python3,python3-venv,git,make,ca-certificates
readonly PASSED_ON='^(PIP|UV|TESTBAY)_|^(SSL_CERT_FILE|CI|TERM|(HTTPS?|NO|https?|no)_(PROXY|proxy))='

say() { printf '==> %s\n' "$*" >&2; } # <text…>

die() { # <exit code> <what> <why> <what to do>
  printf 'fresh-machine: %s\n  why:      %s\n  do:       %s\n' "$2" "$3" "$4" >&2
  exit "$1"
}

debian_source() { # prints the address of this machine's Debian
  # shellcheck disable=SC2016 # $(REPO_URI) is apt's own placeholder
  apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' | awk -v code="$1" '$1 == code { print $2; exit }'
}

make_system() { # <suite>: the bare system's folder, made anew once a week
  local suite=$1 folder=$MACHINES/$1 address
  if [[ -n $(find "$folder.log" -mtime -7 2>/dev/null) && -d $folder ]]; then return; fi
  command -v mmdebstrap >/dev/null || {
    apt-get update -qq >&2
    apt-get -o DPkg::Lock::Timeout=120 install -y -qq --no-install-recommends mmdebstrap >&2
  }
  address=$(debian_source "$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")")
  [[ -n $address ]] || die 1 "no Debian source on this machine" "apt-get indextargets names none" "run it on a Debian"
  rm -rf --one-file-system "$folder" "$folder.part"
  mkdir -p "$MACHINES"
  printf 'deb %s %s main\n' "$address" "$suite" >"$folder.list"
  # Release files of testing and unstable expire within a week; a mirror may be older.
  mmdebstrap --quiet --variant=minbase --include="$PACKAGES" --aptopt='Acquire::Check-Valid-Until "false"' \
    --format=directory "$suite" "$folder.part" "$folder.list" >"$folder.log" 2>&1 </dev/null || {
    tail -n 15 "$folder.log" >&2
    die 1 "$suite could not be made" "the lines above say why; often an unknown suite or a mirror out of reach" "run it again"
  }
  mv "$folder.part" "$folder" # last: a folder of that name is whole
}

furnish() { # <layer> <system>: the user, a clone, and what this machine needs to reach a package index
  local layer=$1 path
  mkdir -p "$layer/etc" "$layer$DEV"
  { cat "$2/etc/passwd" && echo 'dev:x:1000:1000::/home/dev:/bin/bash'; } >"$layer/etc/passwd"
  { cat "$2/etc/group" && echo 'dev:x:1000:'; } >"$layer/etc/group"
  for path in /etc/resolv.conf /etc/hosts /etc/ssl/certs/ca-certificates.crt /etc/pip.conf /etc/xdg/pip; do
    [[ ! -e $path ]] || { mkdir -p "$layer${path%/*}" && cp -rL "$path" "$layer${path%/*}/"; }
  done
  git clone --quiet --depth 1 "file://$REPOSITORY" "$layer$DEV/testbay"
  chown -R 1000:1000 "$layer$DEV"
}

# Processes and mounts end with these namespaces, and these with this script, however it ends. What is written goes into
# the layer. The first process stays a shell of root's: make would not end at a signal there, and who becomes another
# user is not told when `unshare` ends.
inside() { # <machine> <system> <command line>
  local passed=()
  mapfile -t passed < <(env | grep -E "$PASSED_ON" | grep -v '^TESTBAY_MACHINES=')
  # shellcheck disable=SC2016 # the inner shell's own arguments
  setpriv --pdeathsig KILL env --default-signal unshare --mount --pid --fork --kill-child --propagation private bash -c '
    machine=$1 system=$2 line=$3 home=$4 root=$1/root && shift 4
    # Where the temporary folder lies on an overlay itself, the system is copied instead, once.
    mount -t overlay -o "lowerdir=$system,upperdir=$machine/layer,workdir=$machine/work" overlay "$root" 2>/dev/null ||
      [[ -e $root/usr ]] || cp -a "$system/." "$machine/layer/." "$root" || exit 1
    mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" && mount -t tmpfs tmpfs "$root/dev/shm"
    chroot --userspec=1000:1000 "$root" /usr/bin/env -i HOME="$home" USER=dev LANG=C.UTF-8 \
      PATH=/usr/local/bin:/usr/bin:/bin "$@" bash -c "cd ~/testbay && $line"
    exit
  ' inside "$1" "$2" "$3" "$DEV" "${passed[@]}" </dev/null &
  namespaces=$!
  wait "$namespaces"
}

leave() { # <machine>
  [[ -z $namespaces ]] || kill -KILL "$namespaces" 2>/dev/null || true
  wait 2>/dev/null
  rm -rf --one-file-system "$1"
}

readme_commands() { # prints the README's own
  sed -n '/^## In this repository/,/^## Read on/ s/^\$ \(make [a-z-]*\).*/\1/p' "$REPOSITORY/README.md"
}

main() { # SUITE [-- COMMAND…]
  local suite=${1:-} machine commands line start code=0
  case $suite in
    --help | -h) sed -n '2,/^set/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" && return ;;
    "" | -*) die 2 "which Debian?" "the first argument is a suite" "scripts/dev/fresh-machine.sh trixie" ;;
  esac
  shift
  [[ $# == 0 || ${1:-} == -- ]] || die 2 "unknown argument $1" "a command stands behind --" "… $suite -- make lint"
  ((EUID == 0)) || die 2 "a machine needs root" "you are $(id -un)" "run this as root"
  if [[ $# -gt 1 ]]; then commands=$(printf ' %q' "${@:2}") && commands=${commands# }; else commands=$(readme_commands); fi
  [[ -n $commands ]] || die 1 "the README names no command" "its section has another form" "fix readme_commands here"

  make_system "$suite"
  machine=$(mktemp -d /tmp/testbay-machine.XXXXXX)
  # shellcheck disable=SC2064 # the folder of now
  trap "leave '$machine'" EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  mkdir "$machine"/{layer,work,root}
  chmod 755 "$machine" "$machine/layer" # of which the second becomes the machine's own root
  furnish "$machine/layer" "$MACHINES/$suite"
  while IFS= read -r line; do
    start=$SECONDS
    inside "$machine" "$MACHINES/$suite" "$line" || code=$?
    say "$suite: $line: exit $code ($((SECONDS - start)) s)"
    [[ $code == 0 ]] || exit "$code"
  done <<<"$commands"
}

[[ ${BASH_SOURCE[0]} != "$0" ]] || main "$@"
