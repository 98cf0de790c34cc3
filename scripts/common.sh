# What quickstart and check share: packages and the release build.  Sourced, not run.
# shellcheck shell=bash

# The package version that carries libevent's security fixes of 2026.
LIBEVENT_VERSION=2.1.12-stable-8+deb12u1

BUILD_PACKAGES=(gcc openssl libc6-dev meson ninja-build pkg-config libssl-dev libevent-dev liblmdb-dev libconfig-dev
    libcsv-dev libjansson-dev libutf8proc-dev libcurl4-openssl-dev libsystemd-dev libseccomp-dev libxml2-dev zlib1g-dev)
PACKAGE_PACKAGES=(dpkg-dev debhelper lintian systemd)
TEST_PACKAGES=(check python3 curl gnutls-bin strongswan-pki libstrongswan-extra-plugins certmonger scep
    clang libclang-rt-14-dev llvm-14 mandoc systemd python3-seccomp util-linux faketime prometheus
    zsh fish strace nginx apache2-bin freeradius eapoltest libnss3-tools
    libstrongswan-standard-plugins wrk procps chromium nodejs python3-jsonschema)

die()
{
    printf '%s\n' "$@" >&2
    exit 1
}

as_root()
{
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "cannot install packages: not root, and there is no sudo." \
            "fix: run this as root once, or install: ${BUILD_PACKAGES[*]}"
    fi
}

is_installed()
{
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

libevent_is_safe()
{
    local have
    have=$(dpkg-query -W -f '${Version}' libevent-2.1-7 2>/dev/null) || return 1
    dpkg --compare-versions "$have" ge "$LIBEVENT_VERSION"
}

# apt-get that starts no service of what it installs: a web server on port 80 is nothing that a test wants.
install_quietly()
{
    as_root sh -c '
        policy=/usr/sbin/policy-rc.d
        if [ ! -e "$policy" ]; then
            printf "#!/bin/sh\nexit 101\n" >"$policy"
            chmod 755 "$policy"
            trap "rm -f $policy" EXIT
        fi
        DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends "$@"' sh "$@"
}

# Installs what is missing of the packages named; prints one line.
need_packages()
{
    local missing=() p
    for p in "$@"; do
        is_installed "$p" || missing+=("$p")
    done
    if [ ${#missing[@]} = 0 ] && libevent_is_safe; then
        echo "already installed (libevent $(dpkg-query -W -f '${Version}' libevent-2.1-7))"
        return
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update >&2 ||
        die "apt-get update failed." "fix: check the package sources (bookworm and bookworm-security) and the network."
    install_quietly "${missing[@]}" libevent-2.1-7 >/dev/null || die "apt-get could not install: ${missing[*]}"
    libevent_is_safe || die \
        "libevent is $(dpkg-query -W -f '${Version}' libevent-2.1-7), which lacks the security fixes of $LIBEVENT_VERSION." \
        "fix: add the bookworm-security package source and run again."
    echo "installed ${#missing[@]} (libevent $(dpkg-query -W -f '${Version}' libevent-2.1-7))"
}

# need_build DIR TARGETS MESON-OPTIONS...: configures once, builds what changed.
need_build()
{
    local dir=$1 targets=$2
    shift 2
    if [ ! -f "$dir/build.ninja" ]; then
        meson setup "$dir" "$@" >"$dir.log" 2>&1 || {
            cat "$dir.log" >&2
            die "meson could not configure $dir."
        }
    fi
    # shellcheck disable=SC2086
    ninja -C "$dir" $targets >"$dir.log" 2>&1 || {
        tail -n 40 "$dir.log" >&2
        die "the build in $dir failed."
    }
}

# The modules of the browser tests, as tests/console/package-lock.json names them, in a cache outside of the tree; prints one line.
# An npm that came with node is good; Debian's has some hundred packages of its own.
need_browser()
{
    local lock=tests/console/package-lock.json dir
    dir=${XDG_CACHE_HOME:-$HOME/.cache}/scepd/browser-$(sha256sum "$lock" | cut -c1-16)
    if ls -d "$dir"/node_modules/{playwright-core,axe-core,typescript} >/dev/null 2>&1; then
        echo "already in $dir"
        return
    fi
    command -v npm >/dev/null || need_packages npm >/dev/null
    rm -rf "$dir" "$dir.new"
    mkdir -p "$dir.new"
    cp tests/console/package.json "$lock" "$dir.new/"
    (cd "$dir.new" && npm ci --ignore-scripts --no-audit --no-fund --silent >&2) || die "npm could not install the modules of $lock." \
        "fix: check the network and npm's configuration."
    mv -T "$dir.new" "$dir" # whole, or not there
    echo "installed in $dir"
}
