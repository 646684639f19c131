# Sourced by the launch scripts, not run: the interpreter, and torchrun with the variables that users know.
tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$tools")
if [ -z "${PYTHON:-}" ]; then
    if [ -x "$root/.venv/bin/python" ]; then PYTHON=$root/.venv/bin/python; else PYTHON=python; fi
fi
# The checkout's own package, also where it is not installed.
if [ -d "$root/mmimg2vec" ]; then export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"; fi

usage() { # prints the comment at the head of the script that was started
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

has_gpu() { # without importing torch, which takes seconds
    case "${CUDA_VISIBLE_DEVICES-unset}" in '' | -1) return 1 ;; esac
    command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q GPU
}

free_port() {
    "$PYTHON" -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])'
}

torchrun_script() { # SCRIPT ARGUMENTS...; reads $processes
    local script=$1
    shift
    case "$processes" in '' | *[!0-9]* | 0) echo "PROCESSES is a number from 1, not \"$processes\"" >&2; exit 2 ;; esac
    local nodes=${NNODES:-1}
    local rendezvous=(--master-addr="${MASTER_ADDR:-127.0.0.1}" --node-rank="${NODE_RANK:-0}")
    local restarts=${MAX_RESTARTS:-0}
    if [ "$nodes" -gt 1 ]; then
        # All machines have to name the same address and port. One that fails makes all of them meet again, which the
        # static rendezvous of a single machine cannot.
        : "${MASTER_ADDR:?MASTER_ADDR must name the first machine when NNODES is above 1}"
        : "${NODE_RANK:?NODE_RANK must number this machine, from 0, when NNODES is above 1}"
        local host=0
        if [ "$NODE_RANK" -eq 0 ]; then host=1; fi
        rendezvous=(
            --rdzv-backend=c10d
            --rdzv-endpoint="$MASTER_ADDR:${PORT:-29500}"
            --rdzv-id="${RDZV_ID:-mmimg2vec}"
            --rdzv-conf="is_host=$host"
        )
        # What was started again without --resume would be refused, for its folder holds a run.
        case " $* " in *" --resume "*) restarts=${MAX_RESTARTS:-3} ;; esac
    else
        rendezvous+=(--master-port="${PORT:-$(free_port)}")
    fi
    if ! has_gpu; then
        # torchrun's own default is 1 thread; share the cores out instead.
        local threads=$(($(nproc) / processes))
        export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((threads > 0 ? threads : 1))}
    fi
    # torchrun has an exit status of its own; the run says by this file that it was asked to stop and left a checkpoint.
    MMIMG2VEC_PREEMPTED=$(mktemp -u)
    export MMIMG2VEC_PREEMPTED
    # torchrun passes these signals on; by itself SIGUSR1 would end it and leave its processes behind.
    export PET_SIGNALS_TO_HANDLE=${PET_SIGNALS_TO_HANDLE:-SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1}
    "$PYTHON" -m torch.distributed.run \
        --nnodes="$nodes" \
        --nproc-per-node="$processes" \
        "${rendezvous[@]}" \
        --max-restarts="$restarts" \
        "$tools/$script" "$@" --launcher pytorch &
    local child=$! status=0
    trap 'kill -TERM "$child" 2>/dev/null' TERM INT
    trap 'kill -USR1 "$child" 2>/dev/null' USR1
    # A signal ends the first wait; the status is that of the last.
    while kill -0 "$child" 2>/dev/null; do
        status=0
        wait "$child" || status=$?
    done
    if [ -e "$MMIMG2VEC_PREEMPTED" ]; then
        rm -f "$MMIMG2VEC_PREEMPTED"
        status=75
    fi
    exit "$status"
}
