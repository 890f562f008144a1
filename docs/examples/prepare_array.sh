#!/bin/sh
# Slices of all scans by an array of eight jobs; a job that is run again skips what is done.
#   sbatch docs/examples/prepare_array.sh AbdomenCT-1K/images AbdomenCT-1K/masks SLICES
#SBATCH --job-name=prepare
#SBATCH --array=1-8
#SBATCH --cpus-per-task=4
set -eu
usage='usage: prepare_array.sh IMAGES LABELS SLICES'
exec python -m scyclegan_train prepare "${1:?$usage}" --labels "${2:?$usage}" --config paper.yaml --out "${3:?$usage}" \
    --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" --workers 4
