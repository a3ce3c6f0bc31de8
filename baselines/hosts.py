"""Several hosts: the processes of one run find each other, or say who is missing.

JAX aborts a process that waits in vain, with a trace of C++. So the processes meet over a socket first, at the address
that JAX's coordinator takes afterwards: who is missing is known, and said, before JAX starts.
"""

import json
import os
import signal
import socket
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import jax
from pydantic import Field

from baselines.model import Count
from baselines.settings import validated
from gpicl_bench.errors import GpiclBenchError, InvalidArgument

PATIENCE = 5.0  # seconds that process 0 gives whoever has connected to say its name


class HostsError(GpiclBenchError):
    """The processes of a run have not come together, or one of them cannot go on."""


@dataclass(frozen=True)
class Hosts:
    """The processes of a run, one on each host, and which of them this is.

    Attributes:
        coordinator: HOST:PORT, where process 0 can be reached by the others; a free port.
        processes: how many there are.
        process: which of them this is, from 0; process 0 writes the folder of the run.
        wait: seconds until all must be there (default: 300).
    """

    coordinator: str
    processes: Count
    process: Annotated[int, Field(ge=0)]
    wait: Annotated[float, Field(gt=0, le=1e6)] = 300.0

    def __post_init__(self) -> None:
        host, _, port = self.coordinator.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise InvalidArgument("the coordinator has no address", expected="HOST:PORT", got=self.coordinator)
        if self.process >= self.processes:
            raise InvalidArgument(
                "there is no such process",
                expected=f"--process from 0 to {self.processes - 1}, of --processes {self.processes}",
                got=f"--process {self.process}",
            )

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.coordinator.rpartition(":")
        return host.strip("[]"), int(port)


def make_hosts(options: Mapping[str, Any]) -> Hosts | None:
    """The hosts that the options of a command name; None where it names none.

    Raises:
        InvalidArgument: an option is missing, or out of range.
    """
    if not options:
        return None
    absent = [f"--{name}" for name in ("coordinator", "processes", "process") if name not in options]
    if absent:
        raise InvalidArgument(
            "the options of several hosts belong together",
            expected="--coordinator HOST:PORT --processes N --process I",
            got=", ".join(f"--{name} {value}" for name, value in options.items()) + ", without " + ", ".join(absent),
        )
    return validated(Hosts, options, "the options of several hosts")


def start(hosts: Hosts, same: Any) -> None:
    """Wait until all processes are there, and start JAX in them; before JAX is used.

    Args:
        hosts: which.
        same: plain values that must be equal in all of them, such as the settings.

    Raises:
        HostsError: they are not all there in time, or do not belong together.
    """
    if hosts.processes == 1:
        return
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


@contextmanager
def ending_at_once() -> Iterator[None]:
    """Of a process that fails alone: at its regular end JAX would have it wait for the others, who wait for it."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        _end(_lost(error), 2)
    except (GpiclBenchError, OSError) as error:
        if not isinstance(error.__cause__, (jax.errors.JaxRuntimeError, MemoryError)):
            raise  # known to all: they end too
        _end(f"error: {error}", 2)
    except KeyboardInterrupt:
        _end("interrupted: the same commands with --resume go on from the last checkpoint", 130)
    except Exception:
        _end(traceback.format_exc(), 1)


def _lost(error: Exception) -> str:
    lost = HostsError(
        "the processes of the run have lost each other",
        got=str(error).splitlines()[0],
        hint="see what the others say; then the same commands with --resume go on from the last checkpoint",
    )
    return f"error: {lost}"


def _end(message: str, status: int) -> None:
    print(message, file=sys.stderr, flush=True)
    os._exit(status)


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
                        raise _missing(hosts, set(range(1, hosts.processes)) - there.keys()) from error
                    continue
                there = {number: other for number, other in there.items() if _waits(other)}
                if said is not None:
                    there[_checked(hosts, same, said, there)] = peer
        except HostsError as error:
            _tell(peers, {name: getattr(error, name) for name in ("what", "expected", "got", "hint")})
            raise
        _tell(there.values(), {})


def join(hosts: Hosts, same: str, until: float) -> None:
    """Another process: tell process 0 that this one is there, and wait until all are."""
    hello = json.dumps({"process": hosts.process, "processes": hosts.processes, "same": same})
    while (left := until - time.monotonic()) > 0:
        answer = None
        try:
            with socket.create_connection(hosts.address, timeout=left) as peer:
                peer.sendall(hello.encode() + b"\n")
                answer = _heard(peer)
        except TimeoutError as error:
            raise _missing(hosts, set(range(hosts.processes)) - {hosts.process}) from error
        except OSError:  # process 0 is not there yet
            time.sleep(0.1)
        if answer:
            raise HostsError(**answer)
        if answer is not None:
            return
    raise _missing(hosts, {0})


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
            said = json.loads(file.readline())
        except (ConnectionError, ValueError):
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
    return int(str(number))


def _flat(plain: dict[str, Any]) -> dict[str, Any]:
    inner = [_flat(value) for value in plain.values() if isinstance(value, dict)]
    flat = {name: value for name, value in plain.items() if not isinstance(value, dict)}
    return {name: value for part in [flat, *inner] for name, value in part.items()}


def _missing(hosts: Hosts, absent: set[int]) -> HostsError:
    names = " or ".join(map(str, sorted(absent)))
    return HostsError(
        "not all processes of the run are there",
        expected=f"{hosts.processes} processes at {hosts.coordinator} within {hosts.wait:g} s",
        got=f"none from --process {names}",
        hint="start the same command on every host, each with its own --process; that address must be reachable from "
        "all; a longer --wait",
    )
