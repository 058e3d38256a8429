#!/usr/bin/env bash
# `./dev setup` on a machine that lacks packages: dpkg-query knows some of them and fails, as it does where it has never heard of
# a package. Root installs what is missing, everybody else is told; nobody is told that all is there.
#     setup_test.sh DEV
set -euo pipefail
dev="$(realpath "$1")"
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT

mkdir "$folder/bin"
cat >"$folder/bin/dpkg-query" <<'SH'
#!/bin/sh
echo 'install ok installed cmake'
echo 'deinstall ok config-files ninja-build'
echo 'dpkg-query: no packages found matching nlohmann-json3-dev' >&2
exit 1
SH
printf '#!/bin/sh\necho "$@" >>"%s/asked"\n' "$folder" >"$folder/bin/apt-get"
chmod +x "$folder/bin/"*

# A copy, so that nothing of this checkout is touched.
cp "$dev" "$folder/dev"
code=0
touch "$folder/asked"
PATH="$folder/bin:$PATH" "$folder/dev" setup >"$folder/said" 2>&1 || code=$?
[[ $EUID -eq 0 ]] || cp "$folder/said" "$folder/asked"

for package in nlohmann-json3-dev ninja-build libgtest-dev; do
  grep -qw -- "$package" "$folder/asked" || { echo "$package was not asked for (exit code $code):"; cat "$folder/said"; exit 1; }
done
! grep -Eq '(^| )cmake( |$)' "$folder/asked" || { echo "cmake was asked for, and is there"; exit 1; }
! grep -q 'is installed' "$folder/said" || [[ $EUID -eq 0 ]] || { echo "said that all is there"; exit 1; }
