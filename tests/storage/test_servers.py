"""Pyramids on real servers of S3, Azure and Google: the same bytes as in a local folder, counted requests, failures that pass."""

from __future__ import annotations

import json
import os
import subprocess

import numpy as np
import pytest

import ziggurat as zg
from tests import servers
from ziggurat import storage
from ziggurat.chunkio import FileStore
from ziggurat.journal import FOLDER
from ziggurat.problems import StorageError, TargetExists
from ziggurat.storage import retrying

BASE = np.random.default_rng(2).integers(0, 4096, (96, 96), dtype=np.uint16)
OPTIONS = {"chunks": 16, "shards": 48, "name": "x", "threads": 2}
AWS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_REGION": "us-east-1"}
AZURE = {"AZURE_STORAGE_ACCOUNT_NAME": servers.AZURE_ACCOUNT, "AZURE_STORAGE_ACCOUNT_KEY": servers.AZURE_KEY}
SERVERS = {"s3": (servers.s3_server, "s3://bucket", AWS, "AWS_ENDPOINT_URL"), "azure": (servers.azure_server, "az://bucket", AZURE, "AZURE_STORAGE_ENDPOINT")}


@pytest.fixture(scope="module", params=["s3", pytest.param("azure", marks=pytest.mark.prove)])
def server(request):
    start, root, variables, endpoint = SERVERS[request.param]
    with start() as url, servers.proxied(url) as (proxy, through), pytest.MonkeyPatch.context() as patch:
        for name, value in {**variables, endpoint: through}.items():
            patch.setenv(name, value)
        yield proxy, root


@pytest.fixture
def proxy(server):
    """The proxy, without what an earlier test asked of it."""
    server[0].fail_every, server[0].wait_seconds = 0, 0.0
    server[0].forget()
    return server[0]


def below(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def held(url):
    store = storage.open_store(url, writable=True)
    return {key: bytes(store.get(key)) for key in store.keys("")}


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """A local pyramid, and the one that is built of it in chunks of its own."""
    folder = tmp_path_factory.mktemp("local")
    zg.build(BASE, folder / "a.zarr", **OPTIONS)
    zg.build(folder / "a.zarr", folder / "b.zarr", **OPTIONS)
    return below(folder / "a.zarr"), below(folder / "b.zarr")


def chunks_asked(proxy, method, name):
    """Returns how often every object (or range of one) of a pyramid was asked for, but of documents and the journal."""
    return {
        (path.partition(f"{name}/")[2].partition("?")[0], part): n
        for (how, path, part), n in proxy.requests.items()
        if how == method and f"{name}/" in path and "/c/" in path and FOLDER not in path
    }


def test_sharded_pyramids_from_and_to_a_server_are_the_local_bytes_one_request_each(server, proxy, local):
    first, second = f"{server[1]}/one/a.zarr", f"{server[1]}/one/b.zarr"
    zg.build(BASE, first, **OPTIONS)
    assert held(first) == local[0]
    assert set(chunks_asked(proxy, "PUT", "a.zarr").values()) == {1}
    proxy.forget()
    result = zg.build(first, second, **{**OPTIONS, "threads": 1})  # two threads may both want the index of a shard first
    assert held(second) == local[1]
    read = chunks_asked(proxy, "GET", "one/a.zarr")
    written = chunks_asked(proxy, "PUT", "one/b.zarr")
    assert set(written.values()) == {1} and {key for key, _ in written} == {key for key in local[1] if "/c/" in key}
    n_shards = 4  # of the base: each has its index read once beside its chunks
    assert set(read.values()) == {1} and len(read) <= result.plan.levels[0].n_chunks + n_shards
    assert len(zg.open(second)) == result.n_levels


def test_latency_and_every_twentieth_request_refused_change_nothing_but_time(server, proxy, local, monkeypatch):
    monkeypatch.setattr(retrying, "DELAYS", (0.01,) * len(retrying.DELAYS))
    proxy.fail_every, proxy.wait_seconds = 20, 0.005
    url = f"{server[1]}/two/a.zarr"
    zg.build(BASE, url, **OPTIONS)
    zg.build(url, f"{server[1]}/two/b.zarr", **OPTIONS)
    assert proxy.n_failed > 5
    proxy.fail_every = 0
    assert held(f"{server[1]}/two/b.zarr") == local[1]


def test_a_server_that_stays_down_is_one_sentence_and_the_build_goes_on(server, proxy, local, monkeypatch):
    monkeypatch.setattr(retrying, "DELAYS", (0.0,) * len(retrying.DELAYS))
    url = f"{server[1]}/three/a.zarr"

    def go_down(progress):
        if progress.n_done >= 20:
            proxy.fail_every = 1

    with pytest.raises(StorageError, match=r"a\.zarr/.*cannot (write|read|list|delete)") as caught:
        zg.build(BASE, url, progress=go_down, **OPTIONS)
    assert "\n" not in str(caught.value)
    proxy.fail_every = 0
    store = storage.open_store(url, writable=True)
    assert store.get("zarr.json") is None and store.get(f"{FOLDER}/lock") is not None
    with pytest.raises(TargetExists, match="another build is writing here"):  # it could not take its lock away, and this process lives
        zg.build(BASE, url, **OPTIONS)
    store.delete(f"{FOLDER}/lock")
    assert zg.build(BASE, url, **OPTIONS).n_resumed >= 1
    assert held(url) == local[0]


def test_levels_are_added_in_place_and_overwritten_on_a_server(server, proxy, local):
    url = f"{server[1]}/four/a.zarr"
    zg.build(BASE, url, **{**OPTIONS, "levels": 1})
    zg.build(url)
    assert len(zg.open(url)) > 1
    zg.build(BASE, url, overwrite=True, **OPTIONS)
    assert held(url) == local[0]


FSSPEC = """
import json, sys, zarr, numpy as np, ziggurat as zg
from ziggurat import storage
url, options, base, out = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3], sys.argv[4]
def at(path):
    return zarr.storage.FsspecStore.from_url(f"{url}/{path}", storage_options=options, read_only=False)
words = dict(chunks=16, shards=48, name="x", threads=1)
class Stop(Exception): pass
def stop(progress):
    if progress.n_done >= 0.75 * progress.n_total: raise Stop
try:
    zg.build(base, at("a.zarr"), axes="yx", progress=stop, **words)
except Stop: pass
assert zg.build(base, at("a.zarr"), axes="yx", **words).n_resumed >= 1
zg.build(at("a.zarr"), at("b.zarr"), **words)
for name in ("a.zarr", "b.zarr"):
    store, there = storage.open_store(at(name), writable=True), storage.open_store(f"{out}/{name}", writable=True)
    for key in store.keys(""):
        there.put(key, [bytes(store.get(key))])
"""


@pytest.mark.parametrize("kind", ["s3", pytest.param("gcs", marks=pytest.mark.prove)])
def test_servers_through_fsspec(kind, local, tmp_path):
    start = {"s3": servers.s3_server, "gcs": servers.gcs_server}[kind]
    np.save(tmp_path / "in.npy", BASE)
    with start() as url:
        options = {"key": "testing", "secret": "testing", "endpoint_url": url} if kind == "s3" else {"token": "anon", "endpoint_url": url}
        root = {"s3": "s3://bucket/six", "gcs": "gs://bucket/six"}[kind]
        variables = {**os.environ, "PYTHONPATH": str(servers.ROOT / "src"), "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false"}
        python = servers.environment("servers") / "bin" / "python"
        command = [python, "-c", FSSPEC, root, json.dumps(options), tmp_path / "in.npy", tmp_path]
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    found = below(tmp_path / "a.zarr"), below(tmp_path / "b.zarr")
    assert [{k: v for k, v in f.items() if k != "zarr.json"} for f in found] == [{k: v for k, v in f.items() if k != "zarr.json"} for f in local]
    assert FileStore(tmp_path / "b.zarr").get("zarr.json") is not None
