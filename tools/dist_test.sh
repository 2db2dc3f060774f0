#!/usr/bin/env bash
# Run tools/test.py on several GPUs of one or more machines with torchrun.
#   bash tools/dist_test.sh CONFIG CHECKPOINT GPUS [flags of tools/test.py]
# Several machines: NNODES=2 NODE_RANK=0 MASTER_ADDR=<first machine> on each (NODE_RANK=1 on the second, ...).
set -euo pipefail
if [ $# -lt 3 ]; then sed -n '2,4p' "$0"; exit 2; fi
CONFIG=$1; CHECKPOINT=$2; GPUS=$3
shift 3
exec python -m leopart_mm.cli.launch --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" --nproc_per_node="$GPUS" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    "$(dirname "$0")/test.py" "$CONFIG" "$CHECKPOINT" --launcher pytorch "$@"
