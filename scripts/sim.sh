#!/usr/bin/env bash
# Starts the simulator in the workspace's environment: scripts/sim.sh [name:=value ...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ $(<.venv/ros) != wheels ]]; then
    . ./env.sh
    exec ros2 launch us_sim sim.launch.py "$@"
fi

# Without ros2: in a session of its own, which Ctrl-C does not reach, and stopped with SIGTERM. Interrupted at any
# moment, even while Python is starting, it ends without a traceback. Killed by -9, this script takes it along.
child=
stopped=
stop() {
    stopped=yes
    [[ -z $child ]] || kill -TERM "$child" 2>/dev/null || true
}
trap stop INT TERM HUP

US_SIM_PARENT=$$ setsid bash -c '. ./env.sh && exec python -m us_sim.bringup.sim "$@"' sim "$@" &
child=$!
[[ -z $stopped ]] || stop
while kill -0 "$child" 2>/dev/null; do
    wait "$child" || true   # also returns when a signal comes
done
code=0
wait "$child" || code=$?
[[ -z $stopped ]] || code=0
exit "$code"
