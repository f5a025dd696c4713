#!/usr/bin/env bash
# Fetches what the tests are proven against (real cosign, skopeo, crane, oras, registries, a whole Sigstore, clang) and the
# Python tools.
#
#   eval "$(scripts/tools.sh)"                 everything
#   eval "$(scripts/tools.sh python wasm)"     only these groups
#
# Nothing is installed: packages are unpacked into a cache folder (COSIGN_CACHE, by default under ~/.cache) by apt with
# a state of its own, so neither root nor the system's package lists are touched. What is cached is used without network.
# On standard output stand only the exports for the caller's shell; progress goes to standard error.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${COSIGN_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME or COSIGN_CACHE}/.cache}/libcosign}
lock=$here/tools.lock
all="cosign2 cosign3 crane oras docker-registry registries stack skopeo clang python wasm"

say() { printf 'tools: %s\n' "$*" >&2; }
fail() { say "error: $*"; exit 1; }
need() { command -v "$1" >/dev/null || fail "$1 is missing; $2"; }

# The lines of one group in the lock file: kind package version suite sha256 module.
locked() { awk -v group="$1" '$1 == group { print $2, $3, $4, $5, $6, $7 }' "$lock"; }

# --- apt with its own state -------------------------------------------------------------------------------------------

# The mirror this system uses for Debian itself (not for security updates or third parties), from either kind of source file.
mirror() {
    local codename file
    codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
        if [[ -f $file ]]; then cat "$file"; echo; fi
    done | awk -v codename="$codename" '
        function found(uri) { if (uri !~ /security/ && !seen++) print uri }
        /^[[:space:]]*#/ { next }
        /^[[:space:]]*deb[[:space:]]/ {
            line = $0; sub(/\[[^]]*\]/, "", line); n = split(line, f)
            for (i = 4; i <= n; i++) if (f[i] == "main" && f[3] == codename) found(f[2])
        }
        /^[[:space:]]*$/ { uri = "" }
        /^URIs:/ { uri = $2 }
        /^Suites:/ { for (i = 2; i <= NF; i++) if ($i == codename && uri != "") found(uri) }
    '
}

prepare_apt() {
    [[ -n ${apt_ready:-} ]] && return
    need apt-get "the tools are Debian packages"
    need dpkg-deb "the tools are Debian packages"
    [[ $(dpkg --print-architecture) == amd64 ]] || fail "scripts/tools.lock pins packages for amd64 only"
    local apt=$cache/apt uri keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    uri=$(mirror)
    [[ -n $uri ]] || fail "no Debian mirror found in /etc/apt/sources.list or /etc/apt/sources.list.d"
    [[ -r $keyring ]] || fail "$keyring is missing; install debian-archive-keyring"
    mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial" "$apt/parts"
    : >"$apt/status"
    awk '!/^#/ && NF { print $5 }' "$lock" | sort -u | while read -r suite; do
        printf 'deb [arch=amd64 signed-by=%s] %s %s main\n' "$keyring" "$uri" "$suite"
    done >"$apt/sources.list"
    # The system's proxy and TLS settings are kept; its hooks, which may delete the system's own lists, are not.
    {
        apt-config dump Acquire 2>/dev/null || true
        cat <<CONF
Dir::State "$apt/state";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "$apt/parts";
Dir::Etc::main "/dev/null";
Dir::Etc::parts "$apt/parts";
Acquire::Check-Valid-Until "false";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::Retries "3";
APT::Sandbox::User "";
APT::Get::List-Cleanup "false";
CONF
    } >"$apt/apt.conf"
    export APT_CONFIG=$apt/apt.conf
    say "reading the package lists of $(awk '{ printf "%s ", $5 }' "$apt/sources.list")"
    apt-get -qq update >&2 || fail "the package lists could not be read; the network is needed for the first run"
    apt_ready=1
}

sha256_of() { sha256sum "$1" | cut -d ' ' -f 1; }

# Leaves the pinned package at $cache/debs/<sha256>.deb. Answers 1 when its suite no longer has that version.
fetch_deb() {
    local package=$1 version=$2 sha256=$3 deb=$cache/debs/$3.deb
    if [[ -f $deb ]] && [[ $(sha256_of "$deb") == "$sha256" ]]; then return 0; fi
    prepare_apt
    local work
    work=$(mktemp -d "$cache/fetch.XXXXXX")
    if ! (cd "$work" && apt-get -qq download "$package=$version" >&2); then
        rm -rf "$work"
        return 1
    fi
    local got=("$work"/*.deb)
    [[ $(sha256_of "${got[0]}") == "$sha256" ]] || fail "$package $version has another SHA-256 than scripts/tools.lock says"
    mkdir -p "$cache/debs"
    mv "${got[0]}" "$deb"
    rm -rf "$work"
}

# --- one group = one folder -------------------------------------------------------------------------------------------

# Unpacks a group into $cache/tools/<group>-<hash of its pins> and sets `root` to that path; a finished folder is used
# as it is.
unpack() {
    local group=$1 stamp pins
    pins=$(locked "$group")
    [[ -n $pins ]] || fail "scripts/tools.lock knows no group $group"
    stamp=$(sha256sum <<<"$pins" | cut -c 1-12)
    root=$cache/tools/$group-$stamp
    if [[ -f $root/.complete ]]; then return; fi
    say "unpacking $group"
    local work kind package version suite sha256 module
    mkdir -p "$cache/tools"
    work=$(mktemp -d "$cache/tools/$group.XXXXXX")
    while read -r kind package version suite sha256 module; do
        if fetch_deb "$package" "$version" "$sha256"; then
            dpkg-deb -x "$cache/debs/$sha256.deb" "$work"
        elif [[ $kind == library ]]; then
            say "notice: $suite no longer has $package $version; taking the version it has now"
            (cd "$work" && apt-get -qq download "$package/$suite" >&2 && dpkg-deb -x "$package"_*.deb . && rm -f "$package"_*.deb) \
                || fail "$package cannot be fetched from $suite"
        elif [[ $module != - ]]; then
            build_module "$module" "$work"
        else
            fail "$suite no longer has $package $version and there is no other way to get it: pin another version in scripts/tools.lock"
        fi
    done <<<"$pins"
    touch "$work/.complete"
    rm -rf "$root"
    mv "$work" "$root"
}

# The same release from its Go module, whose checksum the Go command verifies.
build_module() {
    local module=$1 root=$2
    need go "$module must be built because Debian moved on"
    say "notice: building $module because Debian moved on (some minutes)"
    mkdir -p "$root/usr/bin"
    GOBIN=$root/usr/bin GOFLAGS=-trimpath CGO_ENABLED=0 go install -tags containers_image_openpgp,exclude_graphdriver_btrfs "$module" >&2 \
        || fail "go install $module failed"
}

# Writes $cache/bin/<name> running the command given in the rest; the file appears whole or not at all.
wrapper() {
    local name=$1 body=$2 temporary
    mkdir -p "$cache/bin"
    temporary=$(mktemp "$cache/bin/.$name.XXXXXX")
    printf '#!/bin/sh\n%s\n' "$body" >"$temporary"
    chmod 755 "$temporary"
    mv "$temporary" "$cache/bin/$name"
}

# Runs a wrapper once, so that a broken unpacking shows here and not in the middle of a test.
proven() { "$cache/bin/$1" "${@:2}" >/dev/null 2>&1 || fail "$1 was unpacked but does not run: $("$cache/bin/$1" "${@:2}" 2>&1 | head -3)"; }

plain() {
    local name=$1 program=$2 root
    unpack "$name"
    [[ -x $root/usr/bin/$program ]] || fail "$name has no program $program"
    wrapper "$name" "exec '$root/usr/bin/$program' \"\$@\""
    proven "$name" "${@:3}"
}

group_cosign2() { plain cosign2 cosign version; }
group_cosign3() { plain cosign3 cosign version; }
group_crane() { plain crane crane version; }
group_oras() { plain oras oras version; }
group_docker-registry() { plain docker-registry docker-registry --version; }

# Two registries of other makers with the referrers API, built from the pinned modules of tests/stack.
group_registries() {
    need go "Go 1.26 builds the registries that the tests talk to"
    local stack=$here/../tests/stack stamp root work
    stamp=$(cd "$stack" && cat go.mod go.sum build.sh cmd/registry/main.go | sha256sum | cut -c 1-12)
    root=$cache/tools/registries-$stamp
    if [[ ! -f $root/.complete ]]; then
        say "building two registries from tests/stack"
        work=$(mktemp -d "$cache/tools/registries.XXXXXX")
        CGO_ENABLED=0 "$stack/build.sh" "$work" registries >&2 || fail "tests/stack/build.sh failed"
        touch "$work/.complete"
        rm -rf "$root"
        mv "$work" "$root"
    fi
    wrapper olareg "exec '$root/olareg' \"\$@\""
    proven olareg version
    wrapper ggcr-registry "exec '$root/registry' \"\$@\""
    proven ggcr-registry -h
}

# Rekor, Fulcio, a timestamp authority and what they need, from the same modules: minutes the first time, then cached.
group_stack() {
    need go "Go 1.26 builds the servers that the tests talk to"
    need openssl "tests/stack/up.sh makes the servers' keys with it"
    need curl "tests/stack/up.sh waits for the servers with it"
    local stack=$here/../tests/stack stamp root work
    stamp=$(cd "$stack" && find . -type f ! -path './bin/*' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c 1-12)
    root=$cache/tools/stack-$stamp
    if [[ ! -f $root/.complete ]]; then
        say "building the servers of tests/stack (five to nine minutes on two cores)"
        work=$(mktemp -d "$cache/tools/stack.XXXXXX")
        CGO_ENABLED=0 "$stack/build.sh" "$work" >&2 || fail "tests/stack/build.sh failed"
        touch "$work/.complete"
        rm -rf "$root"
        mv "$work" "$root"
    fi
    ln -sfn "$root" "$cache/bin/stack"
    # Go programs end with 0 or, older ones, with 2 after their help.
    "$cache/bin/stack/tlogd" -h >/dev/null 2>&1 || [[ $? == 2 ]] || fail "the servers were built but do not run"
}

# skopeo needs a newer libc than Debian 12 has, so it runs through the loader that comes with that libc.
group_skopeo() {
    local root lib
    unpack skopeo
    lib=$root/usr/lib/x86_64-linux-gnu
    if [[ -x $lib/ld-linux-x86-64.so.2 ]] && grep -q libgpgme "$root/usr/bin/skopeo"; then
        wrapper skopeo "exec '$lib/ld-linux-x86-64.so.2' --library-path '$lib' '$root/usr/bin/skopeo' \"\$@\""
    else
        wrapper skopeo "exec '$root/usr/bin/skopeo' \"\$@\""
    fi
    proven skopeo --version
}

# clang finds its own headers beside itself and the system's gcc by its usual search.
group_clang() {
    local root
    unpack clang
    local name
    for name in clang clang++; do
        wrapper "$name" "LD_LIBRARY_PATH='$root/usr/lib/x86_64-linux-gnu:$root/usr/lib/llvm-14/lib:$root/lib/x86_64-linux-gnu'\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH} exec '$root/usr/lib/llvm-14/bin/$name' \"\$@\""
        proven "$name" --version
    done
}

group_python() {
    need python3 "Python 3.11 or newer builds the wheel"
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "Python 3.11 or newer is needed"
    local stamp root
    stamp=$({ python3 -c 'import sys; print(sys.version, sys.prefix)'; cat "$here/requirements.txt"; } | sha256sum | cut -c 1-12)
    root=$cache/venv-$stamp
    if [[ ! -f $root/.complete ]]; then
        say "installing the Python tools"
        rm -rf "$root"
        python3 -m venv "$root" || fail "python3 -m venv failed; install python3-venv"
        "$root/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$here/requirements.txt" >&2 || fail "pip failed"
        touch "$root/.complete"
    fi
    ln -sfn "$root" "$cache/venv"
}

group_wasm() {
    need rustc "Rust 1.95 builds everything here"
    [[ -d $(rustc --print sysroot)/lib/rustlib/wasm32-unknown-unknown/lib ]] && return
    need rustup "it adds the target wasm32-unknown-unknown"
    say "adding the Rust target wasm32-unknown-unknown"
    (cd "$here/.." && rustup target add wasm32-unknown-unknown >&2) || fail "rustup could not add wasm32-unknown-unknown"
}

mkdir -p "$cache/tools" "$cache/bin"
cache=$(cd "$cache" && pwd)
# One run at a time: two would unpack into each other's folders.
exec 9>"$cache/.lock"
flock 9
# shellcheck disable=SC2086 # a list of words
for group in ${*:-$all}; do
    [[ " $all " == *" $group "* ]] || fail "unknown group $group; there are: $all"
    "group_$group"
done
# The package lists are large and only good for the day they were read.
[[ -z ${apt_ready:-} ]] || rm -rf "$cache/apt"
printf 'export COSIGN_CACHE=%q\nexport COSIGN_TOOLS=%q\nexport COSIGN_VENV=%q\n' "$cache" "$cache/bin" "$cache/venv"
