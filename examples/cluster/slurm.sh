#!/bin/bash
# A training on the GPUs of several nodes that outlives its SLURM job: saved before the limit, and put back into the queue.
#
#     sbatch examples/cluster/slurm.sh DATA SESSION [OPTIONS OF `mlsession train`...]
#
#SBATCH --job-name=mlsession
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=32
#SBATCH --time=04:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#
# One task for each node: torchrun's launcher, which starts a worker for each GPU, and all of them again if one dies.
# For one node `examples/slurm_requeue.sh DATA SESSION --devices auto` is all it takes.
#
# --signal=B:USR1@120   120 seconds before the limit this script gets SIGUSR1. The workers are sent SIGTERM, since the
#                       launcher would die of SIGUSR1; they save at the next safe point and end.
# --requeue             SLURM itself puts the job back when a node fails or a job of higher priority needs it.
#
# What is about the attempt and not about the model is told to the workers, as the session does not keep it:
#
#     WORKER_OPTIONS="--strategy fsdp --keep-last 2" sbatch examples/cluster/slurm.sh ...
#
# Keep SESSION where all nodes see it: a shared folder, or a bucket such as s3://bucket/sessions/animals. Credentials
# come from the environment (AWS_PROFILE, FSSPEC_S3_KEY, ...), which srun hands on.

set -u
data=$1 session=$2
shift 2

# Makes the session, or looks that it fits; the workers find in it all that they need.
mlsession train "$data" --session "$session" "$@" --create-only || exit

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
srun --kill-on-bad-exit=0 torchrun --nnodes="$SLURM_NNODES" --nproc-per-node=gpu --max-restarts=3 \
    --rdzv-backend=c10d --rdzv-id="$SLURM_JOB_ID" --rdzv-endpoint="$head:29500" \
    -m mlsession worker "$session" ${WORKER_OPTIONS-} &
step=$!

# To the tasks of the first step, which is that one: srun itself would end it without waiting.
heard=1 warned=0
trap 'heard=1 warned=1; scancel --signal=TERM "$SLURM_JOB_ID.0"' USR1
trap 'heard=1; scancel --signal=TERM "$SLURM_JOB_ID.0"' TERM

# In the background: bash heeds a signal only between two commands, but at once while it waits.
while [ "$heard" = 1 ]; do
    heard=0
    wait "$step"
done

# What counts is what the session says: to their launcher, workers that have saved and stopped have done what they should.
case $(mlsession status "$session" --json | grep -o '"status": *"[a-z]*"' | head -n 1) in
    *finished*) exit 0 ;;
    *interrupted* | *paused* | *running*) code=75 ;; # Running: it ended without a word, a moment ago.
    *) code=1 ;;
esac
[ "$warned" = 1 ] && [ "$code" = 75 ] && scontrol requeue "$SLURM_JOB_ID"
exit "$code"
