#!/bin/bash
# A training on machines that may be taken away: started by every machine at boot, it goes on where the last one saved.
#
#     spot_vm.sh DATA SESSION [OPTIONS OF `mlsession train`...]
#
# Run it as the start-up script of an instance (cloud-init, a systemd unit) whose group replaces instances that go. Keep
# SESSION and DATA in a bucket; the instance's role reaches it. On notice (AWS: two minutes, Google Cloud: thirty
# seconds) the training saves and ends; without any, it costs what came after the last checkpoint.
#
# Exit codes are those of `mlsession train`: 0 finished, 75 stopped and resumable, 1 and 2 errors that no restart cures.

set -u
data=$1 session=$2
shift 2
aws=http://169.254.169.254/latest google=http://metadata.google.internal/computeMetadata/v1

# Whether this machine is about to be taken away. Elsewhere nobody answers.
going() {
    local token
    token=$(curl -sf -m 2 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$aws/api/token") &&
        curl -sf -m 2 -o /dev/null -H "X-aws-ec2-metadata-token: $token" "$aws/meta-data/spot/instance-action" && return
    [ "$(curl -sf -m 2 -H 'Metadata-Flavor: Google' "$google/instance/preempted")" = TRUE ]
}

code=75 asked=0 training=
trap 'asked=1; kill -s TERM $training 2>/dev/null' TERM INT
while [ "$code" = 75 ] && [ "$asked" = 0 ]; do
    mlsession train "$data" --session "$session" --devices auto "$@" &
    training=$!
    while kill -0 "$training" 2>/dev/null && [ "$asked" = 0 ]; do
        if going; then
            asked=1
            kill -s USR1 "$training"
        fi
        sleep "${POLL_SECONDS:-5}" &
        wait $!
    done
    wait "$training"
    code=$?
    # A second signal ends `wait` while the training still saves.
    while kill -0 "$training" 2>/dev/null; do
        wait "$training"
        code=$?
    done
    # What ends so again and again, such as a worker that runs out of memory, must not do it without a pause.
    if [ "$code" = 75 ] && [ "$asked" = 0 ]; then
        training=
        sleep "${PAUSE_SECONDS:-30}" &
        wait $! # A signal ends it.
        kill $! 2>/dev/null
    fi
done
exit "$code"
