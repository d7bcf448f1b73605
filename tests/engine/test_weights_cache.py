"""Derived weights on disk: found again, never half-trusted, never removed while in use."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.weights.weights_cache import DerivedWeightsKey, WeightsCache
from protocol.errors import CacheEntryInUse, CacheFull, UnknownCacheEntry

KIB = 1 << 10
PARTS = ("*.part", "*.json", "*.gguf")


def key(recipe: str = "q8_0", content: str = "sha256:a", importance: str | None = None) -> DerivedWeightsKey:
    return DerivedWeightsKey(content_hash=content, recipe=recipe, importance=importance, quantizer=1)


def filling(content: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(content)

    return write


@pytest.fixture
def cache(tmp_path: Path) -> WeightsCache:
    return WeightsCache(tmp_path / "weights", 100 * KIB)


def store(cache: WeightsCache, wanted: DerivedWeightsKey, size: int = KIB, used_at: float | None = None) -> Path:
    """Stores and lets go again."""
    with cache.store(wanted, "model", size, filling(wanted.recipe.encode() * (size // len(wanted.recipe)))) as weights:
        path = weights.path
    if used_at is not None:
        os.utime(path.with_suffix(".json"), (used_at, used_at))
    return path


def recipes(cache: WeightsCache) -> list[str]:
    return [entry.key.recipe for entry in cache.entries()]


def test_what_was_stored_is_found_by_its_key_alone(cache: WeightsCache) -> None:
    assert cache.find(key()) == (None, "")
    path = store(cache, key())
    weights, damage = cache.find(key())
    assert weights is not None
    assert (weights.path, damage) == (path, "")
    assert path.read_bytes() == b"q8_0" * 256
    weights.close()
    for other in (key("q6_k"), key(content="sha256:b"), key(importance="sha256:c")):
        assert cache.find(other) == (None, "")


def test_another_process_finds_it_too(cache: WeightsCache) -> None:
    store(cache, key())
    weights, _ = WeightsCache(cache.directory, 100 * KIB).find(key())
    assert weights is not None
    weights.close()


@pytest.mark.parametrize("position", [0, 511, 1023])
def test_a_flipped_byte_is_detected_removed_and_told(cache: WeightsCache, position: int) -> None:
    path = store(cache, key())
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    assert cache.verify(key().name) == "its content has changed"
    assert cache.find(key()) == (None, "its content has changed")
    assert cache.entries() == ()
    assert not path.exists()


def test_a_cut_file_and_a_broken_manifest_are_told(cache: WeightsCache) -> None:
    path = store(cache, key())
    os.truncate(path, 100)
    assert cache.find(key()) == (None, "it is 100 bytes long and was 1024")
    for broken in ("", "{", "[]", "{}", '{"key": {}, "model": "", "size_bytes": 1, "digest": ""}'):
        path = store(cache, key())
        path.with_suffix(".json").write_text(broken)
        assert cache.entries() == ()
        assert cache.find(key()) == (None, "its manifest is unreadable")


def test_a_manifest_under_another_name_is_none(cache: WeightsCache) -> None:
    path = store(cache, key())
    for suffix in (".gguf", ".json"):
        path.with_suffix(suffix).rename(path.with_name(key("q6_k").name + suffix))
    assert cache.find(key("q6_k")) == (None, "its manifest is unreadable")


def test_the_entry_used_longest_ago_makes_room(cache: WeightsCache) -> None:
    store(cache, key("old"), 40 * KIB, used_at=3)
    store(cache, key("older"), 40 * KIB, used_at=2)
    used, _ = cache.find(key("older"))
    assert used is not None
    used.close()
    store(cache, key("new"), 40 * KIB)
    assert recipes(cache) == ["new", "older"]


def test_what_is_in_use_stays(cache: WeightsCache) -> None:
    store(cache, key("used"), 40 * KIB, used_at=1)
    used, _ = cache.find(key("used"))
    assert used is not None
    store(cache, key("idle"), 40 * KIB, used_at=2)
    store(cache, key("new"), 40 * KIB)
    assert recipes(cache) == ["new", "used"]
    assert [entry.in_use for entry in cache.entries()] == [False, True]
    with pytest.raises(CacheEntryInUse):
        cache.remove(key("used").name)
    with pytest.raises(CacheFull, match="40960 of them in use"):
        store(cache, key("large"), 70 * KIB)
    used.close()
    cache.remove(key("used").name)
    assert recipes(cache) == []


def test_storing_holds_what_it_stored(cache: WeightsCache) -> None:
    with cache.store(key(), "model", KIB, filling(bytes(KIB))), pytest.raises(CacheEntryInUse):
        cache.remove(key().name)
    cache.remove(key().name)
    for remove_or_verify in (cache.remove, cache.verify):
        with pytest.raises(UnknownCacheEntry):
            remove_or_verify(key().name)


def test_weights_larger_than_the_cache_are_refused_before_a_byte_is_written(cache: WeightsCache) -> None:
    store(cache, key("small"))
    with pytest.raises(CacheFull, match="ENGINE_WEIGHTS_CACHE_MB"):
        cache.store(key(), "model", 101 * KIB, lambda _: pytest.fail("it was written"))


def test_a_failed_writer_leaves_nothing(cache: WeightsCache) -> None:
    def write(path: Path) -> None:
        path.write_bytes(b"half")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        cache.store(key(), "model", KIB, write)
    assert not [path for pattern in PARTS for path in cache.directory.glob(pattern)]


def test_a_full_disk_is_a_typed_error(cache: WeightsCache) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10 * KIB, limits[1]))
    try:
        with pytest.raises(CacheFull, match="cache rm"):
            store(cache, key(), 20 * KIB)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not [path for pattern in PARTS for path in cache.directory.glob(pattern)]


WRITER = """
    import sys, time
    from pathlib import Path
    from engine.weights.weights_cache import WeightsCache, DerivedWeightsKey
    def write(path):
        path.write_bytes(b"half")
        print("writing", flush=True)
        time.sleep(60)
    WeightsCache(Path(sys.argv[1]), 10**6).store(DerivedWeightsKey("sha256:a", "q8_0", None, 1), "model", 8, write)
"""


def test_a_killed_writer_leaves_nothing_that_is_trusted(cache: WeightsCache) -> None:
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(cache.directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:  # noqa: S603
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"writing\n"
        store(cache, key("q6_k"))
        assert len(list(cache.directory.glob("*.part"))) == 1, "a living writer is left alone"
        writer.send_signal(signal.SIGKILL)
    assert cache.find(key()) == (None, "")
    store(cache, key())
    assert not list(cache.directory.glob("*.part"))
    assert sorted(recipes(cache)) == ["q6_k", "q8_0"]


def test_weights_without_a_manifest_are_swept(cache: WeightsCache) -> None:
    """A writer killed between the two renames."""
    path = store(cache, key())
    path.with_suffix(".json").unlink()
    assert cache.find(key()) == (None, "")
    store(cache, key("q6_k"))
    assert not path.exists()


def test_finding_marks_the_time_of_use(cache: WeightsCache) -> None:
    path = store(cache, key(), used_at=1)
    begun = time.time()
    weights, _ = cache.find(key())
    assert weights is not None
    weights.close()
    assert path.with_suffix(".json").stat().st_mtime >= begun - 1


@pytest.mark.parametrize("name", ["../elsewhere", "/etc/passwd", "", "A" * 32, "0" * 33, "0" * 31 + "/"])
def test_what_is_no_name_becomes_no_path(cache: WeightsCache, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def touched(*_: object) -> None:
        raise AssertionError("it became a path")

    monkeypatch.setattr(WeightsCache, "_manifest", touched)
    for ask in (cache.verify, cache.remove):
        with pytest.raises(UnknownCacheEntry):
            ask(name)


def test_a_pipe_in_place_of_weights_or_their_manifest_keeps_nobody_waiting(cache: WeightsCache) -> None:
    weights, of_manifest = store(cache, key("q8_0")), store(cache, key("q6_k"))
    weights.unlink()
    os.mkfifo(weights)
    manifest = of_manifest.with_suffix(".json")
    manifest.unlink()
    os.mkfifo(manifest)
    assert cache.verify(key("q8_0").name)
    assert recipes(cache) == ["q8_0"]
    cache.remove(key("q8_0").name)
    with pytest.raises(UnknownCacheEntry):
        cache.verify(key("q6_k").name)


def test_a_manifest_nested_200_000_deep_is_none(cache: WeightsCache) -> None:
    store(cache, key()).with_suffix(".json").write_text("[" * 200_000)
    assert cache.entries() == ()
