# Shared by ./run and ./test: what a build needs on Debian, and how it is built. To be sourced.

# swift's own needs on a bare Debian, and the C libraries that are linked statically.
build_packages=(git ca-certificates binutils libc6-dev libstdc++-12-dev libgcc-12-dev zlib1g-dev libxml2 libcurl4
    libedit2 libsqlite3-0 libncurses6 libyaml-dev libzstd-dev libsqlite3-dev libinotifytools0-dev)
test_packages=(python3 python3-venv curl chromium rsync openssh-server openssh-client zstd)

# One configuration for product and tests; what is linked into the product is Package.swift's business.
build_flags=(-c release)

# Installs those of the given Debian packages that are missing; without the right to, says which.
install_packages() {
    command -v dpkg-query >/dev/null || return 0
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    local sudo=()
    [ "$(id -u)" = 0 ] || sudo=(sudo)
    echo "installing: ${missing[*]}" >&2
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2 ||
        { "${sudo[@]}" apt-get update -qq &&
            "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2; }
}

build() {
    command -v swift >/dev/null || { echo "expected Swift 6.3 (swift.org/install), found no swift in PATH" >&2; exit 69; }
    swift build "${build_flags[@]}" "$@"
}

binary_folder() { swift build "${build_flags[@]}" --show-bin-path; }
