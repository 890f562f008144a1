#!/bin/sh
# One command a machine; HOSTS machines with GPUS GPUs each, the first of them FIRST; all see the folder RUN.
#   HOSTS=2 GPUS=4 FIRST=node1 NODE_RANK=0 docs/examples/torchrun.sh paper.yaml RUN     (NODE_RANK=1 on the second)
set -eu
config=${1:?usage: torchrun.sh CONFIG RUN} run=${2:?usage: torchrun.sh CONFIG RUN}
[ -d "$run/checkpoints" ] && what="--resume $run" || what="--config $config --out $run"
exec torchrun --nnodes "$HOSTS" --nproc-per-node "$GPUS" --node-rank "$NODE_RANK" \
    --master-addr "$FIRST" --master-port "${MASTER_PORT:-29500}" -m scyclegan_train train $what
