#!/usr/bin/env bash
# Stop the private SLURM of a directory, jobs first, by its pid files alone: stop_slurm.sh DIRECTORY
directory=${1:?give the directory of the cluster}
export SLURM_CONF="$directory/slurm.conf"

# Jobs outlive their slurmd, so they must be gone before it is.
timeout 5 scancel --quiet --user="$(id -un)" 2>/dev/null
for _ in $(seq 100); do
  [ -z "$(timeout 3 squeue --noheader 2>/dev/null)" ] && break
  sleep 0.1
done

# All who use munge at once, because each takes its seconds to end; then munge.
stop() {
  local name pid pids=()
  for name in "$@"; do
    [ -f "$directory/run/$name.pid" ] || continue
    pid=$(cat "$directory/run/$name.pid")
    kill "$pid" 2>/dev/null && pids+=("$pid")
  done
  for pid in "${pids[@]}"; do
    for _ in $(seq 150); do
      kill -0 "$pid" 2>/dev/null || continue 2
      sleep 0.1
    done
    echo "process $pid of the cluster in $directory does not end" >&2
    return 1
  done
}
stop slurmd slurmctld && stop munged
