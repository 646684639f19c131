#!/usr/bin/env bash
# Train with several processes on one machine or more, through torchrun.
#   tools/dist_train.sh CONFIG PROCESSES [options of tools/train.py]
# PROCESSES: per machine; as many as GPUs, or any number where there is no GPU (gloo is used then).
# Several machines: the same command on each, with NNODES=2 NODE_RANK=0|1 MASTER_ADDR=first.machine [PORT=29500].
# MAX_RESTARTS=N: torchrun starts failed processes again, N times; give --resume then. On several machines 3 with --resume.
# They meet by torchrun's c10d rendezvous; RDZV_ID tells runs apart that share the first machine and its port.
# Exit status 75: SIGTERM or SIGUSR1 ended the run with a checkpoint; start it again with --resume.
# PYTHON names the interpreter (default: the checkout's .venv, else python).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/launch_common.sh"

[ $# -ge 2 ] || usage
config=$1
processes=$2
shift 2
torchrun_script train.py "$config" "$@"
