# shellcheck shell=bash
# What contrib/demo, tests/run and .ci/run share: finding and installing the tools they need, and where cargo builds.
# To be sourced. Works with the bash 3.2 that macOS still has.

# say TEXT...: a line for the person who watches.
say() {
  printf '%s\n' "$*"
}

# fail TEXT...: the reason why this cannot go on.
fail() {
  printf '%s\n' "$*" >&2
  exit 1
}

# find_sshd: the whole path of sshd, which insists on being called by it and is on few users' PATH.
find_sshd() {
  PATH="$PATH:/usr/sbin:/usr/local/sbin:/sbin:/opt/homebrew/sbin" command -v sshd
}

# has TOOL: whether it is on this machine.
has() {
  case $1 in
    sshd) find_sshd >/dev/null ;;
    *) command -v "$1" >/dev/null ;;
  esac
}

# package MANAGER TOOL: the package that brings the tool.
package() {
  case $1:$2 in
    apt-get:ssh | apt-get:ssh-keygen) echo openssh-client ;;
    dnf:ssh | dnf:ssh-keygen) echo openssh-clients ;;
    apk:ssh | apk:ssh-keygen) echo openssh-client-default openssh-keygen ;;
    brew:ssh | brew:ssh-keygen | brew:sshd) echo openssh ;;
    *:sshd) echo openssh-server ;;
    apt-get:cc) echo gcc libc6-dev ;;
    apk:cc) echo gcc musl-dev ;;
    brew:cc) echo gcc ;;
    *:cc) echo gcc ;;
    *) echo "$2" ;;
  esac
}

# need TOOL...: installs those that are missing, and says so first. Without the right to, it prints the command and ends.
need() {
  local missing='' tool manager='' packages='' install
  for tool in "$@"; do
    has "$tool" || missing="$missing $tool"
  done
  [ -n "$missing" ] || return 0

  for tool in apt-get dnf apk brew; do
    if has "$tool"; then
      manager=$tool
      break
    fi
  done
  [ -n "$manager" ] || fail "Missing here:$missing. Install them, then run this again (no apt-get, dnf, apk or brew was found)."
  for tool in $missing; do
    packages="$packages $(package "$manager" "$tool")"
  done
  # shellcheck disable=SC2086  # packages are words
  packages=$(printf '%s\n' $packages | sort -u | tr '\n' ' ')
  packages=${packages% }
  case $manager in
    apt-get) install="apt-get install -y --no-install-recommends $packages" ;;
    dnf) install="dnf install -y $packages" ;;
    apk) install="apk add $packages" ;;
    brew) install="brew install $packages" ;;
  esac

  say "Missing here:$missing. Installing them with: $install"
  case " $packages " in
    *' openssh-server '*)
      say 'Only the program sshd is needed. If the package starts a service of its own that you do not want, stop it with: systemctl disable --now ssh'
      ;;
  esac
  local as_root=''
  if [ "$manager" != brew ] && [ "$(id -u)" -ne 0 ]; then
    # Without a terminal sudo could only hang or fail.
    if has sudo && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
      as_root=sudo
    else
      fail "That needs root. Run this once, then this script again:  su -c '$install'"
    fi
  fi
  # shellcheck disable=SC2086  # packages are words
  case $manager in
    apt-get)
      $as_root apt-get update -qq &&
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/dev/null
      ;;
    dnf) $as_root dnf install -y -q $packages ;;
    apk) $as_root apk add -q $packages ;;
    brew) brew install -q $packages ;;
  esac || fail "That failed. Run it yourself to see why:  $install"
  for tool in $missing; do
    has "$tool" || fail "$tool is still missing after: $install"
  done
}

# need_rust: cargo, not older than Cargo.toml asks for.
need_rust() {
  local wanted found
  has cargo || PATH="$PATH:$HOME/.cargo/bin"
  has cargo || fail "Rust is missing. Install it as https://rustup.rs says, then run this again:
  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
  wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
  found=$(rustc --version | cut -d ' ' -f 2)
  [ "$(printf '%s\n' "$wanted" "${found%%-*}" | sort -t . -k1,1n -k2,2n -k3,3n | head -n 1)" = "$wanted" ] ||
    fail "Rust $found is too old: $wanted is needed. Update it with:  rustup update stable"
}

# target_folder: where cargo builds.
target_folder() {
  cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/'
}
