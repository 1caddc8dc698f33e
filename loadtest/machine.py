"""The machine under the load test: accounts, processes, ports, CPU time. Linux only; standard library only."""

import os
import pathlib
import pwd
import resource
import shutil
import socket
import subprocess
import time


def find_program(name):
    """A program of PostgreSQL: from PGBIN, the newest of Debian's versioned directories, or PATH."""
    if "PGBIN" in os.environ:
        return os.path.join(os.environ["PGBIN"], name)
    versions = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    for directory in reversed(versions):
        if (directory / name).exists():
            return str(directory / name)
    return shutil.which(name) or name


def free_port():
    """A TCP port that nobody listens on, below the range of outgoing connections."""
    for port in range(15000 + os.getpid() % 4000, 32000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            if port not in _taken:
                _taken.add(port)
                return port
    raise RuntimeError("no free port")


_taken = set()


def raise_descriptor_limit():
    """As many open files as the system lets us have: hundreds of clients need them."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Account:
    """The account that everything runs under: ours, or `postgres` where we are root."""

    def __init__(self):
        self.who = pwd.getpwnam("postgres") if os.getuid() == 0 else None

    def popen(self, command, **more):
        if self.who:
            more.update(user=self.who.pw_uid, group=self.who.pw_gid, extra_groups=[])
            more.setdefault("env", {**os.environ, "HOME": "/"})
        more.setdefault("cwd", "/")
        return subprocess.Popen([str(part) for part in command], process_group=0, **more)

    def run(self, command):
        with self.popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            said, _ = process.communicate()
        if process.returncode != 0:
            raise RuntimeError(f"{command[0]} ended with {process.returncode}:\n{said.decode(errors='replace')}")

    def own(self, path):
        """Gives a directory and what is in it to the account."""
        for one in [path, *path.rglob("*")]:
            if self.who:
                os.chown(one, self.who.pw_uid, self.who.pw_gid)
        for key in path.glob("*.key"):
            key.chmod(0o600)


class Process:
    """A program that runs until it is stopped, by its process id."""

    def __init__(self, account, command, log, end):
        self.log_file, self.end = log, end
        with open(log, "wb") as out:
            self.child = account.popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self.pid = self.child.pid

    def log(self):
        return pathlib.Path(self.log_file).read_text(errors="replace")

    def tree(self):
        """Itself and its children."""
        found = [self.pid]
        for task in pathlib.Path(f"/proc/{self.pid}/task").glob("*/children"):
            found += [int(pid) for pid in task.read_text().split()]
        return found

    def stop(self):
        if self.child.poll() is None:
            self.child.send_signal(self.end)
            try:
                self.child.wait(5)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()


def wait_for(name, process, ready, patience_s=20):
    deadline = time.time() + patience_s
    while not ready():
        if process.child.poll() is not None or time.time() > deadline:
            raise RuntimeError(f"{name} did not come up:\n{process.log()}")
        time.sleep(0.05)


def cpu_ns(pid):
    """CPU time of all threads of a process, exact to the nanosecond; 0 for one that has ended."""
    total = 0
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except FileNotFoundError:
        return 0
    for task in tasks:
        try:
            with open(f"/proc/{pid}/task/{task}/schedstat") as file:
                total += int(file.read().split()[0])
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total
