#!/usr/bin/env bash
# The packages as a stranger installs them, without ROS, CMake or this checkout: builds and checks sdists and wheels,
# installs them in an empty environment, and runs there what both READMEs show: scripts/test_install.sh [folder]
# Takes 5 to 10 minutes, most of them for torch and to compile. Without a folder, what it makes is removed at the end.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

root=$PWD
python=${PYTHON:-python3}
work=${1:-$(mktemp -d)}
[[ $# -gt 0 ]] || trap 'rm -rf "$work"' EXIT
unset PYTHONPATH AMENT_PREFIX_PATH VIRTUAL_ENV
mkdir -p "$work"
work=$(cd "$work" && pwd)

step() {  # step <what it does> <command ...>
    local what=$1 start=$SECONDS
    shift
    "$@" >"$work/log" 2>&1 </dev/null || { tail -n 30 "$work/log"; echo "us_sim: $what ... failed"; exit 1; }
    echo "us_sim: $what ... $((SECONDS - start)) s"
}

environment() { "$python" -m venv "$work/$1" && "$work/$1/bin/python" -m pip install --disable-pip-version-check "${@:2}"; }

build() (  # the wheel that is made from the sdist must hold what the one made from the sources holds
    for package in us_sim scyclegan_train; do
        "$work/tools/bin/python" -m build --outdir "$work/dist" "$work/source/ros2_ws/src/$package"
        "$work/tools/bin/python" -m build --wheel --outdir "$work/direct" "$work/source/ros2_ws/src/$package"
    done
    "$work/tools/bin/python" -m twine check --strict "$work"/dist/*
    "$python" "$root/scripts/compare_wheels.py" "$work/dist" "$work/direct"
)

examples() (
    cd "$work/elsewhere"
    "$work/plain/bin/python" "$root/scripts/run_examples.py" "$root/README.md" "$root/ros2_ws/src/us_sim/README.md"
)

learning() (  # what docs/learning.md begins with
    "$work/plain/bin/python" -m pip install --disable-pip-version-check "$(echo "$work"/dist/us_sim-*.whl)[gym]"
    cd "$work/elsewhere"
    "$work/plain/bin/python" "$root/scripts/run_examples.py" "$root/docs/learning.md"
)

render() (
    cd "$work/elsewhere"
    "$work/plain/bin/us_sim_render" --count 2 --out frames
    [[ $(find frames -name '*.png' | wc -l) -ge 2 ]]
)

refusal() {  # a command that needs ROS: one sentence, exit status 2
    local said code=0
    said=$("$work/plain/bin/us_sim" 2>&1) || code=$?
    echo "$said"
    [[ $code == 2 && $(wc -l <<<"$said") == 1 && $said == *"source a ROS 2 installation"* ]]
}

trainer() {
    "$work/plain/bin/python" -m pip install --disable-pip-version-check "$work"/dist/*.whl
    "$work/plain/bin/python" -m pip check
    (cd "$work/elsewhere" && "$work/plain/bin/scyclegan_train" train --help)
}

mkdir -p "$work/source" "$work/elsewhere"
git ls-files -z LICENSE ros2_ws/src | xargs -0 cp --parents -P -t "$work/source"
step "tools" environment tools -r requirements-install.txt
step "sdists and wheels" build
step "us_sim in an empty environment" environment plain "$work"/dist/us_sim-*.whl
step "the examples of the READMEs" examples
step "us_sim_render --count 2" render
step "the extra gym, and the examples of learning" learning
step "us_sim without ROS" refusal
echo "us_sim: the environment has $(du -sm "$work/plain" | cut -f1) MB"
step "scyclegan_train beside it" trainer
