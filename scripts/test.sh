#!/usr/bin/env bash
# Lint, types, tests, each with its time: scripts/test.sh [lint] [pytest arguments]. All parts run; the worst exit code counts.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
. ./env.sh || exit 1

unset MAKEFLAGS MFLAGS MAKELEVEL   # tests call make themselves
export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST
export ROS_DOMAIN_ID=$(($$ % 100 + 1))   # apart from every other ROS system on this machine
ros=(tests/bringup tests/client tests/control tests/e2e tests/ros tests/viewer)
# In the order of the files: by number of tests, as xdist would have it, the longest single test comes last, alone.
side_by_side=(-m "not alone" --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder)
worst=0
times=()

part() {  # part <name> <command ...>
    local name=$1 start=$SECONDS code=0
    shift
    "$@" || code=$?
    times+=("$name $((SECONDS - start)) s$([[ $code == 0 ]] || echo ", failed ($code)")")
    ((code <= worst)) || worst=$code
}

part "ruff" ruff check
part "format" ruff format --check
part "spelling" codespell
part "mypy" mypy
if [[ ${1:-} == lint ]]; then
    :
elif (($# > 0)); then
    part "pytest" python -m pytest "$@"
else  # in runs of their own: training sees nothing of what other libraries leave behind, what is timed has all cores
    part "pytest of core" python -m pytest "${side_by_side[@]}" --ignore=tests/train "${ros[@]/#/--ignore=}"
    part "pytest of training" python -m pytest "${side_by_side[@]}" tests/train
    part "pytest with ROS" python -m pytest "${side_by_side[@]}" "${ros[@]}"
    mapfile -t alone < <(grep -rl --include='*.py' 'mark\.alone' tests)
    part "pytest of what is timed" python -m pytest -m alone "${alone[@]}"
fi
printf 'us_sim: %s\n' "${times[@]}"
exit "$worst"
