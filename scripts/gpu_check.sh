#!/usr/bin/env bash
# What only a GPU shows, in at most 8 minutes: scripts/gpu_check.sh [--short] [folder for the reports, gpu_check/ by default]
# Tests that need a GPU, frames beside those of the CPU, latencies alone and through ROS, batches, memory, the way back to
# the CPU, a step of training. Each part stands alone: one that fails or finds no GPU says so, and the others go on.
# Without .venv the python of the shell is taken. --short is for a try on a computer without a GPU.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

short=()
[[ ${1:-} != --short ]] || { short=(--short); shift; }
out=${1:-gpu_check}
mkdir -p "$out"
if [[ -d .venv ]]; then
    . ./env.sh || exit 1
else
    export PYTHONPATH=$PWD/ros2_ws/src/us_sim:$PWD/ros2_ws/src/scyclegan_train${PYTHONPATH:+:$PYTHONPATH}
fi
worst=0
patience=1
if ((${#short[@]})); then patience=5; fi

part() {  # part <seconds> <name> <command ...>: its output, its time, and whether it failed
    local limit=$1 name=$2 start=$SECONDS code=0
    shift 2
    printf '== %s\n' "$name"
    timeout $((patience * limit)) "$@" 2>&1 | tee "$out/${name// /_}.log" || code=$?
    printf '== %s: %d s%s\n' "$name" $((SECONDS - start)) "$([[ $code == 0 ]] || echo ", failed ($code)")"
    ((code <= worst)) || worst=$code
}

part 60 "machine" python -c 'import torch; print(torch.__version__, torch.cuda.is_available() and torch.cuda.get_device_name(0) or "no CUDA device: needs CUDA")'
tests=(tests/core/compute tests/core/sampling tests/core/contact/test_deformation.py tests/core/generator
       tests/core/test_simulator.py tests/core/test_on_device.py)
if ((${#short[@]})); then tests=(tests/core/compute/test_graphs.py); fi
part 120 "tests" python -m pytest -q -k "cuda or gpu or on_device or meta" -rs -p no:cacheprovider "${tests[@]}"
part 180 "frames" python -m us_sim.bench.gpu_check --json "$out/frames.json" ${short[@]+"${short[@]}"}
names=(physics abdomen_lite abdomen)
seconds=10
if ((${#short[@]})); then names=(physics); seconds=3; fi
for name in "${names[@]}"; do
    given="generator:=$name"
    [[ $name != physics ]] || given="renderer:=physics"
    part 60 "round trip $name" python -m us_sim.bringup.round_trip --json --seconds "$seconds" "$given" device:=auto
done
config=(--config paper.yaml)
if ((${#short[@]})); then config=(--config smoke.yaml); fi
part 90 "training step" python scripts/train_step.py "${config[@]}" --json "$out/training.json"
printf 'reports in %s\n' "$out"
exit "$worst"
