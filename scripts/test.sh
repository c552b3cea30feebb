#!/usr/bin/env bash
# Every test, quick ones first: scripts/test.sh BIN
set -euo pipefail
bin=$1
echo "[1/3] lint, types and import rules"
"$bin/ruff" format --check --quiet . && "$bin/ruff" check --quiet . && "$bin/mypy" && "$bin/lint-imports" >/dev/null
echo "[2/3] unit tests"
"$bin/pytest" -q -m "not local and not slow and not faults"
echo "[3/3] the real model, servers and faults; some minutes"
"$bin/pytest" -m "local or slow or faults" --durations=10
