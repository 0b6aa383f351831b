#!/bin/bash
# Train on 2 machines of 8 GPUs:  sbatch docs/slurm_2x8.sh RECIPE DATA [further options of tinkit train]
# Five minutes before its time is up the job saves, goes back into the queue, and goes on when its turn comes.
# What to change and why: docs/cluster.md.
#SBATCH --job-name=tinkit
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
set -u

recipe=$1 data=$2
shift 2
here=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
port=$((20000 + SLURM_JOB_ID % 10000))       # another one for each job that may share a machine
export OMP_NUM_THREADS=1                     # the processors are for the data workers
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=240    # seconds to save in, of the 300 above
export TORCH_CPP_LOG_LEVEL=ERROR

srun torchrun \
  --nnodes="$SLURM_JOB_NUM_NODES" --nproc-per-node="$SLURM_GPUS_ON_NODE" \
  --rdzv-backend=c10d --rdzv-endpoint="$here:$port" --rdzv-id="$SLURM_JOB_ID" \
  --max-restarts=3 --signals-to-handle=SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1 \
  -m tinkit train "$recipe" --data "$data" --auto-resume "$@" &
step=$!

requeue=no
trap 'requeue=yes; kill -USR1 "$step"' USR1
trap 'kill -TERM "$step"' TERM
while wait "$step"; code=$?; kill -0 "$step" 2>/dev/null; do :; done    # a signal ends a wait, not the step

if [ "$requeue" = yes ]; then
  scontrol requeue "$SLURM_JOB_ID"
  exit 75
fi
exit "$code"
