#!/usr/bin/env bash
# What a GPU must show, in at most 10 minutes, without Ray: that it trains on the same samples as a CPU, and that it does not
# wait for them. See README.md.
#
#   tests/gpu/run.sh                          on a GPU, from a checkout
#   tests/gpu/run.sh --device cpu --quick     the script itself, in a minute or two
set -euo pipefail
cd "$(dirname "$0")/../.."

python="${PYTHON:-python3}"
device=cuda
given=("$@")
while (($#)); do
    case "$1" in
    --device) device="$2" && shift ;;
    --quick) ;;
    *) echo "tests/gpu/run.sh takes --device cuda|cpu and --quick, not $1" >&2 && exit 2 ;;
    esac
    shift
done

# Packages that were carried along; a wheel is a zip file.
extra="$(mktemp -d)"
trap 'rm -rf "$extra"' EXIT
shopt -s nullglob
for wheel in wheels/*.whl; do
    "$python" -m zipfile -e "$wheel" "$extra"
done
export PYTHONPATH="$extra${PYTHONPATH:+:$PYTHONPATH}" WSSHM_TEST_DEVICE="$device" WSSHM_CACHE="$extra/cache"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-4}" PYTHONUNBUFFERED=1

"$python" tests/gpu/needed.py "$device"
status=0
# The suite's options ask for several processes, which would share the GPU.
tests=(tests/gpu/test_device.py)
if [[ $device == cuda ]]; then
    mapfile -t tests < <(grep -rl --include='test_*.py' 'mark\.gpu' tests)
fi
"$python" -m pytest -o addopts="" -p no:cacheprovider -q -m gpu "${tests[@]}" || status=1
"$python" -m tests.gpu.busy "${given[@]}" || status=1
exit "$status"
