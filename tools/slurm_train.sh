#!/usr/bin/env bash
# Train on a Slurm cluster.
#   tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [options of tools/train.py]
# GPUS (in all, default 8), GPUS_PER_NODE (8, or GPUS where fewer), CPUS_PER_TASK (5) and SRUN_ARGS shape the job.
# A job that Slurm stopped goes on where it was: the same command with --resume.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/launch_common.sh"

[ $# -ge 4 ] || usage
partition=$1
job_name=$2
config=$3
work_dir=$4
shift 4
gpus=${GPUS:-8}
per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}

# A random port, so that two jobs on one node rarely meet.
export MASTER_PORT=${MASTER_PORT:-$((20000 + RANDOM % 10000))}
# SRUN_ARGS holds several words on purpose.
# shellcheck disable=SC2086
exec srun \
    --partition="$partition" \
    --job-name="$job_name" \
    --gres="gpu:$per_node" \
    --ntasks="$gpus" \
    --ntasks-per-node="$per_node" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} \
    "$PYTHON" -u "$tools/train.py" "$config" --work-dir "$work_dir" --launcher slurm "$@"
