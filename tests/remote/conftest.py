"""The servers, each once, and an environment in which nothing but them is spoken with."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from prebake.remote import files
from remote_helpers import Proxy, Server, environment, s3, web


@pytest.fixture(scope="session")
def plain(tmp_path_factory) -> Iterator[tuple[Proxy, Path]]:
    folder = tmp_path_factory.mktemp("served")
    with web(folder) as proxy:
        yield proxy, folder


@pytest.fixture(scope="session")
def moto() -> Iterator[Proxy]:
    missing = [name for name in ("s3fs", "moto", "flask") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed (the extras `remote` and `dev`)")
    with s3() as proxy:
        yield proxy


@pytest.fixture(params=["web", "s3"])
def server(request, tmp_path, monkeypatch) -> Iterator[Server]:
    """Return an empty place on a server, of the web or of S3."""
    name = tmp_path.name.lower().replace("_", "-").strip("-")[-60:]
    if request.param == "web":
        proxy, folder = request.getfixturevalue("plain")
        server = Server(proxy, f"{proxy.url}/{name}", folder / name)
    else:
        proxy = request.getfixturevalue("moto")
        server = Server(proxy, f"s3://{name}")
        server.ask("PUT", f"/{name}")
    for key, value in environment(proxy, tmp_path / "cache").items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr(files, "FIRST_WAIT", 0.02)
    server.harm()
    yield server
    server.harm()
