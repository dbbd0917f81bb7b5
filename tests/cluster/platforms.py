"""System and processor of this machine, as Go and the registries of images name them."""

import platform


def this_system() -> str:
    """For example `linux-amd64`."""
    processor = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return f"{platform.system().lower()}-{processor}"
