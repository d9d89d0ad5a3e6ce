# SPDX-License-Identifier: BSD-3-Clause
"""Instances as processes beside the hub, under its own account: no systemd, no root, and no walls between users."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from .base import Instance, LaunchRequest, Limits, Provider, ProviderError, ProviderUnreachable, State

# Marks each process of an instance, whatever becomes of its parents.
_MARK = "LIBCLOUDSPAWNER_REQUEST"
# What Python may need to be found, and the look-up of an account that has no entry.
_VARIABLES_KEPT = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "LD_PRELOAD", "NSS_WRAPPER_GROUP", "NSS_WRAPPER_PASSWD", "TZ")
# Below those that the kernel gives to outgoing connections.
_PORTS = range(20000, 30000)
_STOP_SECONDS = 10
_LOG_BYTES_MAX = 4 * 1024**2

log = logging.getLogger(__name__)


@dataclass
class _Record:
    """What is kept of an instance. ``pid`` is 0 until its process is known."""

    name: str
    user: str
    server: str
    request_id: str
    address: str
    port: int
    runtime_folder: str
    pid: int = 0


class LocalProvider(Provider):
    """Starts processes, and finds them again after a restart of the hub by its records and by their mark."""

    SETTINGS = ("hub_id", "local_folder", "local_environments")
    PLACEMENT = ("home_dir_template", "user_workingdir")
    ACCOUNT = "{USERNAME}"

    def __init__(self, hub_id: str, local_folder: str, local_environments: str) -> None:
        self._folder = Path(local_folder).absolute() / hub_id
        self._environments = Path(local_environments) if local_environments else None
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()
        self._unkept: set[str] = set()

    def create(self, request: LaunchRequest) -> Instance:
        environment = self._environment(request.image)
        command = _command(request.command, environment)
        with self._lock:
            record = self._record(request)
        try:
            self._start(request, record, command, environment)
        except BaseException:
            self._stop(record)
            self._forget(record)
            raise
        return self._described(record, _Processes())

    def list(self) -> list[Instance]:
        processes = _Processes()
        return [self._described(record, processes) for record in self._records()]

    def get(self, instance_id: str) -> Instance | None:
        return next((instance for instance in self.list() if instance.id == instance_id), None)

    def destroy(self, instance: Instance) -> None:
        for record in self._records():
            if record.request_id == instance.request_id:
                self._stop(record)
                self._forget(record)

    def log(self, instance: Instance, lines: int) -> Sequence[str]:
        for record in self._records():
            if record.request_id == instance.request_id:
                return self._log(record).read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
        return []

    def _environment(self, name: str) -> Path:
        """The folder of an environment; the one that its name leads to now, whatever the name leads to later."""
        if self._environments is None:
            if name == "default":
                return Path(sys.prefix)
            raise ProviderError(
                f"There is no environment {name}, but only default: the folder of others is named by "
                "LibcloudSpawner.local_environments.",
                reason="no-environment",
            )
        there = sorted(python.parents[1].name for python in self._environments.glob("*/bin/python"))
        if name not in there:
            raise ProviderError(
                f"{self._environments} holds no environment {name}; it holds: {', '.join(there) or 'none'}.",
                reason="no-environment",
            )
        return (self._environments / name).resolve()

    def _record(self, request: LaunchRequest) -> _Record:
        """Note an instance and its port, before there is anything that could be lost."""
        port = self._free_port(request.bind_address)
        with _explained("The record of the server cannot be written"):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # A short path, as the names of kernels' sockets are long, and both together must not be.
            runtime_folder = tempfile.mkdtemp(prefix="jupyter-")
            record = _Record(
                request.name,
                request.user,
                request.server,
                request.request_id,
                request.bind_address,
                port,
                runtime_folder,
            )
            self._log(record).touch(mode=0o600)
            self._write(record)
        return record

    def _start(self, request: LaunchRequest, record: _Record, command: Sequence[str], environment: Path) -> None:
        home = Path(request.placement.get("home_dir_template") or ".").absolute()
        with _explained("The server cannot be started"), self._log(record).open("ab") as output:
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            child = subprocess.Popen(
                command,
                cwd=request.placement.get("user_workingdir") or home,
                env=_variables(request, record, environment, home),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # What ends the hub from a terminal does not end its servers.
                start_new_session=True,
            )
        self._children[record.request_id] = child
        record.pid = child.pid
        with _explained("The record of the server cannot be written"):
            self._write(record)
        with contextlib.suppress(psutil.NoSuchProcess):  # it may have ended by now
            self._limit(psutil.Process(child.pid), request.limits)

    def _limit(self, process: psutil.Process, limits: Limits) -> None:
        """Hold a server to what it can be held to without privileges, and say, once, to what it cannot."""
        refused = {}
        try:
            if limits.memory_bytes:
                hard = process.rlimit(psutil.RLIMIT_DATA)[1]
                most = limits.memory_bytes if hard == psutil.RLIM_INFINITY else min(limits.memory_bytes, hard)
                process.rlimit(psutil.RLIMIT_DATA, (most, most))
        except psutil.AccessDenied:
            refused["mem_limit, which the platform refuses to set"] = True
        try:
            available = process.cpu_affinity()
            wanted = math.ceil(limits.cpus or len(available))
            if wanted < len(available):
                process.cpu_affinity(self._least_used(available, wanted))
        except psutil.AccessDenied:
            refused["cpu_limit, which the platform refuses to set"] = True
        unkept = {
            **refused,
            "cpu_guarantee": limits.cpu_guarantee,
            "cpu_limit, but by whole processors": limits.cpus and limits.cpus % 1,
            "mem_guarantee": limits.memory_guarantee_bytes,
            "mem_limit, but each of its processes by itself": limits.memory_bytes,
            "tasks_limit": limits.tasks,
        }
        news = {name for name, value in unkept.items() if value} - self._unkept
        if news:
            self._unkept |= news
            log.warning("A server of the provider local is not held to %s", "; ".join(sorted(news)))

    def _least_used(self, available: Sequence[int], count: int) -> Sequence[int]:
        uses = dict.fromkeys(available, 0)
        for record in self._records():
            with contextlib.suppress(psutil.Error):
                theirs = psutil.Process(record.pid).cpu_affinity() if record.pid else available
                for one in theirs if len(theirs) < len(available) else ():
                    uses[one] += 1
        return sorted(uses, key=lambda one: uses[one])[:count]

    def _free_port(self, address: str) -> int:
        taken = {record.port for record in self._records()}
        for port in random.sample(_PORTS, len(_PORTS)):
            if port not in taken and _is_free(address, port):
                return port
        raise ProviderError(f"No port from {_PORTS[0]} to {_PORTS[-1]} is free.", reason="no-port")

    def _described(self, record: _Record, processes: _Processes) -> Instance:
        child = self._children.get(record.request_id)
        status = child.poll() if child else None
        server = processes.server(record)
        # A program that has just begun shows no environment yet, by which its process is found.
        is_running = server is not None or (child is not None and status is None)
        return Instance(
            id=record.request_id,
            name=record.name,
            user=record.user,
            server=record.server,
            request_id=record.request_id,
            state=State.RUNNING if is_running else State.FAILED if status else State.STOPPED,
            address=record.address,
            port=record.port,
            owns_port=server is not None and processes.listen(record),
            exit_status=status or 0,
            detail="" if is_running else _ending(status),
        )

    def _stop(self, record: _Record) -> None:
        """End the server, which ends its kernels, and then whatever is left of it."""
        if server := _Processes().server(record):
            with contextlib.suppress(psutil.NoSuchProcess):
                server.terminate()
            psutil.wait_procs([server], timeout=_STOP_SECONDS)
        # What is killed may just have started something.
        while left := _Processes().of(record):
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(left, timeout=1)
        if child := self._children.pop(record.request_id, None):
            child.wait()

    def _records(self) -> Sequence[_Record]:
        """What is written of all instances; an old log that has grown too long begins anew."""
        records = []
        try:
            paths = [path for path in self._folder.iterdir() if path.suffix == ".json"]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ProviderUnreachable(f"{self._folder} cannot be read ({error.strerror}).") from error
        for path in paths:
            try:
                record = _Record(**json.loads(path.read_text(encoding="utf-8")))
                if self._log(record).stat().st_size > _LOG_BYTES_MAX:
                    os.truncate(self._log(record), 0)
            except FileNotFoundError:  # destroyed in between
                continue
            except (OSError, ValueError, TypeError) as error:
                raise ProviderError(f"{path} cannot be read: {error}", reason="damaged") from error
            records.append(record)
        return records

    def _log(self, record: _Record) -> Path:
        return self._folder / f"{record.request_id}.log"

    def _write(self, record: _Record) -> None:
        path = self._folder / f"{record.request_id}.json"
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(vars(record)), encoding="utf-8")
        temporary.replace(path)

    def _forget(self, record: _Record) -> None:
        shutil.rmtree(record.runtime_folder, ignore_errors=True)
        for suffix in ("json", "new", "log"):
            (self._folder / f"{record.request_id}.{suffix}").unlink(missing_ok=True)


class _Processes:
    """The processes of all instances, as they are now."""

    def __init__(self) -> None:
        self._of: dict[str, set[psutil.Process]] = defaultdict(set)
        for process in psutil.process_iter():
            # Those of others, and those that are ending, are not ours to read.
            with contextlib.suppress(psutil.Error, OSError):
                if request_id := process.environ().get(_MARK):
                    self._of[request_id].add(process)
        self._listeners = {
            (connection.pid, connection.laddr.port)
            for connection in psutil.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        }

    def of(self, record: _Record) -> set[psutil.Process]:
        return self._of[record.request_id]

    def server(self, record: _Record) -> psutil.Process | None:
        """The process that was started; where the hub was killed before it could note it, the oldest one."""
        if record.pid:
            return next((process for process in self.of(record) if process.pid == record.pid), None)
        return min(self.of(record), key=lambda process: process.create_time(), default=None)

    def listen(self, record: _Record) -> bool:
        """Whether the socket at the port of the instance is its own."""
        return any((process.pid, record.port) in self._listeners for process in self.of(record))


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ProviderError(f"{what}: {error.filename or ''} {error.strerror or error}", reason="system") from error


def _command(command: Sequence[str], environment: Path) -> list[str]:
    """The program by its path, after what the environment has to do before it."""
    start = environment / "start"
    return [*([str(start)] if start.is_file() else []), *_program(command, environment)]


def _program(command: Sequence[str], environment: Path) -> list[str]:
    """From the environment when it is a bare name."""
    program, *words = command
    if "/" in program:
        return [program, *words]
    path = environment / "bin" / program
    if not path.is_file():
        raise ProviderError(f"The environment {environment} holds no program {program}.", reason="no-program")
    # -s: what users install for themselves must not be able to break the server's own start.
    python = [str(environment / "bin/python"), "-s"] if program.startswith("jupyter") else []
    return [*python, str(path), *words]


def _variables(request: LaunchRequest, record: _Record, environment: Path, home: Path) -> dict[str, str]:
    user_packages = home / ".local/environments" / request.image
    variables = {
        **{name: os.environ[name] for name in _VARIABLES_KEPT if name in os.environ},
        "PATH": f"{environment}/bin:{user_packages}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(home),
        "USER": request.account,
        "LOGNAME": request.account,
        "SHELL": "/bin/bash",
        "PYTHONUSERBASE": str(user_packages),
        "JUPYTER_RUNTIME_DIR": record.runtime_folder,
        **({"REPO_DIR": str(repository)} if (repository := environment / "repository").is_dir() else {}),
        **request.environment,
        _MARK: record.request_id,
    }
    if url := variables.get("JUPYTERHUB_SERVICE_URL"):
        parts = urlsplit(url)
        host = parts.netloc.rpartition("]")[0] + "]" if "]" in parts.netloc else parts.hostname
        variables["JUPYTERHUB_SERVICE_URL"] = parts._replace(netloc=f"{host}:{record.port}").geturl()
    return variables


def _is_free(address: str, port: int) -> bool:
    try:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        socket.create_server((address, port), family=family).close()
    except OSError:
        return False
    return True


def _ending(status: int | None) -> str:
    if status is None:
        return "ended"
    return f"ended by signal {-status}" if status < 0 else f"exit status {status}"
