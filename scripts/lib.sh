# Shared by scripts/build, scripts/run and scripts/test: finds or installs what they need.
# Sourced from the repository's root; POSIX sh.

BUN_VERSION=1.4.5

say() { printf '%s\n' "k3: $*"; }
die() {
  printf '%s\n' "k3: $*" >&2
  exit 1
}

is_root() { [ "$(id -u)" = 0 ]; }

host_arch() {
  case "$(uname -m)" in
    x86_64) echo amd64 ;;
    aarch64) echo arm64 ;;
    *) die "k3 is built for x86_64 and aarch64; this machine is $(uname -m)." ;;
  esac
}

# ensure_packages PACKAGE...: installs the Debian packages that are missing.
ensure_packages() {
  missing=
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' ||
      missing="$missing $package"
  done
  [ -n "$missing" ] || return 0
  is_root || die "Missing Debian packages:$missing. Install them as root: apt-get install$missing"
  say "Installing Debian packages:$missing"
  # The lists may be absent or old, so a failure is tried once more with fresh ones.
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing \
    >/dev/null 2>&1 && return 0
  apt-get update -q >/dev/null ||
    die "apt-get update failed. Check this machine's Debian mirror in /etc/apt."
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing >/dev/null ||
    die "apt-get install$missing failed. Install these packages by hand and try again."
}

# The pinned Bun: the one on PATH when it is that version, else from npm into .tools/.
ensure_bun() {
  [ -d "$ROOT/.tools/node_modules/.bin" ] && PATH="$ROOT/.tools/node_modules/.bin:$PATH"
  export PATH
  [ "$(bun --version 2>/dev/null)" = "$BUN_VERSION" ] && return 0
  command -v npm >/dev/null || ensure_packages npm
  say "Installing Bun $BUN_VERSION from npm into .tools"
  mkdir -p "$ROOT/.tools"
  [ -f "$ROOT/.tools/package.json" ] || echo '{"private":true}' >"$ROOT/.tools/package.json"
  npm install --loglevel=error --no-audit --no-fund --prefix "$ROOT/.tools" "bun@$BUN_VERSION" ||
    die "npm could not install Bun. Check that the npm registry can be reached."
  PATH="$ROOT/.tools/node_modules/.bin:$PATH"
  [ "$(bun --version 2>/dev/null)" = "$BUN_VERSION" ] ||
    die "Bun from npm does not run here. Install Bun $BUN_VERSION by hand and put it on PATH."
}

# Everything a build for this machine's architecture needs.
ensure_build_tools() {
  [ -e /etc/debian_version ] ||
    die "The build resolves Debian packages with apt. Run it on Debian, or in a Debian container."
  ensure_packages ca-certificates debian-archive-keyring patchelf zstd gcc libc6-dev
  ensure_bun
}

# Everything a release for both architectures needs on top.
ensure_release_tools() {
  ensure_build_tools
  ensure_packages tar
  case "$(host_arch)" in
    amd64) ensure_packages gcc-aarch64-linux-gnu libc6-dev-arm64-cross ;;
    arm64) ensure_packages gcc-x86-64-linux-gnu libc6-dev-amd64-cross ;;
  esac
}

ensure_npm_packages() {
  # The stamp is newer than the lock file only when this very lock was installed.
  stamp=node_modules/.k3-installed
  [ -e "$stamp" ] && [ "$stamp" -nt bun.lock ] && return 0
  say "Installing npm packages"
  bun install --frozen-lockfile ||
    die "bun install failed. Check that the npm registry can be reached."
  touch "$stamp"
}

# A registry for the tests: Debian's package, unpacked but not installed, which would start it.
ensure_test_registry() {
  dir=$ROOT/build/docker-registry
  [ -x "$dir/usr/bin/docker-registry" ] && return 0
  say "Fetching docker-registry for the tests"
  rm -rf "$dir"
  mkdir -p "$dir"
  (cd "$dir" && apt-get download -q docker-registry >/dev/null 2>&1 && dpkg -x docker-registry_*.deb .) ||
    say "docker-registry could not be fetched: the tests that need it leave themselves out"
}

# Prints why this machine cannot run containers; nothing when it can.
why_no_containers() {
  if ! is_root; then
    echo "starting containers takes root"
    return
  fi
  grep -qw overlay /proc/filesystems || modprobe overlay 2>/dev/null ||
    { echo "the kernel lacks overlayfs" && return; }
  [ -d /sys/fs/cgroup ] && grep -q cgroup /proc/mounts ||
    { echo "no cgroup file system is mounted" && return; }
  unshare -n true 2>/dev/null || { echo "this machine forbids new network namespaces" && return; }
  return 0
}
