#!/bin/sh
# A run on two machines with four GPUs each; resubmitted, or requeued by Slurm, it goes on.
#   sbatch docs/examples/train_slurm.sh paper.yaml RUN
#SBATCH --job-name=scyclegan
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --signal=TERM@120
#SBATCH --requeue
set -eu
config=${1:?usage: train_slurm.sh CONFIG RUN} run=${2:?usage: train_slurm.sh CONFIG RUN}
[ -d "$run/checkpoints" ] && what="--resume $run" || what="--config $config --out $run"
MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
MASTER_PORT=$((15000 + SLURM_JOB_ID % 20000))
export MASTER_ADDR MASTER_PORT
exec srun --kill-on-bad-exit=1 python -m scyclegan_train train $what
