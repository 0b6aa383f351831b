#!/usr/bin/env bash
# Builds the wheel, installs it with everything that it needs into an empty environment, and trains a step there.
set -euo pipefail
python=$(realpath -s "$1")
root=$(cd "$(dirname "$0")/.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m build --wheel --no-isolation --outdir "$folder" "$root" >/dev/null
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check -c "$root/constraints.txt" "$folder"/*.whl
cd "$folder"
tinkit=env/bin/tinkit
$tinkit recipes
$tinkit doctor
$tinkit synth mmit data --clips 32 --val 8 --test 8
$tinkit train demo_tin --data data --steps 1
$tinkit submit --help >/dev/null
echo "the wheel works in an environment of its own"
