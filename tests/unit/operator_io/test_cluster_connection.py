"""Both clients, ours and kopf's, use the credentials of the moment."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from kubernetes.aio.client import Configuration
from local_server import answering

from finetune_operator.api_trace import counting_trace, watching_trace
from finetune_operator.cluster import Cluster, UnavailableError


@asynccontextmanager
async def api_server(seen: list[str]) -> AsyncIterator[str]:
    """Serve one Job, and note who asks."""

    async def respond(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization", ""))
        return web.json_response({"kind": "Job", "metadata": {"name": "x"}})

    async with answering(respond) as url:
        yield url


async def test_a_new_token_is_used_by_the_next_request() -> None:
    seen: list[str] = []
    tokens = iter(f"bearer token-{number}" for number in range(1, 9))

    def rotate(configuration: Configuration) -> None:
        configuration.api_key["BearerToken"] = next(tokens)

    async with api_server(seen) as url:
        configuration = Configuration(host=url)
        configuration.api_key["BearerToken"] = "bearer token-0"
        configuration.refresh_api_key_hook = rotate
        cluster = Cluster(configuration)
        await cluster.get_job("team", "x")
        await cluster.get_job("team", "x")
        kopfs = cluster.session(
            watching_trace(lambda _kind, _namespace: None, lambda _kind: None, lambda _kind, _code: None)
        )
        async with kopfs.aiohttp_session as session:
            for _ in range(2):
                async with session.get(f"{url}/apis"):
                    pass
        await cluster.close()
    assert seen == [f"bearer token-{number}" for number in range(1, 5)]


async def test_no_answer_is_not_a_refusal() -> None:
    counted: list[tuple[str, str, str]] = []
    configuration = Configuration(host="http://127.0.0.1:1")
    configuration.trace_configs = [counting_trace(lambda *request: counted.append(request))]
    cluster = Cluster(configuration)
    with pytest.raises(UnavailableError):
        await cluster.get_job("team", "x")
    await cluster.close()
    assert counted == [("get", "jobs", "error")]


async def test_where_there_are_no_credentials_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="--kubeconfig"):
        await Cluster.connect(kubeconfig=tmp_path / "missing")
