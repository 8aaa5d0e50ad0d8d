"""A real SLURM of one node, all of it on loopback and in one folder; stopped with everything that it started.

Several may run at once. Where the process that started one dies, `python slurm_cluster.py FOLDER` ends what it started.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo")
ACCOUNTING = ("slurmdbd", "sacct", "sacctmgr", "mariadbd", "mariadb", "mariadb-install-db", "mariadb-admin")

_CONF = """
ClusterName=tests
SlurmctldHost={node}(127.0.0.1)
SlurmctldPort={ctld_port}
SlurmdPort={slurmd_port}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
# a requeued job waits for about cred_expire seconds; below 5 it is not taken, and 120 are waited
AuthInfo=socket={folder}/munge.sock,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/ctld
SlurmdSpoolDir={folder}/slurmd
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SwitchType=switch/none
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,sched_min_interval=0,batch_sched_delay=0,default_queue_depth=500
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
ReturnToService=2
KillWait=2
MinJobAge={remembered}
JobRequeue=1
AccountingStorageType={storage}
AccountingStorageHost=127.0.0.1
AccountingStoragePort={dbd_port}
AccountingStoragePass={folder}/munge.sock
SlurmdParameters=config_overrides
NodeName={node} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=4096 State=UNKNOWN Features=tiny
PartitionName=main Nodes={node} Default=YES MaxTime=INFINITE PriorityTier=1 GraceTime=60 State=UP
PartitionName=urgent Nodes={node} PriorityTier=2 PreemptMode=OFF MaxTime=INFINITE State=UP
"""

_DBD = """
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={dbd_port}
SlurmUser={user}
PidFile={folder}/slurmdbd.pid
LogFile={folder}/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={db_port}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm
"""


def find(program: str) -> str:
    """Path of a program; daemons often lie outside a user's PATH."""
    path = shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))
    if path is None:
        raise FileNotFoundError(f"{program} is not installed")
    return path


class Cluster:
    """Starts on entering, stops on leaving."""

    def __init__(self, folder: Path, *, accounting: bool, cpus: int = 4, remembered: int = 300) -> None:
        self.folder, self.accounting = folder, accounting
        ports = dict(zip(("ctld_port", "slurmd_port", "dbd_port", "db_port"), _free_ports(4), strict=True))
        self._names: dict[str, object] = {
            "folder": folder,
            "node": socket.gethostname().split(".")[0],
            "user": getpass.getuser(),
            "storage": "accounting_storage/slurmdbd" if accounting else "accounting_storage/none",
            "cpus": cpus,
            "remembered": remembered,
            **ports,
        }
        self.environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}
        self._database: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Cluster:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def run(self, *words: str, **more: str) -> str:
        """Run a program against this cluster, with `more` in its environment; returns what it says."""
        environment = self.environment | more
        done = subprocess.run(
            [find(words[0]), *words[1:]], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def _start(self) -> None:
        for name in ("ctld", "slurmd"):
            (self.folder / name).mkdir(parents=True)
        guard = [sys.executable, "-S", __file__, str(self.folder)]
        self._guard = subprocess.Popen(guard, stdin=subprocess.PIPE, start_new_session=True)
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        files = {"key-file": "key", "socket": "sock", "log-file": "log", "seed-file": "seed"}
        munge = [f"--{option}={self.folder}/munge.{end}" for option, end in files.items()]
        self.run("munged", "--force", *munge, f"--pid-file={self.folder}/munged.pid")
        (self.folder / "slurm.conf").write_text(_CONF.format(**self._names))
        # loaded even where no cgroup is used; version 1 is the one that starts everywhere
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        if self.accounting:
            self._start_accounting()
        self.run("slurmctld", "-f", str(self.folder / "slurm.conf"))
        self.run("slurmd", "-f", str(self.folder / "slurm.conf"))
        self._until(lambda: "idle" in self.run("sinfo", "-h", "-o", "%T"))

    def _start_accounting(self) -> None:
        data, sock = self.folder / "database", self.folder / "database.sock"
        me = f"--user={self._names['user']}"
        # a server that starts deletes the temporary tables that it finds, those of another cluster's server as well
        own = {"TMPDIR": str(self.folder / "tmp")}
        (self.folder / "tmp").mkdir()
        install = ("--no-defaults", me, f"--datadir={data}", "--skip-test-db")
        self.run("mariadb-install-db", *install, "--auth-root-authentication-method=normal", **own)
        words = [find("mariadbd"), "--no-defaults", me, f"--datadir={data}", f"--socket={sock}"]
        words += ["--bind-address=127.0.0.1", f"--port={self._names['db_port']}", "--innodb-lock-wait-timeout=900"]
        with (self.folder / "database.log").open("wb") as log:
            self._database = subprocess.Popen(
                words, env=self.environment | own, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        client = ("--no-defaults", f"--socket={sock}", "--user=root")
        self._until(lambda: self.run("mariadb-admin", *client, "ping"))
        sql = "create database slurm; create user slurm@127.0.0.1 identified by 'slurm'; "
        self.run("mariadb", *client, "-e", sql + "grant all on slurm.* to slurm@127.0.0.1")
        conf = self.folder / "slurmdbd.conf"
        conf.touch(mode=0o600)
        conf.write_text(_DBD.format(**self._names))
        self.run("slurmdbd")
        self._until(lambda: self.run("sacctmgr", "-n", "show", "cluster") is not None)
        self.run("sacctmgr", "-i", "-Q", "add", "cluster", "tests")

    def forget(self) -> None:
        """End the controller and start it anew without what it knew; as after the time for which it remembers jobs.

        The node's daemon is ended for good: it would end the jobs that the controller does not know.
        """
        for name in ("slurmd", "slurmctld"):
            pid = int((self.folder / f"{name}.pid").read_text())
            os.kill(pid, signal.SIGTERM)
            while _is(name, pid):
                time.sleep(0.05)
        self.run("slurmctld", "-c", "-f", str(self.folder / "slurm.conf"))
        self._until(lambda: self.run("scontrol", "ping"))

    def _until(self, ready: Callable[[], object], seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while True:
            try:
                if ready():
                    return
                raise AssertionError("not ready")
            except AssertionError as error:
                if time.monotonic() > end:
                    logs = "".join(p.read_text(errors="replace")[-2000:] for p in sorted(self.folder.glob("*.log")))
                    raise RuntimeError(f"SLURM did not start: {error}\n{logs}") from error
            time.sleep(0.1)

    def stop(self) -> None:
        """End all jobs, then the daemons, and wait until they are gone."""
        if (self.folder / "slurmctld.pid").exists():
            me = str(self._names["user"])
            subprocess.run([find("scancel"), "-u", me], env=self.environment, capture_output=True, check=False)
            end = time.monotonic() + 15
            while self.run("squeue", "-h") and time.monotonic() < end:
                time.sleep(0.1)
        pids = []
        for name in ("slurmd", "slurmctld", "slurmdbd", "munged"):
            path = self.folder / f"{name}.pid"
            if path.exists() and _is(name, pid := int(path.read_text())):
                os.kill(pid, signal.SIGTERM)
                pids.append((name, pid))
        end = time.monotonic() + 10
        for name, pid in pids:
            while _is(name, pid) and time.monotonic() < end:
                time.sleep(0.05)
            if _is(name, pid):
                os.kill(pid, signal.SIGKILL)
        if self._database is not None:
            self._database.terminate()
            self._database.wait(20)
        if self._guard is not None:
            self._guard.communicate()  # ends jobs that the controller does not know any more


def _is(name: str, pid: int) -> bool:
    """Whether the process is there, and is that program."""
    comm, status = Path(f"/proc/{pid}/comm"), Path(f"/proc/{pid}/stat")
    try:
        return comm.read_text().startswith(name) and ") Z" not in status.read_text()
    except OSError:
        return False


def _kill_all(folder: Path) -> None:
    """Kill whatever was started by the cluster of this folder, found by its environment."""
    mark = f"SLURM_CONF={folder / 'slurm.conf'}".encode()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in path.read_bytes().split(b"\0"):
                os.kill(int(path.parent.name), signal.SIGKILL)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


if __name__ == "__main__":
    sys.stdin.read()  # until the process that started the cluster ends it, or is gone
    _kill_all(Path(sys.argv[1]))
