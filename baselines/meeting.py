"""The processes of a run find each other, or say who is missing.

JAX aborts a process that waits in vain, with a trace of C++. So the processes meet over a socket first, at the address
that JAX's coordinator takes afterwards: who is missing is known, and said, before JAX starts.
"""

import json
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

import jax

from baselines.hosts import Hosts, HostsError, missing

ROOM = 2**16  # bytes of what a process says
PATIENCE = 5.0  # seconds that process 0 gives whoever has connected to say its name


def start(hosts: Hosts, same: Any) -> None:
    """Wait until all processes are there, and start JAX in them; before JAX is used.

    Args:
        hosts: which.
        same: plain values that must be equal in all of them, such as the settings.

    Raises:
        HostsError: they are not all there in time, or do not belong together.
    """
    until = time.monotonic() + hosts.wait
    (gather if hosts.process == 0 else join)(hosts, json.dumps(same, sort_keys=True), until)
    jax.distributed.initialize(hosts.coordinator, hosts.processes, hosts.process, cluster_detection_method="deactivate")
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # JAX would take it as a notice, and go on
    counts = Counter(device.process_index for device in jax.devices())
    if len(set(counts.values())) > 1:
        said = ", ".join(f"process {i}: {n}" for i, n in sorted(counts.items()))
        raise HostsError(
            "the processes have not equally many devices", got=said, hint="hide some: CUDA_VISIBLE_DEVICES"
        )


def gather(hosts: Hosts, same: str, until: float) -> None:
    """Process 0: hear of all others, then tell them to go on, or why not."""
    peers: list[socket.socket] = []
    there: dict[int, socket.socket] = {}
    with ExitStack() as opened:
        server = opened.enter_context(_listening(hosts))
        try:
            while len(there) < hosts.processes - 1:
                server.settimeout(max(until - time.monotonic(), 1e-3))
                try:
                    peer = opened.enter_context(server.accept()[0])
                    peers.append(peer)
                    peer.settimeout(PATIENCE)
                    said = _heard(peer)
                except TimeoutError as error:
                    if time.monotonic() >= until:
                        raise missing(hosts, set(range(1, hosts.processes)) - there.keys()) from error
                    continue
                there = {number: other for number, other in there.items() if _waits(other)}
                if said is not None and isinstance(said.get("process"), int):  # not some other program
                    there[_checked(hosts, same, said, there)] = peer
        except HostsError as error:
            _tell(peers, {name: getattr(error, name) for name in ("what", "expected", "got", "hint")})
            raise
        _tell(there.values(), {})


def join(hosts: Hosts, same: str, until: float) -> None:
    """Another process: tell process 0 that this one is there, and wait until all are."""
    hello = json.dumps({"process": hosts.process, "processes": hosts.processes, "same": same})
    absent, last = {0}, None
    while (left := until - time.monotonic()) > 0:
        answer = None
        try:
            with socket.create_connection(hosts.address, timeout=min(left, PATIENCE)) as peer:
                absent = set(range(hosts.processes)) - {hosts.process}  # 0 is there, or another program
                peer.settimeout(max(until - time.monotonic(), 1e-3))
                peer.sendall(hello.encode() + b"\n")
                answer = _heard(peer)
        except (OSError, UnicodeError) as error:  # process 0 is not there yet
            last = error
        if answer:
            raise HostsError(**answer)
        if answer is not None:
            return
        time.sleep(0.1)
    raise missing(hosts, absent, last) from last


def _listening(hosts: Hosts) -> socket.socket:
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    try:
        return socket.create_server(("", hosts.address[1]), family=family, dualstack_ipv6=both)
    except OSError as error:
        raise HostsError(
            "process 0 cannot listen at its port",
            got=error.strerror or str(error),
            where=hosts.coordinator,
            hint="another port in --coordinator, the same for all processes",
        ) from error


def _heard(peer: socket.socket) -> dict[str, Any] | None:
    """A line of JSON; None from whoever leaves before its end, or speaks otherwise."""
    with peer.makefile("rb") as file:
        try:
            said = json.loads(file.readline(ROOM))
        except TimeoutError:
            raise
        except (OSError, ValueError, RecursionError):
            return None
    return said if isinstance(said, dict) else None


def _tell(peers: Iterable[socket.socket], answer: dict[str, Any]) -> None:
    for peer in peers:
        try:
            peer.sendall(json.dumps(answer).encode() + b"\n")
        except OSError:  # it has gone: JAX will miss it
            continue


def _waits(peer: socket.socket) -> bool:
    """Whether a process that has said its name is still there: it says nothing more, and has not hung up."""
    peer.setblocking(False)
    try:
        return bool(peer.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        peer.settimeout(PATIENCE)


def _checked(hosts: Hosts, same: str, said: dict[str, Any], there: dict[int, socket.socket]) -> int:
    """The number of a process that belongs to this run."""
    number = said.get("process")
    if said.get("processes") != hosts.processes:
        raise HostsError(
            "the processes do not agree how many they are",
            expected=f"--processes {hosts.processes}, as process 0 has it",
            got=f"--processes {said.get('processes')} of process {number}",
        )
    if number in there:
        raise HostsError("two processes have one number", got=f"--process {number}", hint="a number for each, from 0")
    if said.get("same") != same:
        ours, theirs = _flat(json.loads(same)), _flat(json.loads(str(said.get("same"))))
        other = [name for name in ours | theirs if ours.get(name) != theirs.get(name)]
        raise HostsError(
            f"process {number} was started with other settings than process 0",
            expected=", ".join(f"{name} = {ours.get(name)}" for name in other),
            got=", ".join(f"{name} = {theirs.get(name)}" for name in other),
            hint="the same options for all, but for --process",
        )
    return int(said["process"])


def _flat(plain: dict[str, Any]) -> dict[str, Any]:
    inner = [_flat(value) for value in plain.values() if isinstance(value, dict)]
    flat = {name: value for name, value in plain.items() if not isinstance(value, dict)}
    return {name: value for part in [flat, *inner] for name, value in part.items()}
