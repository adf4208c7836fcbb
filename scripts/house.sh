# Shared by ./apvirt, ./test and ./bench, which set `root` before they source it.
# shellcheck shell=bash

export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 DOTNET_GENERATE_ASPNET_CERTIFICATE=false
sdk_package=dotnet-sdk-10.0
sdk_page=https://dotnet.microsoft.com/download/dotnet/10.0
exit_unavailable=69
exit_build_failed=70

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

# An SDK lies beside its dotnet; where dotnet is a wrapper it has to be asked, which takes a tenth of a second.
has_sdk_10() {
  [[ -x $1 ]] || return
  compgen -G "$(dirname "$(readlink -f "$1")")/sdk/10.*" >/dev/null || (cd "$root" && "$1" --version) &>/dev/null
}

# ~/.dotnet is where the official install script puts the SDK, without adding it to PATH.
find_sdk() {
  has_sdk_10 "$(command -v dotnet)" && return
  has_sdk_10 "${HOME:-}/.dotnet/dotnet" || return
  export DOTNET_ROOT=$HOME/.dotnet PATH=$HOME/.dotnet:$PATH
}

apt_offers() { [[ -n $(apt-cache search --names-only "^$1\$" 2>/dev/null) ]]; }

install_sdk() {
  [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null || return
  apt_offers "$sdk_package" || { apt-get update -qq >&2 && apt_offers "$sdk_package"; } || return
  say "installing $sdk_package ..."
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$sdk_package" >&2 && hash -r
}

# Puts an SDK on PATH, or ends the script with words on how to get one.
need_sdk() {
  find_sdk && return
  install_sdk && find_sdk && return
  say "the .NET 10 SDK is needed, and is neither on PATH nor in ~/.dotnet."
  if apt_offers "$sdk_package"; then
    printf '  install it:  sudo apt-get install %s\n' "$sdk_package" >&2
  else
    printf '  install it:  as %s says, or the package %s of your distribution\n' "$sdk_page" "$sdk_package" >&2
  fi
  printf '  then again:  %s\n' "$0" >&2
  exit "$exit_unavailable"
}

# One build at a time in this tree. What is started in between closes descriptor 9: the compiler server outlives a
# build and would keep the lock.
lock_builds() {
  mkdir -p "$root/.build"
  exec 9>"$root/.build/lock"
  flock 9
}
unlock_builds() { exec 9>&-; }
