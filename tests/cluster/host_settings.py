"""What a container engine changes on its host beyond its own files: kernel settings, packet filter, bridges.

A snapshot is taken before the engine starts and kept as a file, so that also what a killed engine left can be put back.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import mounts

_SETTINGS = (
    "fs/file-max", "fs/nr_open", "fs/inotify/max_user_instances", "fs/inotify/max_user_watches",
    "fs/protected_fifos", "fs/protected_hardlinks", "fs/protected_regular", "fs/protected_symlinks",
    "kernel/keys/root_maxbytes", "kernel/keys/root_maxkeys", "kernel/panic", "kernel/panic_on_oops",
    "kernel/core_pattern", "kernel/pid_max", "kernel/sysrq",
    "net/bridge/bridge-nf-call-ip6tables", "net/bridge/bridge-nf-call-iptables", "net/ipv4/ip_forward",
    "net/ipv6/conf/all/forwarding", "net/ipv6/conf/default/forwarding",
    "net/netfilter/nf_conntrack_max", "vm/max_map_count", "vm/overcommit_memory", "vm/panic_on_oom",
)  # fmt: skip
"""Settings below /proc/sys that the engine, a node's systemd, kubelet or kube-proxy write."""
_TABLES = ("filter", "nat", "mangle", "raw")
_SYS = Path("/proc/sys")
_LINKS = Path("/sys/class/net")
_CHAIN = re.compile(r"^:(DOCKER\S*) ")
_DOCKERS_RULE = re.compile(
    r"\bDOCKER\b|\bDOCKER-|-[io] (docker0|br-[0-9a-f]{12})\b"
    r"|^-A POSTROUTING -s (\S+)/32 -d \2/32 .*-j MASQUERADE$"  # a published port, asked for by its own container
)
_BRIDGE = re.compile(r"^(docker0|br-[0-9a-f]{12})$")


@dataclass(frozen=True)
class HostSettings:
    """Values of the host before an engine started."""

    kernel: dict[str, str]
    """Values of `_SETTINGS`, by name; what the kernel does not have is left out."""
    filters: dict[str, str]
    """Tables of the packet filter, as `iptables-save` prints them."""
    links: list[str]
    """Names of network interfaces."""

    @classmethod
    def take(cls) -> Self:
        """Read them."""
        kernel = {name: value for name in _SETTINGS if (value := _read(name)) is not None}
        return cls(kernel, {table: _saved(table) for table in _TABLES}, [link.name for link in _LINKS.iterdir()])

    @classmethod
    def load(cls, file: Path) -> Self | None:
        """Read a snapshot; None where there is none."""
        return cls(**json.loads(file.read_text())) if file.is_file() else None

    def save(self, file: Path) -> None:
        """Keep the snapshot."""
        part = file.with_suffix(".part")
        part.write_text(json.dumps(asdict(self)))
        part.replace(file)

    def restore(self) -> None:
        """Undo what Docker and kind's node did; what others did meanwhile stays."""
        for table, before in self.filters.items():
            for arguments in removals(before, _saved(table)):
                mounts.run_quietly(["iptables", "--wait", "--table", table, *arguments])
        for link in sorted(link.name for link in _LINKS.iterdir()):
            if link not in self.links and _BRIDGE.match(link):
                mounts.run_quietly(["ip", "link", "delete", link])
        for name, value in self.kernel.items():
            if _read(name) != value:
                with suppress(OSError):  # one that this root may not write
                    (_SYS / name).write_text(value)


def removals(before: str, now: str) -> list[list[str]]:
    """Return arguments of iptables that take Docker's rules and chains out of a table.

    Args:
        before: The table before Docker, as `iptables-save` prints it.
        now: The same now.
    """
    old = set(before.splitlines())
    new = [line for line in now.splitlines() if line not in old]
    rules = [["--delete", *line.split()[1:]] for line in new if line.startswith("-A") and _DOCKERS_RULE.search(line)]
    chains = [found[1] for line in new if (found := _CHAIN.match(line)) and not _has_chain(before, found[1])]
    policies = [
        ["--policy", chain, policy] for chain, policy in _policies(before) if (chain, policy) not in _policies(now)
    ]
    emptied = [[command, chain] for command in ("--flush", "--delete-chain") for chain in chains]
    return [*rules, *emptied, *policies]


def _has_chain(table: str, chain: str) -> bool:
    return any(line.startswith(f":{chain} ") for line in table.splitlines())


def _policies(table: str) -> list[tuple[str, str]]:
    """Built-in chains of a table with their policies."""
    lines = [line.split() for line in table.splitlines() if line.startswith(":")]
    return [(words[0][1:], words[1]) for words in lines if words[1] != "-"]


def _saved(table: str) -> str:
    done = subprocess.run(["iptables-save", "--table", table], capture_output=True, text=True, check=False)
    return "\n".join(_without_counters(done.stdout)) if done.returncode == 0 else ""


def _without_counters(saved: str) -> Iterator[str]:
    """Lines without the packets that were counted: they change all the time."""
    for line in saved.splitlines():
        yield re.sub(r" \[\d+:\d+\]$", " ", line) if line.startswith(":") else line


def _read(name: str) -> str | None:
    try:
        return (_SYS / name).read_text().strip()
    except OSError:
        return None
