"""OCI runtime for a Docker engine whose root has fewer rights than usual: runc, asked for no more than there is.

A virtual machine or a container may withhold `CAP_SYS_RESOURCE` and cap the number of open files. `docker run
--privileged`, which kind needs, asks for all of both, and plain runc then fails: "unable to apply caps: operation not
permitted". This program takes the excess out of the specification and becomes runc.

Runs as `python -I -S narrow_runtime.py ARGUMENTS-OF-RUNC`, so: the standard library only, and little of it.
"""

import itertools
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

_SYS_RESOURCE = 24
"""Number of CAP_SYS_RESOURCE in linux/capability.h."""


def specification_file(arguments: list[str]) -> Path | None:
    """The file in which runc is told what a process may: of a new container, or of a process in one (`exec`)."""
    for option, value in itertools.pairwise(arguments):
        if option in {"--bundle", "-b"}:
            return Path(value) / "config.json"
        if option in {"--process", "-p"}:
            return Path(value)
    return None


def narrow(specification: dict[str, Any], *, sys_resource: bool, open_files: int) -> dict[str, Any]:
    """Return the specification with no more rights than there are.

    Args:
        specification: OCI's `config.json`, or the `process` of one.
        sys_resource: Whether `CAP_SYS_RESOURCE` can be given.
        open_files: Highest limit of open files that can be given.
    """
    if "process" in specification:
        process = narrow(specification["process"], sys_resource=sys_resource, open_files=open_files)
        return {**specification, "process": process}
    process = dict(specification)
    if not sys_resource and "capabilities" in process:
        process["capabilities"] = {
            of: [name for name in names if name != "CAP_SYS_RESOURCE"] for of, names in process["capabilities"].items()
        }
    if "rlimits" in process:
        process["rlimits"] = [_capped(limit, open_files) for limit in process["rlimits"]]
    return process


def _capped(limit: dict[str, Any], open_files: int) -> dict[str, Any]:
    if limit["type"] != "RLIMIT_NOFILE":
        return limit
    return {**limit, "hard": min(limit["hard"], open_files), "soft": min(limit["soft"], open_files)}


def has_sys_resource(status: str) -> bool:
    """Whether a process whose `/proc/PID/status` reads so can give `CAP_SYS_RESOURCE` to another."""
    bounds = next(line.split()[1] for line in status.splitlines() if line.startswith("CapBnd:"))
    return bool(int(bounds, 16) >> _SYS_RESOURCE & 1)


def main(runc: str, arguments: list[str]) -> None:
    """Become runc, with a specification that can be met."""
    file = specification_file(arguments)
    if file is not None and file.is_file():
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        narrowed = narrow(
            json.loads(file.read_text()),
            sys_resource=has_sys_resource(Path("/proc/self/status").read_text()),
            open_files=sys.maxsize if hard == resource.RLIM_INFINITY else hard,
        )
        file.write_text(json.dumps(narrowed))
    os.execv(runc, [runc, *arguments])  # noqa: S606 -- it becomes runc, with the arguments of the engine


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
