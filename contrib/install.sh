#!/bin/sh
# Installs ssm-proxy from a release: the program, its man page, the shells' completions and the licences.
#
#   sh install.sh                    the newest version, in /usr/local as root and in ~/.local as anybody else
#   sh install.sh --version 0.2.0    this version
#   sh install.sh --prefix FOLDER    in FOLDER/bin, FOLDER/lib and FOLDER/share
#   sh install.sh --from FOLDER      offline, from a folder with the archive and SHA256SUMS; or from an https:// URL of one
#
# Run again, it replaces what it has installed. An archive whose SHA-256 is not that of SHA256SUMS is not unpacked, and
# whatever fails or is interrupted leaves nothing new behind. Needs curl or wget (not with a FOLDER), tar and gzip.
set -eu

# Where the releases are. contrib/release writes it into the copy that it puts beside them; elsewhere it is for --from.
repository=''

# fail WHAT NEXT: the reason why this cannot go on, and what to do about it.
fail() {
  printf 'install.sh: %s\n  %s\n' "$1" "$2" >&2
  exit 1
}

has() {
  command -v "$1" >/dev/null 2>&1
}

usage() {
  cat <<'TEXT'
Installs ssm-proxy: sh install.sh [--version VERSION] [--prefix FOLDER] [--from FOLDER_OR_URL]
  --version  this version, not the newest
  --prefix   in FOLDER/bin, FOLDER/lib and FOLDER/share (as root /usr/local, else ~/.local)
  --from     the folder, or the https:// URL of one, that has the archive and SHA256SUMS
TEXT
}

# arguments ARGUMENT...: sets `version`, `prefix` and `from`.
arguments() {
  version='' prefix='' from=''
  while [ $# -gt 0 ]; do
    case $1 in
      -h | --help)
        usage
        exit 0
        ;;
      --version | --prefix | --from)
        [ -n "${2:-}" ] || fail "$1 has no value." "Write: sh install.sh $1 VALUE"
        case $1 in
          --version) version=${2#v} ;;
          --prefix) prefix=$2 ;;
          --from) from=$2 ;;
        esac
        shift 2
        ;;
      *) fail "'$1' is no option of this script." 'sh install.sh --help shows those that there are.' ;;
    esac
  done
  # It becomes a part of names.
  case $version in
    *[!0-9A-Za-z.+-]*) fail "'$version' is no version." 'Write it as in the list of releases: --version 0.2.0' ;;
  esac
}

# Where to install: an absolute folder, known to be writable before anything is downloaded.
find_prefix() {
  if [ -z "$prefix" ]; then
    if [ "$(id -u)" -eq 0 ]; then
      prefix=/usr/local
    else
      [ -n "${HOME:-}" ] || fail 'HOME is not set, so there is no ~/.local.' 'Say where to install: --prefix FOLDER'
      prefix=$HOME/.local
    fi
  fi
  case $prefix in /*) ;; *) prefix=$PWD/$prefix ;; esac
  for folder in bin lib share; do
    above=$prefix/$folder
    while [ ! -e "$above" ]; do
      above=${above%/*}
      above=${above:-/}
    done
    { [ -d "$above" ] && [ -w "$above" ]; } ||
      fail "Cannot write to $above." "Choose a folder of yours with --prefix (~/.local), or run this as root."
  done
}

# The platforms of this machine, as archives name them: on Linux first the static program, which needs no libc.
find_platform() {
  system=$(uname -s) machine=$(uname -m)
  case $machine in
    x86_64 | amd64) machine=x86_64 ;;
    aarch64 | arm64) machine=aarch64 ;;
  esac
  case $system-$machine in
    Linux-x86_64 | Linux-aarch64) platforms="$machine-unknown-linux-musl $machine-unknown-linux-gnu" ;;
    Darwin-x86_64 | Darwin-aarch64) platforms=$machine-apple-darwin ;;
    MINGW*-* | MSYS*-* | CYGWIN*-*)
      fail 'This script does not install on Windows.' 'Unpack the archive for x86_64-pc-windows-msvc, or use the Scoop manifest ssm-proxy.json of the release.'
      ;;
    *) fail "There is no release for $system on $machine." 'Build it with Rust: cargo install --locked ssm-proxy' ;;
  esac
}

# fetch NAME: a file of the release, to the work folder.
fetch() {
  case $from in
    https://*) download "$from/$1" "$work/$1" ;;
    *://*) fail "$from is not an https:// URL." 'Give --from a folder, or an https:// URL.' ;;
    *)
      [ -f "$from/$1" ] || fail "$from has no file $1." 'Give --from a folder with the archive and SHA256SUMS of a release.'
      cp "$from/$1" "$work/$1" || fail "Cannot copy $from/$1 to $work." 'Make room there, or set TMPDIR to a folder that has it.'
      ;;
  esac
}

# download URL FILE. A download that is cut short is an error of these tools, or has another sum.
download() {
  if has curl; then
    curl --proto '=https' --tlsv1.2 --fail --silent --show-error --location --retry 2 --output "$2" "$1"
  elif has wget; then
    wget -q -O "$2" "$1"
  else
    fail 'There is neither curl nor wget here.' 'Install one, or download the files elsewhere and use --from FOLDER.'
  fi || fail "Could not download $1" 'Check the version and your network (https_proxy), or download the files elsewhere and use --from FOLDER.'
}

# Where the files are, if --from does not say so.
find_release() {
  if [ -n "$from" ]; then
    from=${from%/}
    from=${from:-/}
    case $from in /* | *://*) ;; *) from=$PWD/$from ;; esac
  elif [ -z "$repository" ]; then
    fail 'This copy of install.sh does not know where the releases are.' 'Take the one of a release, or say where the files are: --from FOLDER_OR_URL'
  elif [ -n "$version" ]; then
    from=$repository/releases/download/v$version
  else
    from=$repository/releases/latest/download
  fi
}

# The archive for this platform, by the list of sums; sets `archive`, `sum` and `version`.
find_archive() {
  fetch SHA256SUMS
  for platform in $platforms; do
    # Two spaces, or a space and the star of a binary file, stand between a sum and its name.
    found=$(sed -n "s/^\([0-9a-f]\{64\}\) [ *]\(ssm-proxy-[^ /]*-$platform\.tar\.gz\)\$/\1 \2/p" "$work/SHA256SUMS")
    if [ -n "$version" ]; then
      found=$(printf '%s\n' "$found" | grep -F " ssm-proxy-$version-$platform.tar.gz" || true)
    fi
    [ -z "$found" ] || break
  done
  case $found in
    '') fail "$from has no ssm-proxy ${version:+$version }for $machine on $system in its SHA256SUMS." 'See there which versions and platforms it has.' ;;
    *'
'*) fail "$from has several versions for $machine on $system." 'Say which one: --version VERSION' ;;
  esac
  sum=${found%% *}
  archive=${found#* }
  version=${archive#ssm-proxy-}
  version=${version%"-$platform.tar.gz"}
}

# sum_of FILE: its SHA-256, by whichever tool there is.
sum_of() {
  if has sha256sum; then
    sha256sum <"$1"
  elif has shasum; then
    shasum -a 256 <"$1"
  elif has openssl; then
    openssl dgst -sha256 -r <"$1"
  else
    fail 'There is no sha256sum, shasum or openssl here to check the download.' 'Install one of them.'
  fi
}

# Fetches the archive, and unpacks it if it is the one that the sums are of.
unpack() {
  fetch "$archive"
  actual=$(sum_of "$work/$archive")
  actual=${actual%% *}
  [ "$actual" = "$sum" ] ||
    fail "$archive ($(($(wc -c <"$work/$archive"))) bytes) has the SHA-256 $actual, and SHA256SUMS says $sum." 'It is cut short or not the file that was released: download it again; if that does not help, do not use it.'
  { gzip -dc "$work/$archive" | tar -xf - -C "$work"; } || fail "Cannot unpack $archive." "Look whether there is room in $work."
  unpacked=$work/${archive%.tar.gz}
  said=$("$unpacked/ssm-proxy" --version 2>&1) ||
    fail "The program of $archive does not run here: $said" 'Build it with Rust: cargo install --locked ssm-proxy'
}

# stage SOURCE FOLDER NAME MODE: lays a file beside the place where it belongs, under another name.
stage() {
  make_folder "$2"
  [ ! -d "$2/$3" ] || fail "$2/$3 is a folder." 'Move it away, or choose another folder with --prefix.'
  new=$2/.$3.install.$$
  staged="$staged$new
"
  { cp "$unpacked/$1" "$new" && chmod "$4" "$new"; } ||
    fail "Cannot write to $2." 'Choose another folder with --prefix, or make room there.'
}

# make_folder FOLDER: the same as mkdir -p, and remembers which of them are new.
make_folder() {
  [ ! -d "$1" ] || return 0
  case $1 in /*/*) make_folder "${1%/*}" ;; esac
  mkdir "$1" || fail "Cannot make the folder $1." 'Choose another with --prefix, or run this as root.'
  made="$1
$made"
}

# Takes back what is not whole: the staged files, then the folders made for them, and the work folder.
undo() {
  trap '' HUP INT TERM
  printf '%s' "$staged" | while IFS= read -r path; do rm -f "$path"; done
  printf '%s' "$made" | while IFS= read -r path; do rmdir "$path" 2>/dev/null || true; done
  [ -z "$work" ] || rm -rf "$work"
}

interrupted() {
  printf 'install.sh: interrupted: nothing was installed.\n  Run it again.\n' >&2
  exit 130
}

# Each file gets its name in one step, the program at last; none is missing meanwhile where there was one before.
put_in_place() {
  share=$prefix/share
  stage ssm-proxy.1 "$share/man/man1" ssm-proxy.1 644
  stage completions/ssm-proxy.bash "$share/bash-completion/completions" ssm-proxy 644
  stage completions/_ssm-proxy "$share/zsh/site-functions" _ssm-proxy 644
  stage completions/ssm-proxy.fish "$share/fish/vendor_completions.d" ssm-proxy.fish 644
  for name in LICENSE-APACHE LICENSE-MIT THIRD-PARTY; do
    stage "$name" "$share/doc/ssm-proxy" "$name" 644
  done
  for name in ssm-proxy-join-x86_64 ssm-proxy-join-aarch64 SHA256SUMS; do
    # Releases before 0.2.0 have none.
    [ ! -e "$unpacked/lib/ssm-proxy/$name" ] || stage "lib/ssm-proxy/$name" "$prefix/lib/ssm-proxy" "$name" 644
  done
  stage ssm-proxy "$prefix/bin" ssm-proxy 755
  trap '' HUP INT TERM
  printf '%s' "$staged" | while IFS= read -r new; do
    name=${new##*/.}
    mv -f "$new" "${new%/*}/${name%.install.*}" || exit 1
  done || fail "Cannot rename the files in $prefix." 'Look who may write there, then run this again.'
  staged='' made=''
}

report() {
  printf '%s is installed: %s\n' "$said" "$prefix/bin/ssm-proxy"
  # shellcheck disable=SC2016  # it is for the shell that reads the line
  case :$PATH: in
    *":$prefix/bin:"*) ;;
    *) printf 'That folder is not on your PATH. Put this line into ~/.profile (or ~/.zprofile), and type it here too:\n  export PATH="%s:$PATH"\n' "$prefix/bin" ;;
  esac
  printf 'Next: mkdir -p -m 700 ~/.ssh; ssm-proxy --print-ssh-config >> ~/.ssh/config; ssm-proxy --check HOST. man ssm-proxy has the rest.\n'
}

main() {
  arguments "$@"
  staged='' made='' work=''
  umask 022
  find_platform
  find_prefix
  find_release
  trap undo EXIT
  trap interrupted HUP INT TERM
  work=$(mktemp -d "${TMPDIR:-/tmp}/ssm-proxy.XXXXXX") || fail 'Cannot make a temporary folder.' 'Set TMPDIR to a folder that you may write to.'
  find_archive
  unpack
  put_in_place
  report
}

# Last, so that a script of which only a part has arrived does nothing.
main "$@"
