#!/bin/bash
# One sweep on a Slurm cluster: Ray on all nodes of the allocation, the sweep on the first, everything ended with it.
#
#   sbatch --nodes=4 sweeps/clusters/slurm.sh methods --set base.train.gpus_per_worker=1 --set base.train.loader_workers=7
#   wsshm sweep status /shared/$USER/methods
#
# OUT (default below) has to lie on a file system that all nodes mount. Submit again, or let Slurm requeue it, and the
# sweep goes on where it stopped. Before: put your partition and account here, and what activates your environment there.
#SBATCH --job-name=wsshm
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=32
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --output=%x-%j.log
set -euo pipefail

PLAN=${1:?usage: sbatch slurm.sh PLAN [options of wsshm sweep run]}
shift
OUT=${OUT:-/shared/$USER/$(basename "$PLAN" .yaml)}
# --- here: module load ..., or your environment:
if [[ -n ${VENV:-} ]]; then source "$VENV/bin/activate"; fi

PORT=${PORT:-$((20000 + SLURM_JOB_ID % 5000 * 4))}  # two jobs may meet on a node that is not exclusive
NODES=${SLURM_JOB_NUM_NODES:-$SLURM_NNODES}
CPUS=${SLURM_CPUS_PER_TASK:-1}
GPUS=${SLURM_GPUS_ON_NODE:-0}
TEMPORARY=${RAY_TMPDIR:-/tmp}/ray-$SLURM_JOB_ID  # on each node's own disk; short, because sockets lie in it
HEAD=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
HEAD=${HEAD%%$'\n'*}
HEAD_IP=$(python -c 'import ray.util; print(ray.util.get_node_ip_address())')  # this script runs on the first node

# Every user of the cluster could else send code to this Ray: a token of this job's own, in the environment of its steps.
RAY_AUTH_TOKEN=${RAY_AUTH_TOKEN:-$(python -c 'import secrets; print(secrets.token_hex(32))')}
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN
export SRUN_CPUS_PER_TASK=$CPUS  # Slurm's steps do not inherit it
unset RAY_ADDRESS

stop() {  # all that this script started; what does not listen, Slurm ends with the job
    trap '' TERM
    kill 0
    for _ in {1..20}; do
        [[ -n $(jobs -r) ]] || return 0
        sleep 1
    done
}
trap stop EXIT
trap 'exit 143' TERM INT

# Symmetric: each node, the head too, gives all its CPUs and GPUs. Ray gives up where a node takes longer than 30 s to come
# up, as with an environment on a busy file system: hence three tries.
ray_node=(bash -c 'for _ in 1 2 3; do "$@" && exit; sleep 5; done; exit 1' -
    ray start --block --num-cpus="$CPUS" --num-gpus="$GPUS" --object-store-memory="${STORE:-2000000000}" --disable-usage-stats)
srun --nodes=1 --ntasks=1 --nodelist="$HEAD" --overlap \
    "${ray_node[@]}" --head --node-ip-address="$HEAD_IP" --port="$PORT" --temp-dir="$TEMPORARY" \
    --ray-client-server-port="$((PORT + 1))" --dashboard-agent-listen-port="$((PORT + 2))" \
    --dashboard-port="$((PORT + 3))" &
head_step=$!
until ray health-check --address "$HEAD_IP:$PORT" >/dev/null 2>&1; do
    kill -0 "$head_step"  # else the head did not start: this ends the script
    sleep 2
done
if ((NODES > 1)); then
    srun --nodes="$((NODES - 1))" --ntasks="$((NODES - 1))" --exclude="$HEAD" --overlap \
        "${ray_node[@]}" --address="$HEAD_IP:$PORT" &
fi

export RAY_ADDRESS=$HEAD_IP:$PORT

run() {  # in the background, so that a signal is heard at once; where the head ends first, so does this
    python -m sweeps "$@" &
    kill -0 "$head_step"
    wait -n "$head_step" $!
}
run preflight --out "$OUT" --nodes "$NODES"
run run "$PLAN" --out "$OUT" "$@"
