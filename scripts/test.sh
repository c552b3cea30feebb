#!/usr/bin/env bash
# Every test but the nightly ones, quick ones first: scripts/test.sh BIN
set -euo pipefail
bin=$1
echo "[1/4] lint, types and import rules"
# A line each: of a chain with && only the last failure would end the script.
"$bin/ruff" format --check --quiet .
"$bin/ruff" check --quiet .
"$bin/mypy"
"$bin/lint-imports" >/dev/null
echo "[2/4] unit tests"
"$bin/pytest" -q -n 2 -m "not local and not slow and not faults and not nightly"
echo "[3/4] the real model, servers and faults; some minutes"
# Two workers, each with a folder at a time; threads that wait must not hold the other's core.
export OMP_WAIT_POLICY=PASSIVE
slow="(local or slow or faults) and not nightly"
"$bin/pytest" -q -n 2 --dist loadscope --no-loadscope-reorder --durations=10 -m "$slow" \
  --ignore=tests/serve --ignore=tests/deploy
echo "[4/4] real servers, alone: what they promise is a matter of seconds"
"$bin/pytest" -q -m "$slow" tests/serve tests/deploy
