#!/usr/bin/env bash
# Everything that needs a CUDA device: parity and opcheck, compute-sanitizer where it is found, the benchmark of the
# operator. What the checks say is kept in benchmarks/results/gpu-CARD.txt, the benchmark's rows in gpu_ops.csv.
# WHEELS names a folder that `make gpu-wheels` has filled: what PYTHON lacks then comes from there, without an index.
#
#     [WHEELS=FOLDER] bash benchmarks/gpu.sh PYTHON
set -euo pipefail
python=$(realpath -s "$(command -v "$1")")
wheels=${WHEELS:+$(realpath -s "$WHEELS")}
cd "$(dirname "$0")/.."
if [ -n "$wheels" ]; then
  site=build/gpu-site
  "$python" -m benchmarks.gpu_wheels install "$wheels" "$site"
  export PYTHONPATH="$PWD/$site:$PWD"
fi
# Other files may import what only the other tests need.
mapfile -t tests < <(grep -rlE --include='test_*.py' 'pytest\.mark\.gpu\b' tests | sort)
card=$("$python" -c 'import torch; print(torch.cuda.get_device_name() if torch.cuda.is_available() else "")')
if [ -z "$card" ]; then
  "$python" -m pytest -m gpu --collect-only "${tests[@]}" >&2
  echo "no CUDA device: what make gpu checks and measures needs one" >&2
  exit 1
fi

checks() {
  echo "$card"
  "$python" -c 'import torch; print("torch", torch.__version__, "CUDA", torch.version.cuda)'
  "$python" -m tinkit kernels build
  "$python" -m pytest -m gpu "${tests[@]}"
  local sanitizer
  if ! sanitizer=$(PATH="$PATH:${CUDA_HOME:-/usr/local/cuda}/bin:/usr/local/cuda/bin" command -v compute-sanitizer); then
    echo "compute-sanitizer was not found: neither memcheck nor racecheck was run"
    return
  fi
  # PyTorch asks the driver for things that may fail, which is no finding. Each tensor lies in memory of its own, so that
  # what is past its end is nobody's; a graph cannot be captured that way.
  for tool in "memcheck --report-api-errors no" racecheck; do
    echo "$tool"
    # shellcheck disable=SC2086  # a tool and its options
    PYTORCH_NO_CUDA_MEMORY_CACHING=1 "$sanitizer" --error-exitcode 1 --tool $tool \
      "$python" -m pytest -m gpu -k "not graph and not stream" tests/kernels/test_device.py
  done
}

# Not in a condition, where the first failure would not end it.
checks 2>&1 | tee "benchmarks/results/gpu-${card//[^A-Za-z0-9]/-}.txt"
"$python" -m benchmarks.gpu_ops
