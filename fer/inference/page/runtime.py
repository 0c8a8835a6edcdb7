"""onnxruntime-web, which runs ONNX models in browsers: fetched once from the npm registry, checked, kept in a cache."""

import hashlib
import io
import os
import tarfile
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

from fer.errors import ConfigError
from fer.files import replacing

NAME, VERSION = "onnxruntime-web", "1.30.0"
# Of the package, by what they are called in the page: .js, for some web hosts do not know .mjs.
FILES = {
    "ort.js": "dist/ort.wasm.min.mjs",
    "ort-wasm.js": "dist/ort-wasm-simd-threaded.mjs",
    "ort-wasm.wasm": "dist/ort-wasm-simd-threaded.wasm",
}
SHA256 = {
    "ort.js": "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
    "ort-wasm.js": "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
    "ort-wasm.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
REGISTRY = "https://registry.npmjs.org"
PATIENCE = 20  # seconds that the registry may be silent
MAX_BYTES = 100_000_000  # of the package; it has 33 million
HELP = f"give onnxruntime_web=PATH: the package {NAME} {VERSION} of npm (npm pack {NAME}@{VERSION}), packed or unpacked"


def runtime(source: str | None = None) -> dict[str, bytes]:
    """The files that a page needs, by their names there.

    Args:
        source: the unpacked package or its .tgz; None takes the cache, or else the registry.

    Raises:
        ConfigError: it is not at `source`; there is no way to the registry; the files are not those of VERSION.
    """
    if source is not None:
        return _checked(_reader(Path(source)), source)
    cache = cache_folder()
    try:
        return _checked(lambda name: (cache / name).read_bytes(), str(cache))
    except ConfigError:  # not there, or damaged
        address = f"{os.environ.get('NPM_CONFIG_REGISTRY', REGISTRY).rstrip('/')}/{NAME}/-/{NAME}-{VERSION}.tgz"
        found = _checked(_packed(_downloaded(address), address), address)
    with suppress(OSError):  # without a cache it is fetched again
        for name, content in found.items():
            with replacing(cache / FILES[name], "wb") as file:
                file.write(content)
    return found


def cache_folder() -> Path:
    """Where the files are kept."""
    home = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or Path.home() / ".cache"
    return Path(home) / "fer-experiments" / f"{NAME}-{VERSION}"


def _checked(read: Callable[[str], bytes], where: str) -> dict[str, bytes]:
    found = {}
    for name, path in FILES.items():
        try:
            found[name] = read(path)
        except (OSError, KeyError) as error:
            raise ConfigError(f"{where} has no {path}; {HELP}") from error
        if hashlib.sha256(found[name]).hexdigest() != SHA256[name]:
            raise ConfigError(f"{path} of {where} is damaged, or of another version; {HELP}")
    return found


def _reader(source: Path) -> Callable[[str], bytes]:
    if source.is_dir():
        return lambda name: (source / name).read_bytes()
    try:
        return _packed(source.read_bytes(), str(source))
    except OSError as error:
        raise ConfigError(f"onnxruntime_web={source}: {error.strerror}; {HELP}") from error


def _packed(content: bytes, where: str) -> Callable[[str], bytes]:
    """Reads files out of an npm package."""
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            wanted = {f"package/{path}" for path in FILES.values()}
            parts = {member.name: archive.extractfile(member) for member in archive if member.name in wanted}
            found = {name: part.read() for name, part in parts.items() if part is not None}
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ConfigError(f"{where} is no package of npm ({error}); {HELP}") from error
    return lambda name: found[f"package/{name}"]


def _downloaded(address: str) -> bytes:
    try:
        with urlopen(address, timeout=PATIENCE) as response:
            content = response.read(MAX_BYTES)
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise ConfigError(f"{address} cannot be fetched ({reason}); {HELP}") from error
    return bytes(content)
