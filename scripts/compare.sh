#!/bin/sh
# Train S-CycleGAN, CycleGAN and our variant for as many steps on the same data, with several seeds, and compare them
# and the physics renderer in one report. Small on purpose: 400 steps each, half an hour or so on two cores.
#   US_SIM_DATA=<folder of us_liver_sweep> scripts/compare.sh OUT [seed ...]
set -eu
out=${1:?usage: compare.sh OUT [seed ...]}
shift
[ $# -gt 0 ] || set -- 0 1 2

small='--set generator.width=0.25 --set method.critic_width=0.25 --set method.segmenter_width=0.25
       --set schedule.epoch=40 --set schedule.batch=1 --set loop.precision=bf16 --set loop.checkpoint_every=200
       --set loop.panel_every=200 --set loop.keep=1 --set loop.validate_every=0'
square="--set generator.pixels=96 --set generator.probe=c5_2"
phantoms='repeat: 4, samples: 128, at_once: 6'
sweep='{kind: frames, path: "${US_SIM_DATA}/us_liver_sweep/frames", frames: [0, 102]}'
ct="data.ct=[{kind: phantoms, seeds: [0, 100], $phantoms}, {kind: phantoms, seeds: [0, 100], $phantoms, liver_view: true}]"
us="data.us=[{kind: phantoms, seeds: [1000, 1100], $phantoms}, $sweep]"

run() {  # name, seed, then the config and what differs from it
    name=$1-$2 seed=$2
    shift 2
    [ -e "$out/$name.safetensors" ] && return
    folder=$out/runs/$name
    if [ -d "$folder/checkpoints" ]; then
        python -m scyclegan_train train --resume "$folder"
    else
        python -m scyclegan_train train --out "$folder" "$@" --set "$ct" --set "$us" --set loop.seed="$seed"
    fi
    python -m scyclegan_train export "$folder" "$out/$name.safetensors" --half
}

mkdir -p "$out"
for seed in "$@"; do  # ten times schedule.epoch steps each
    run s-cyclegan "$seed" --config paper.yaml $small $square \
        --set schedule.pretrain=2 --set schedule.constant=4 --set schedule.decay=4
    run cyclegan "$seed" --config cyclegan.yaml $small $square --set schedule.constant=5 --set schedule.decay=5
    run ours "$seed" --config narrow.yaml $small --set generator.scan_lines=64 --set generator.samples=144 \
        --set schedule.pretrain=2 --set schedule.warm_up=3 --set schedule.constant=3 --set schedule.decay=2
done
python -m scyclegan_train evaluate $(printf -- '--generator %s ' "$out"/*.safetensors) --out "$out/report" \
    --frames "$US_SIM_DATA/us_liver_sweep/frames"
