#!/usr/bin/env bash
# Builds local images with the interface of the official ones, and one with Python, out of the distribution's packages.
#
# Usage: sourced by docker-engine.sh, whose `say`, `die`, `step`, `apt_install`, `sources_for`, HERE, CODENAME and WORK
#        it uses. One file system holds all three servers, so the second and third image cost nothing.
# Environment: NATS_SERVER_BIN, see docker-engine.sh
# Exit codes: those of docker-engine.sh
set -Eeuo pipefail

readonly PACKAGES=postgresql,nats-server,redis-server

fingerprint() { # prints what the images are made from, as one hash; each image carries it as a label
  { printf '%s\n' "$PACKAGES" && cat "$HERE"/images/* ${NATS_SERVER_BIN:+"$NATS_SERVER_BIN"}; } | sha256sum | cut -c1-16
}

print_images() { # prints one export line for each image; fails unless all three are there and up to date
  local inputs
  inputs=$(fingerprint)
  docker image ls --filter "label=testbay.inputs=$inputs" --format '{{.Repository}}:{{.Tag}}' | sort | sed -nE \
    -e 's/^testbay\/postgres:.+/export POSTGRES_IMAGE=&/p' -e 's/^testbay\/nats:.+/export NATS_IMAGE=&/p' \
    -e 's/^testbay\/dragonfly-standin:.+/export DRAGONFLY_IMAGE=&/p' >"$WORK/images"
  (($(wc -l <"$WORK/images") == 3)) && cat "$WORK/images"
}

import_rootfs() { # <image>: the file system with the three servers
  # shellcheck disable=SC2016 # mmdebstrap hands the hook the root as its $1
  mmdebstrap --quiet --variant=minbase --include="$PACKAGES" --customize-hook='rm -rf "$1"/var/lib/postgresql/*/main' \
    "$CODENAME" - "$(sources_for "$CODENAME")" | docker import - "$1"
}

build_image() { # <name> <server> <parts of its version to name the image by> <base image>
  local id version
  step "built $1" docker build --quiet --iidfile "$WORK/id" --build-arg "BASE=$4" \
    --label "testbay.inputs=$(fingerprint)" --file "$WORK/context/$1.Dockerfile" "$WORK/context"
  id=$(cat "$WORK/id")
  version=$(docker run --rm --network none --entrypoint "$2" "$id" --version | grep -oE '[0-9]+(\.[0-9]+)+')
  docker tag "$id" "testbay/$1:$(head -n 1 <<<"$version" | cut -d. -f"1-$3")"
}

python_image() { # prints the export line of an image with the distribution's Python, for services' Dockerfiles
  local image=testbay/python:$CODENAME
  if ! docker image inspect "$image" >/dev/null 2>&1; then
    apt_install mmdebstrap
    step "imported $image" import_python "$image"
  fi
  printf 'export PYTHON_IMAGE=%s\n' "$image"
}

import_python() { # <image>
  mmdebstrap --quiet --variant=minbase --include=python3-venv,ca-certificates "$CODENAME" - \
    "$(sources_for "$CODENAME")" | docker import - "$1"
}

build_images() { # builds what is missing, prints the export lines
  local bin=${NATS_SERVER_BIN:-} base=testbay/rootfs:$CODENAME-${PACKAGES//,/-}
  [[ -z $bin || -x $bin ]] ||
    die 1 "NATS_SERVER_BIN=$bin is no program" "the path is wrong" "correct it, or unset it for the distribution's"
  print_images && return
  if ! docker image inspect "$base" >/dev/null 2>&1; then
    apt_install mmdebstrap
    step "imported $base" import_rootfs "$base"
  fi
  mkdir -p "$WORK/context/bin"
  cp "$HERE"/images/* "$WORK/context"
  if [[ -n $bin ]]; then install -m 755 "$bin" "$WORK/context/bin/nats-server"; fi
  build_image postgres postgres 1 "$base"
  build_image nats nats-server 2 "$base"
  build_image dragonfly-standin redis-server 2 "$base"
  docker image prune --force --filter label=testbay.inputs >/dev/null # those that just lost their names
  print_images || die 1 "built images are not listed" "something removes images on this machine" "run this again"
}
