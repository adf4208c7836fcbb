#!/usr/bin/env bash
# Fetches lszcrypt and chzcrypt as IBM Z has them, with their libraries, into .build/s390x; prints that folder. They run
# under qemu-s390x-static. Nothing is installed: apt keeps its lists for the foreign architecture in the same cache.
set -euo pipefail
self=$(readlink -f "${BASH_SOURCE[0]}")
cache=${self%/scripts/*}/.build/s390x
root=$cache/root
packages=(s390-tools libc6)

apt_s390x() {
  apt-get -qq -o APT::Architecture=s390x -o APT::Architectures::=s390x -o Dir::State="$cache/state" -o Dir::State::status="$cache/status" \
    -o Dir::Cache="$cache/apt" -o Debug::NoLocking=1 -o APT::Sandbox::User=root "$@"
}

if [[ ! -x $root/sbin/lszcrypt ]]; then
  mkdir -p "$cache/state/lists/partial" "$cache/apt/archives/partial" "$cache/packages" "$root"
  : >"$cache/status"
  cd "$cache/packages"
  apt_s390x update >&2
  apt_s390x download "${packages[@]/%/:s390x}" >&2
  for package in *.deb; do
    dpkg-deb -x "$package" "$root"
  done
fi
echo "$root"
