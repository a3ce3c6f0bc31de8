"""The hosts of a run, as the command line names them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from baselines.model import Count
from baselines.settings import validated
from gpicl_bench.errors import GpiclBenchError, InvalidArgument


class HostsError(GpiclBenchError):
    """The processes of a run have not come together."""


ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:\s]+):(?P<port>[0-9]{1,5})")


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
        found = ADDRESS.fullmatch(self.coordinator)
        if not found or not 0 < int(found["port"]) < 2**16:
            raise InvalidArgument(
                "the coordinator has no address", expected="HOST:PORT or [IPv6]:PORT", got=self.coordinator
            )
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


def missing(hosts: Hosts, absent: set[int], last: Exception | None = None) -> HostsError:
    """These processes have not come in time; `last` is what the last attempt to reach process 0 ended with."""
    names = " or ".join(map(str, sorted(absent)))
    return HostsError(
        "not all processes of the run are there",
        expected=f"{hosts.processes} processes at {hosts.coordinator} within {hosts.wait:g} s",
        got=f"none from --process {names}" + (f" ({last})" if last else ""),
        hint="start the same command on every host, each with its own --process; that address must be reachable from "
        "all; a longer --wait",
    )
