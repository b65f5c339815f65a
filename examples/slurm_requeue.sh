#!/bin/bash
# A training that outlives its SLURM job: saved before the time limit, put back into the queue until it is done.
#
#     sbatch examples/slurm_requeue.sh DATA SESSION [OPTIONS OF `mlsession train`...]
#
#SBATCH --job-name=mlsession
#SBATCH --time=04:00:00
#SBATCH --signal=B:USR1@90
#SBATCH --requeue
#SBATCH --open-mode=append
#
# --signal=B:USR1@90   90 seconds before the limit this script (B:, not only the job's steps) gets SIGUSR1, and hands it
#                      on. `mlsession` saves at the next safe point and ends with exit code 75; it takes 25 seconds for
#                      that at most, and where the store hangs, what was saved before counts.
# --requeue            SLURM itself puts the job back when a node fails or a job of higher priority needs it (SIGTERM,
#                      also handed on). A node that dies without a word costs what came after the last checkpoint.
# --open-mode=append   one log for all attempts.
#
# The same line each time: it starts, goes on, or returns at once. Keep SESSION where all nodes see it: a shared folder,
# or a bucket such as s3://bucket/sessions/animals.

set -u
data=$1 session=$2
shift 2

# In the background: bash heeds a signal only between two commands, but at once while it waits.
mlsession train "$data" --session "$session" "$@" &
training=$!
heard=1 cancelled=0
trap 'heard=1; kill -s USR1 "$training"' USR1
trap 'heard=1 cancelled=1; kill -s TERM "$training"' TERM

# A signal ends `wait`, and the training may still be saving; 127 says that its code was given before.
while [ "$heard" = 1 ]; do
    heard=0
    wait "$training"
    ended=$?
    [ "$ended" = 127 ] || code=$ended
done

# 75: saved, and there is more to do; 138: the warning came before Python had begun. After SIGTERM it is not ours to
# say: SLURM puts back what was preempted, and not what `scancel` was meant to end.
if [ "$cancelled" = 0 ] && { [ "$code" = 75 ] || [ "$code" = 138 ]; }; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
