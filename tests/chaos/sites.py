"""Where trials take place, made from nothing: a store, a proxy before it, a fork server, a pod's folders."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import s3_server
from fork_server import ForkServer
from s3_server import S3Server
from storage_proxy import StorageProxy
from trials import BUCKET, Site


@contextmanager
def opened(folder: Path, server: S3Server | None = None) -> Iterator[Site]:
    """A site in `folder`, with a store of its own unless one is given.

    Raises `S3ServerMissingError` where there can't be one.
    """
    with ExitStack() as stack:
        folder.mkdir(parents=True, exist_ok=True)
        store = server or stack.enter_context(s3_server.running(folder))
        proxy = stack.enter_context(StorageProxy(store.endpoint))
        forks = stack.enter_context(ForkServer(folder / "forks.log"))
        keys = {"AWS_ACCESS_KEY_ID": store.access_key, "AWS_SECRET_ACCESS_KEY": store.secret_key}
        site = Site(forks, proxy, store.bucket(BUCKET), keys, folder / "root")
        site.furnish()
        yield site
