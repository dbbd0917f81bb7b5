"""Keys, tokens and kubeconfigs of a control plane: made for each start, worth nothing elsewhere."""

import base64
import json
import secrets
from collections.abc import Mapping
from pathlib import Path

ADMIN = "admin"
USERS: Mapping[str, tuple[str, str]] = {
    ADMIN: ("admin", "system:masters"),
    "kube-controller-manager": ("system:kube-controller-manager", ""),
    "kube-scheduler": ("system:kube-scheduler", ""),
    "kube-proxy": ("system:kube-proxy", ""),
    "kubelet": ("system:node:node1", "system:nodes"),
}
"""Who may log in: the name and group that Kubernetes' built-in roles are bound to. Node Authorization knows node1."""


class Credentials:
    """Everything that opens the API server in `folder`. Each user of `USERS` has a token."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.token_file = folder / "tokens.csv"
        self.service_account_key = folder / "service-accounts.pem"
        self._tokens = {user: secrets.token_urlsafe(32) for user in USERS}

    @property
    def certificates(self) -> Path:
        """Folder in which the API server makes a certificate for itself."""
        return self.folder / "certificates"

    @property
    def authority(self) -> Path:
        """The certificate to trust; there once the API server has started."""
        return self.certificates / "apiserver.crt"

    @property
    def admin_token(self) -> str:
        """The administrator's token."""
        return self._tokens[ADMIN]

    def write(self) -> None:
        """Write what the API server reads at its start."""
        lines = [f'{self._tokens[user]},{name},{name},"{group}"\n' for user, (name, group) in USERS.items()]
        _write_secret(self.token_file, "".join(lines))
        _write_secret(self.service_account_key, _private_key())

    def write_kubeconfig(self, path: Path, server: str, user: str = ADMIN) -> Path:
        """Write a kubeconfig of one of `USERS` for the API server at `server`; return its path."""
        cluster = {"server": server, "certificate-authority": str(self.authority)}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": self._tokens[user]}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user, "namespace": "default"}}],
        }
        _write_secret(path, json.dumps(content))
        return path


def _write_secret(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def _private_key() -> str:
    """A new P-256 key as RFC 5915 writes it: version 1, 32 random bytes, the name of the curve. Signs tokens."""
    der = bytes.fromhex("30310201010420") + secrets.token_bytes(32) + bytes.fromhex("a00a06082a8648ce3d030107")
    return f"-----BEGIN EC PRIVATE KEY-----\n{base64.encodebytes(der).decode()}-----END EC PRIVATE KEY-----\n"
