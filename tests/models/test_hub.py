"""Pretrained weights: from the hub's cache, from the hub itself, or a clear line soon."""

import socket
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import save, save_file

from fer.errors import WeightsError
from fer.models.network import timm_network
from fer.models.weights import hub_file

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    """A hub cache of our own, and no proxy between us and the servers of these tests."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    for scheme in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{scheme}_proxy", raising=False)
        monkeypatch.delenv(f"{scheme}_proxy".upper(), raising=False)
    return tmp_path / "hub"


@pytest.fixture
def endpoint(monkeypatch):
    """Sets the hub's address, as HF_ENDPOINT does when the hub's library is imported."""

    def use(address: str) -> None:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)

    return use


@contextmanager
def bound_socket(backlog: int | None):
    """An address of this machine: nobody listens (None), or nobody accepts."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if backlog is not None:
            server.listen(backlog)
        yield server.getsockname()


@contextmanager
def hub_server(files: dict[str, bytes], status: int = 404, hub: bool = True):
    """A hub that holds `files` by path and answers all others with `status`; or a server that is no hub."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.answer(body=False)

        def do_GET(self):
            self.answer(body=True)

        def answer(self, body: bool):
            asked.append(self.path)
            content = next((files[name] for name in files if self.path.endswith(name)), None)
            self.send_response(200 if content is not None else status)
            if hub:
                self.send_header("X-Repo-Commit", COMMIT)
                self.send_header("ETag", '"0123"')
                if content is None:
                    self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            if body and content is not None:
                self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def cached(hub, repository: str, name: str):
    """The path of a file in the hub's own cache layout."""
    folder = hub / f"models--timm--{repository}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    (folder / "snapshots" / COMMIT).mkdir(parents=True)
    return folder / "snapshots" / COMMIT / name


def three_ways_out(line: str) -> bool:
    return "\n" not in line and all(way in line for way in ("(1)", "(2) model.weights=PATH", "(3) model.weights=none"))


def test_the_hubs_cache_serves_offline_and_at_once(empty_cache, endpoint):
    endpoint("http://192.0.2.1")  # TEST-NET-1: nobody is there
    torch.manual_seed(3)
    donor = timm.create_model("resnet18")
    file = cached(empty_cache, "resnet18.a1_in1k", "model.safetensors")
    save_file(donor.state_dict(), file)
    started = time.perf_counter()
    assert hub_file("resnet18") == file
    assert time.perf_counter() - started < 0.5
    network = timm_network("resnet18", num_classes=7)
    assert torch.equal(network.layer4[1].conv2.weight, donor.layer4[1].conv2.weight)


def test_an_older_pickle_in_the_cache_serves_too(empty_cache, endpoint):
    endpoint("http://192.0.2.1")
    file = cached(empty_cache, "test_resnet.r160_in1k", "pytorch_model.bin")
    donor = timm.create_model("test_resnet")
    torch.save(donor.state_dict(), file)
    network = timm_network("test_resnet.r160_in1k", num_classes=7)
    assert torch.equal(network.layer4[0].conv1.weight, donor.layer4[0].conv1.weight)


@pytest.mark.parametrize("backlog", [None, 0], ids=["refused", "hanging"])
def test_without_cache_and_network_a_line_comes_soon(endpoint, backlog):
    with bound_socket(backlog) as (host, port):
        waiting = [socket.socket() for _ in range(4)]  # fill the queue, so that the next one hangs
        for one in waiting if backlog is not None else ():
            one.setblocking(False)
            one.connect_ex((host, port))
        endpoint(f"http://{host}:{port}")
        started = time.perf_counter()
        with pytest.raises(WeightsError) as error:
            timm_network("resnet18.a1_in1k", num_classes=7)
        took = time.perf_counter() - started
        for one in waiting:
            one.close()
    assert took < 2
    assert took > 1 or backlog is None  # it did hang
    assert three_ways_out(str(error.value))
    assert "resnet18.a1_in1k" in str(error.value)


def test_an_address_without_a_name_is_told_soon(endpoint):
    endpoint("https://hub.invalid")  # RFC 2606: never resolves
    started = time.perf_counter()
    with pytest.raises(WeightsError) as error:
        hub_file("resnet18.a1_in1k")
    assert time.perf_counter() - started < 2
    assert three_ways_out(str(error.value))


def test_offline_mode_asks_nobody(endpoint, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with hub_server({}) as (address, asked):
        endpoint(address)
        with pytest.raises(WeightsError) as error:
            hub_file("resnet18.a1_in1k")
    assert three_ways_out(str(error.value))
    assert asked == []


def test_another_endpoint_is_downloaded_from_once(endpoint, empty_cache):
    donor = timm.create_model("test_resnet")
    with hub_server({"model.safetensors": save(donor.state_dict())}) as (address, _asked):
        endpoint(address)
        file = hub_file("test_resnet.r160_in1k")
    assert empty_cache in file.parents
    assert hub_file("test_resnet.r160_in1k") == file  # the server is gone
    network = timm_network("test_resnet.r160_in1k", num_classes=7)
    assert torch.equal(network.layer4[0].conv1.weight, donor.layer4[0].conv1.weight)


def test_a_repository_without_safetensors_gives_its_pickle(endpoint):
    with hub_server({"pytorch_model.bin": b"weights"}) as (address, _asked):
        endpoint(address)
        assert hub_file("test_resnet.r160_in1k").read_bytes() == b"weights"


def test_a_repository_without_weights_is_told(endpoint):
    with hub_server({}) as (address, asked):
        endpoint(address)
        with pytest.raises(WeightsError) as error:
            hub_file("test_resnet.r160_in1k")
    assert three_ways_out(str(error.value))
    assert {path.rsplit("/", 1)[1] for path in asked} == {"model.safetensors", "pytorch_model.bin"}


@pytest.mark.parametrize("status", [200, 302, 403, 404])
def test_a_server_that_is_no_hub_is_told(endpoint, status):
    """A firewall's page, or a proxy that refuses: connections open, and yet nothing comes."""
    with hub_server({}, status, hub=False) as (address, _asked):
        endpoint(address)
        with pytest.raises(WeightsError) as error:
            hub_file("test_resnet.r160_in1k")
    assert three_ways_out(str(error.value))


def test_a_server_that_hangs_up_is_told(endpoint):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)

        def hang_up() -> None:
            while True:
                try:
                    server.accept()[0].close()
                except OSError:
                    return

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        endpoint(f"http://127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(WeightsError) as error:
            hub_file("test_resnet.r160_in1k")
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert three_ways_out(str(error.value))


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_a_proxy_is_knocked_at_in_place_of_the_hub(endpoint, monkeypatch, variable):
    endpoint("http://hub.invalid")
    with hub_server({"model.safetensors": b"weights"}) as (address, _asked):
        monkeypatch.setenv(variable, address)
        huggingface_hub.close_session()  # its client reads the environment once
        try:
            assert hub_file("test_resnet.r160_in1k").read_bytes() == b"weights"
        finally:
            huggingface_hub.close_session()


def test_a_proxy_is_passed_by_for_hosts_of_no_proxy(endpoint, monkeypatch):
    with hub_server({"model.safetensors": b"weights"}) as (address, _asked), bound_socket(None) as (host, port):
        endpoint(address)
        monkeypatch.setenv("http_proxy", f"http://{host}:{port}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        huggingface_hub.close_session()
        try:
            assert hub_file("test_resnet.r160_in1k").read_bytes() == b"weights"
        finally:
            huggingface_hub.close_session()


def test_a_backbone_that_has_no_published_weights_is_told():
    with pytest.raises(WeightsError, match=r"no pretrained weights for nf_ecaresnet26; use model\.weights=PATH"):
        timm_network("nf_ecaresnet26", num_classes=7)
