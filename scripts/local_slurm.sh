#!/usr/bin/env bash
# Run a SLURM on the loopback of this machine, to try compute=slurm. Needs Debian's packages slurm-wlm and munge.
#
#   scripts/local_slurm.sh start [DIR]    start it; all its files are in DIR (default: a new temporary folder)
#   scripts/local_slurm.sh stop DIR       stop it and remove DIR
#
# It has one node of four processors, or NODES=2 of them; all nodes are this machine.
#
# `start` prints the line that a shell needs to use it: eval "$(scripts/local_slurm.sh start)".
# It shares nothing with another SLURM of the machine: it has its own key, sockets and ports, and stops only what it
# started. Partitions: work (the default), and urgent, whose jobs preempt those in work. A preempted job receives the
# signal that it asked for and is requeued.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

fail() {
  echo "local_slurm.sh: $1" >&2
  exit 1
}

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# Print the names of the nodes. The first in alphabetical order is the machine's name: processes look it up.
nodes() {
  hostname -s
  for number in $(seq 2 "${NODES:-1}"); do echo "$(hostname -s)-$number"; done
}

write_configuration() {
  local user host node
  user=$(id -un)
  host=$(hostname -s)
  cat > "$1/slurm.conf" <<CONF
ClusterName=local
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$(free_port)
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$1/munge.socket
CredType=cred/munge
StateSaveLocation=$1/state
SlurmdSpoolDir=$1/spool.%n
SlurmctldPidFile=$1/slurmctld.pid
SlurmdPidFile=$1/slurmd.%n.pid
SlurmctldLogFile=$1/slurmctld.log
SlurmdLogFile=$1/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
ReturnToService=2
KillWait=5
SlurmdParameters=config_overrides
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
PartitionName=work Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=60
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=2 PreemptMode=OFF
CONF
  for node in $(nodes); do
    # NodeHostname must be unique.
    echo "NodeName=$node NodeHostname=$node NodeAddr=127.0.0.1 Port=$(free_port) CPUs=4 RealMemory=64000 State=UNKNOWN"
  done >> "$1/slurm.conf"
}

start() {
  local dir=$1 program node
  for program in munged slurmctld slurmd sbatch; do
    command -v "$program" > /dev/null || fail "$program is missing: apt-get install slurm-wlm munge"
  done
  chmod 755 "$dir"
  mkdir -p "$dir/state"
  (umask 077 && head -c 128 /dev/urandom > "$dir/munge.key")
  munged --force --key-file "$dir/munge.key" --socket "$dir/munge.socket" --pid-file "$dir/munged.pid" \
    --log-file "$dir/munged.log" --seed-file "$dir/munge.seed" > /dev/null 2>&1 || fail "munged: see $dir/munged.log"
  write_configuration "$dir"
  export SLURM_CONF=$dir/slurm.conf
  slurmctld -i -f "$SLURM_CONF" > "$dir/start.log" 2>&1 || fail "slurmctld: see $dir/slurmctld.log"
  for node in $(nodes); do
    mkdir -p "$dir/spool.$node"
    slurmd -N "$node" -f "$SLURM_CONF" >> "$dir/start.log" 2>&1 || fail "slurmd: see $dir/slurmd.$node.log"
  done
  for _ in $(seq 120); do
    if [ "$(sinfo --noheader --partition=work --states=idle --format=%D 2> /dev/null)" = "${NODES:-1}" ]; then
      echo "export SLURM_CONF=$SLURM_CONF"
      return
    fi
    sleep 0.5
  done
  fail "the nodes do not start: see $dir/slurmctld.log and $dir/slurmd.*.log"
}

stop() {
  local dir=$1 file name pid
  [ -f "$dir/slurm.conf" ] || fail "$dir was not made by start"
  SLURM_CONF=$dir/slurm.conf timeout 10 scancel --user "$(id -un)" 2> /dev/null || true
  for file in "$dir"/slurmd.*.pid "$dir/slurmctld.pid" "$dir/munged.pid"; do
    [ -s "$file" ] || continue
    pid=$(cat "$file")
    name=$(basename "$file")
    # Another process may have the number by now.
    grep -qs "^${name%%.*}$" "/proc/$pid/comm" || continue
    kill "$pid"
    for _ in $(seq 80); do
      kill -0 "$pid" 2> /dev/null || continue 2
      sleep 0.25
    done
    kill -KILL "$pid"
  done
  rm -rf "$dir"
}

case ${1:-} in
  start)
    folder=${2:-$(mktemp -d)}
    mkdir -p "$folder"
    start "$(cd "$folder" && pwd)"
    ;;
  stop) stop "$(cd "${2:?add the folder that start used}" && pwd)" ;;
  *) fail "use start [DIR] or stop DIR" ;;
esac
