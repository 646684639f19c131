#!/usr/bin/env bash
# Test a checkpoint with several processes on one machine or more, through torchrun.
#   tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [options of tools/test.py]
# The variables are those of tools/dist_train.sh.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/launch_common.sh"

[ $# -ge 3 ] || usage
config=$1
checkpoint=$2
processes=$3
shift 3
torchrun_script test.py "$config" "$checkpoint" "$@"
