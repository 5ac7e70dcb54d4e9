#!/usr/bin/env bash
# Start a private one-node SLURM on loopback, with no systemd, cgroups or database: start_slurm.sh DIRECTORY
#
# Key, sockets, state and logs are in DIRECTORY (an absolute path, short enough for a socket below it), so a cluster of
# the machine is neither needed nor disturbed. Needs root. Does nothing on a running cluster. Prints
# `export SLURM_CONF=...` when the node is idle.
#
# Partitions: a job of `high` preempts those of the others, which are requeued.
#   debug   the default: SIGTERM, SIGKILL 2 s later, requeued however the job ends. About 2 s.
#   grace   SIGTERM, then time of its own in which a job that exits is finished and not requeued. The controller looks
#           for expired grace only now and then: up to 30 s.
#   high    never preempted.
#
#   SLURM_TEST_CPUS            CPUs of the node, whatever the machine has (2)
#   SLURM_TEST_GPUS            fake GPUs of the node (2)
#   SLURM_TEST_CTLD_PORT, SLURM_TEST_D_PORT   loopback ports (free ones, chosen at the first start)
set -euo pipefail

directory=${1:?give the directory of the cluster}
cpus=${SLURM_TEST_CPUS:-2}
gpus=${SLURM_TEST_GPUS:-2}
export PATH=$PATH:/usr/sbin:/sbin
host=$(hostname -s)

# The daemons are children of this script: none may keep a pipe of the caller's open.
daemon() { "$@" </dev/null >>"$directory/log/start.log" 2>&1; }

alive() { [ -f "$directory/run/$1.pid" ] && kill -0 "$(cat "$directory/run/$1.pid")" 2>/dev/null; }

# Below the range from which the kernel serves outgoing connections, so that a port found free is not taken by one.
free_ports() {
  python3 - <<'PYTHON'
import random
import socket

held = []
for port in random.SystemRandom().sample(range(20000, 32000), 200):
    listener = socket.socket()
    try:
        listener.bind(("127.0.0.1", port))
    except OSError:
        continue
    held.append(listener)
    print(port)
    if len(held) == 2:
        break
PYTHON
}

mkdir -p "$directory"/{state,spool,log,run,devices}
chmod 755 "$directory" "$directory"/{state,spool,log,run,devices}

if [ ! -f "$directory/munge.key" ]; then
  (umask 377 && head -c 128 /dev/urandom >"$directory/munge.key")
fi
if ! alive munged; then
  daemon munged --force --socket="$directory/run/munge.socket" --key-file="$directory/munge.key" \
    --pid-file="$directory/run/munged.pid" --log-file="$directory/log/munged.log" \
    --seed-file="$directory/run/munged.seed" --num-threads=2
fi

if [ ! -f "$directory/slurm.conf" ]; then
  { read -r free_one && read -r free_two; } < <(free_ports)
  gres_types="" node_gres=""
  : >"$directory/gres.conf"
  : >"$directory/plugstack.conf"
  if [ "$gpus" -gt 0 ]; then
    # A GPU must name a device file: these are further nodes of /dev/null.
    for gpu in $(seq 0 $((gpus - 1))); do mknod "$directory/devices/gpu$gpu" c 1 3; done
    echo "NodeName=$host Name=gpu File=$directory/devices/gpu[0-$((gpus - 1))]" >"$directory/gres.conf"
    gres_types="GresTypes=gpu" node_gres="Gres=gpu:$gpus"
  fi
  cat >"$directory/slurm.conf.new" <<CONFIGURATION
ClusterName=windtunnel-test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${SLURM_TEST_CTLD_PORT:-$free_one}
SlurmdPort=${SLURM_TEST_D_PORT:-$free_two}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$directory/run/munge.socket
StateSaveLocation=$directory/state
SlurmdSpoolDir=$directory/spool
SlurmctldPidFile=$directory/run/slurmctld.pid
SlurmdPidFile=$directory/run/slurmd.pid
SlurmctldLogFile=$directory/log/slurmctld.log
SlurmdLogFile=$directory/log/slurmd.log
PlugStackConfig=$directory/plugstack.conf
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
# The node has the CPUs and memory written here even where the machine has less. Memory is accepted but not enforced.
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
# Quick decisions: tests wait for them.
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_min_interval=50000,batch_sched_delay=0,sched_interval=1
KillWait=2
InactiveLimit=0
Waittime=0
# Without an accounting database scontrol remembers a finished job for MinJobAge seconds.
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MinJobAge=3600
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
$gres_types
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cpus RealMemory=16000 $node_gres State=UNKNOWN
PartitionName=debug Nodes=$host Default=YES MaxTime=60 State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=0
PartitionName=grace Nodes=$host MaxTime=60 State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=2
PartitionName=high Nodes=$host MaxTime=60 State=UP PriorityTier=10 PreemptMode=OFF
CONFIGURATION
  mv "$directory/slurm.conf.new" "$directory/slurm.conf"
fi

export SLURM_CONF="$directory/slurm.conf"
alive slurmctld || daemon slurmctld -c -f "$SLURM_CONF"
alive slurmd || daemon slurmd -N "$host" -f "$SLURM_CONF"
for _ in $(seq 150); do
  if [ "$(timeout 3 sinfo --noheader --partition=debug --format=%t 2>/dev/null)" = idle ]; then
    echo "export SLURM_CONF=$SLURM_CONF"
    exit 0
  fi
  sleep 0.1
done
echo "slurm did not come up in 15 s" >&2
tail -n 20 "$directory"/log/*.log >&2
exit 1
