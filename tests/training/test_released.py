"""Importing checkpoints of the released code: logits, what surrounds weights, hostile files."""

from __future__ import annotations

import hashlib
import os
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from realmnet_runtime.errors import ConfigurationError, IntegrityError, MissingPath
from realmnet_training.checkpoint import import_released
from realmnet_training.model import HeadKind, RealMNet
from realmnet_training.networks.backbone import Size
from realmnet_training.released.torch_archive import TorchArchive

Reader = Callable[[str], dict[str, Any]]
State = dict[str, Tensor]


def worked_value(name: str, shape: list[int]) -> Tensor:
    if not shape:
        return torch.zeros((), dtype=torch.int64)
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little")
    raw: Any = np.random.RandomState(seed).standard_normal(shape).astype(np.float32)
    if name.endswith("running_var"):
        raw = 1 + 0.1 * np.abs(raw)
    elif name.endswith("running_mean"):
        raw = 0.05 * raw
    elif len(shape) == 1:
        raw = 1 + 0.1 * raw if name.endswith("weight") else 0.05 * raw
    elif name.endswith("attention_biases"):
        raw = 0.2 * raw
    else:
        raw = raw * np.prod(shape[1:]) ** -0.5
    return torch.from_numpy(np.asarray(raw, np.float32))


def released_names(model: RealMNet) -> State:
    """Name a model's tensors as the released code does."""
    state: State = OrderedDict()
    for name, value in model.state_dict().items():
        theirs = (
            name.replace(".conv.", ".conv2d.")
            .replace(".bn.", ".bn2d.")
            .replace("patch_embed.conv1.", "patch_embed.seq.0.")
            .replace("patch_embed.conv2.", "patch_embed.seq.2.")
            .replace("backbone.head.norm.", "backbone.norm3.")
        )
        for stage in (1, 2, 3):
            theirs = theirs.replace(f"s.{stage}.downsample", f"s.{stage - 1}.downsample")
        if theirs.startswith("head.heads."):
            theirs = theirs.replace("head.heads.", "head.csra_heads.").replace(
                ".weight", ".head.weight"
            )
        state[theirs] = value
    return state


@pytest.fixture(scope="module")
def model() -> RealMNet:
    torch.manual_seed(0)
    return RealMNet("5m", 64, labels=5, heads=4, lam=0.7).eval()


@pytest.fixture(scope="module")
def state(model: RealMNet) -> State:
    return released_names(model)


def require_equal(one: RealMNet, other: RealMNet) -> None:
    theirs = other.state_dict()
    for name, value in one.state_dict().items():
        torch.testing.assert_close(theirs[name], value, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["5m_224", "21m_384"])
def test_an_imported_checkpoint_gives_the_released_codes_logits(
    vectors: Reader, tmp_path: Path, name: str
) -> None:
    worked = vectors("released_checkpoint")["models"][name]
    size, image = name.split("_")
    weights = {key: worked_value(key, shape) for key, shape in worked["keys"].items()}
    torch.save({"meta": {"epoch": 50}, "state_dict": weights}, tmp_path / "epoch_50.pth")
    model = import_released(tmp_path / "epoch_50.pth")
    assert (model.size, model.image, model.labels) == (size, int(image), 7)
    assert sum(parameter.numel() for parameter in model.parameters()) == worked["params"]
    pixels = np.random.RandomState(42).random_sample((1, 3, model.image, model.image))
    with torch.no_grad():
        logits, _ = model(torch.from_numpy(pixels.astype(np.float32)))
    torch.testing.assert_close(logits[0], torch.tensor(worked["logits"]), rtol=0, atol=1e-4)


@pytest.mark.parametrize("size", ["5m", "11m", "21m"])
@pytest.mark.parametrize("head", ["csra", "linear"])
def test_the_architecture_follows_from_the_shapes(
    size: Size, head: HeadKind, tmp_path: Path
) -> None:
    saved = RealMNet(size, 96, labels=3, heads=1, head=head)
    torch.save(released_names(saved), tmp_path / "c.pth")
    loaded = import_released(tmp_path / "c.pth", lam=0.4)
    assert (loaded.size, loaded.image, loaded.labels) == (size, 96, 3)
    assert (loaded.head_kind, loaded.lam, loaded.training) == (head, 0.4, False)
    require_equal(saved, loaded)


@pytest.mark.parametrize("prefix", ["", "module.", "ema_", "module.ema_"])
def test_prefixes_and_bare_state_dicts_are_read(
    prefix: str, model: RealMNet, state: State, tmp_path: Path
) -> None:
    torch.save({prefix + name: value for name, value in state.items()}, tmp_path / "c.pth")
    require_equal(model, import_released(tmp_path / "c.pth"))


def test_plain_names_win_over_averages_and_halves_become_single(
    model: RealMNet, state: State, tmp_path: Path
) -> None:
    others = {f"ema_{name}": torch.zeros_like(value) for name, value in state.items()}
    flat = {f"ema_{name}".replace(".", "_"): value for name, value in state.items()}
    torch.save({"state_dict": others | flat | state}, tmp_path / "c.pth")
    require_equal(model, import_released(tmp_path / "c.pth"))
    half = {name: value.half() for name, value in state.items()}
    torch.save(half, tmp_path / "half.pth")
    loaded = import_released(tmp_path / "half.pth")
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}


class _FrameworkModules:
    """Classes that exist while a checkpoint is written and are gone when it is read."""

    NAMES = ("mmengine", "mmengine.logging", "mmengine.logging.history_buffer")

    def __enter__(self) -> types.ModuleType:
        for name in self.NAMES:
            sys.modules[name] = types.ModuleType(name)
        module = sys.modules[self.NAMES[-1]]

        class HistoryBuffer:
            def __init__(self, values: list[float]) -> None:
                self._log_history = np.array(values)
                self._statistics_methods = {"mean": np.mean}
                self.device = torch.device("cpu")

        HistoryBuffer.__module__ = module.__name__
        HistoryBuffer.__qualname__ = "HistoryBuffer"
        module.HistoryBuffer = HistoryBuffer  # type: ignore[attr-defined]
        return module

    def __exit__(self, *_: object) -> None:
        for name in self.NAMES:
            del sys.modules[name]


def test_a_whole_training_checkpoint_is_read_without_its_framework(
    model: RealMNet, state: State, tmp_path: Path
) -> None:
    path = tmp_path / "epoch_50.pth"
    weights: Any = OrderedDict(
        (name, torch.nn.Parameter(v) if v.is_floating_point() else v) for name, v in state.items()
    )
    weights._metadata = OrderedDict(version=1)
    optimiser = torch.optim.AdamW([torch.nn.Parameter(torch.ones(3))])
    with _FrameworkModules() as module:
        hub = {"loss": module.HistoryBuffer([1.0, 2.0]), "lr": np.float64(0.1)}
        torch.save(
            {
                "meta": {"epoch": 50, "seed": np.int64(42), "path": tmp_path, "classes": {"a"}},
                "state_dict": weights,
                "message_hub": {"log_scalars": OrderedDict(hub), "runtime_info": np.arange(4.0)},
                "optimizer": optimiser.state_dict(),
                "param_schedulers": [{"_step_count": 3, "dtype": torch.float32}],
            },
            path,
        )
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)
    require_equal(model, import_released(path))
    assert "mmengine" not in sys.modules


def rewrite(
    source: Path,
    target: Path,
    changes: Mapping[str, bytes | None],
    compression: int = zipfile.ZIP_STORED,
) -> None:
    """Copy a torch archive with entries (named without their folder) replaced or left out."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", compression) as new:
        for entry in old.namelist():
            content = changes.get(entry.partition("/")[2], old.read(entry))
            if content is not None:
                new.writestr(entry, content)


def call(module: str, name: str, *arguments: object) -> bytes:
    """Opcodes that call a global with pickled arguments and leave the result on the stack."""
    body = pickle.dumps(tuple(arguments), protocol=2)[2:-1]
    return f"c{module}\n{name}\n".encode() + body + b"R"


def in_state_dict(value: bytes) -> bytes:
    """Pickle {"state_dict": {"backbone.x": value}}."""
    name = pickle.dumps("backbone.x", protocol=2)[2:-1]
    wrapper = pickle.dumps("state_dict", protocol=2)[2:-1]
    return b"\x80\x02}" + wrapper + b"}" + name + value + b"ss."


BOMBS = {
    "system": call("os", "system", "touch ran"),
    "posix": call("posix", "system", "touch ran"),
    "eval": call("builtins", "eval", "open('ran', 'w')"),
    "exec": call("builtins", "exec", "open('ran', 'w')"),
    "popen": call("subprocess", "Popen", ["touch", "ran"]),
    "getattr": b"cbuiltins\ngetattr\n" + call("builtins", "__import__", "os")
    + b"U\x06system\x86R" + b"U\x09touch ran\x85R",
    "nested": call("builtins", "map") + call("os", "system", "touch ran") + b"\x85R",
    "torch": call("torch", "load", "/etc/passwd"),
    "torch_hub": call("torch.hub", "load", "a/b", "c"),
    "dotted": b"\x8c\x02os\x8c\x06system\x93" + b"U\x09touch ran\x85R",
    "dunder": b"\x8c\x0bcollections\x8c\x20OrderedDict.__init__.__globals__\x93)R",
    "new": b"cos\n_wrap_close\nU\x03ran\x85\x81}U\x01xK\x01sb",
    "slots": b"ctorch._utils\n_rebuild_tensor_v2\nN}U\x05_callcos\nsystem\ns\x86b"
     b"U\x09touch ran\x85R",
    "build_function": b"ctorch._utils\n_rebuild_tensor_v2\n}U\x08__code__U\x01xsb",
    "build_class": b"ccollections\nOrderedDict\n}U\x06updateU\x01xsb",
    "build_kind": b"ctorch\nFloatStorage\n}U\x05dtypeU\x01xsb",
    "instance": b"(U\x09touch ranios\nsystem\n",
    "object": b"(cos\nsystem\nU\x09touch rano",
    "extension": b"\x82\x01",
    "text_persistent": b"Pstorage\n",
    "no_storage": b"(U\x07storageU\x01xtQ",
    "bytearray": b"\x96" + struct.pack("<Q", 1 << 40),
    "memo": b"Nr" + struct.pack("<I", 0xFFFFFFFF),
    "tuples": b")" + b"\x85" * 1_000_000 + b"N",
    "long_tuple_key": b"})" + b"\x85" * 1_000_000 + b"Ns",
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_pickle_bomb_runs_nothing(
    bomb: str, state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "system", lambda _: pytest.fail("os.system was called"))
    torch.save({"state_dict": state}, "whole.pth")
    rewrite(Path("whole.pth"), Path("bomb.pth"), {"data.pkl": in_state_dict(BOMBS[bomb])})
    with pytest.raises((IntegrityError, ConfigurationError)):
        import_released("bomb.pth")
    assert not Path("ran").exists()
    # nothing of one file stays: the next one is read as if it were the first
    assert import_released("whole.pth").size == "5m"


class _Reducing:
    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit('code of a checkpoint ran')",))


def test_a_bomb_beside_whole_weights_is_inert(
    model: RealMNet, state: State, tmp_path: Path
) -> None:
    torch.save({"message_hub": [_Reducing()], "state_dict": state}, tmp_path / "c.pth")
    require_equal(model, import_released(tmp_path / "c.pth"))


def tensor_of(count: int, size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> bytes:
    """Opcodes of a float tensor over storage `0` with the sizes given."""
    numbers = struct.pack("<i", count), struct.pack("<i", offset)
    shapes = b"".join(pickle.dumps(shape, protocol=2)[2:-1] for shape in (size, stride))
    storage = b"(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuJ" + numbers[0] + b"tQ"
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"J" + numbers[1] + shapes + b"\x89NtR"
    )


@pytest.mark.parametrize(
    ("count", "size", "stride", "offset"),
    [
        (2**30, (2**30,), (1,), 0),
        (4, (2**20, 2**20), (0, 0), 0),
        (4, (5,), (1,), 0),
        (4, (2,), (1,), 3),
        (4, (2, 2), (1,), 0),
        (4, (2,), (2**62,), 0),
    ],
)
def test_a_tensor_must_fit_the_numbers_that_are_stored(
    count: int, size: tuple[int, ...], stride: tuple[int, ...], offset: int, tmp_path: Path
) -> None:
    torch.save({"x": torch.arange(4.0)}, tmp_path / "four.pth")
    content = in_state_dict(tensor_of(count, size, stride, offset))
    rewrite(tmp_path / "four.pth", tmp_path / "c.pth", {"data.pkl": content})
    with pytest.raises(IntegrityError, match="does not fit the numbers"):
        import_released(tmp_path / "c.pth")


def test_views_of_one_storage_are_read_as_torch_reads_them(tmp_path: Path) -> None:
    base = torch.arange(24.0, dtype=torch.float64).reshape(4, 6)
    saved = {
        "t": base.T,
        "part": base[1:3, ::2],
        "none": base[:0],
        "one": base[3, 5],
        "b": base > 3,
    }
    torch.save(saved, tmp_path / "views.pth")
    with TorchArchive(tmp_path / "views.pth") as archive:
        root: Any = archive.root
        for name, value in torch.load(tmp_path / "views.pth", weights_only=True).items():
            torch.testing.assert_close(archive.read(root[name]), value, rtol=0, atol=0)


def test_damaged_files_are_refused(state: State, tmp_path: Path) -> None:
    whole, path = tmp_path / "whole.pth", tmp_path / "c.pth"
    torch.save(state, whole)
    with pytest.raises(MissingPath, match="does not exist"):
        import_released(tmp_path / "absent.pth")
    torch.save(state, path, _use_new_zipfile_serialization=False)
    with pytest.raises(IntegrityError, match=r"before 1\.6"):
        import_released(path)
    content = bytearray(whole.read_bytes())
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(IntegrityError, match="no zip archive"):
        import_released(path)
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match="archive is damaged"):
        import_released(path)
    path.write_bytes(b"")
    with pytest.raises(IntegrityError, match="no zip archive"):
        import_released(path)
    for changes, reason in (
        ({"data/3": None}, "numbers are missing"),
        ({"data/3": b"1234"}, "does not fit the numbers"),
        ({"data.pkl": None}, r"without torch's data\.pkl"),
        ({"data.pkl": b"\x80\x02}"}, "pickle is damaged"),
        ({"byteorder": b"big"}, "big-endian"),
    ):
        rewrite(whole, path, changes)
        with pytest.raises(IntegrityError, match=reason):
            import_released(path)
    rewrite(whole, path, {}, zipfile.ZIP_DEFLATED)
    with pytest.raises(IntegrityError, match="compressed"):
        import_released(path)


def changed(state: State, **changes: Tensor | None) -> State:
    merged = {name: value for name, value in state.items() if changes.get(name, value) is not None}
    return merged | {name: value for name, value in changes.items() if value is not None}


def test_another_architecture_is_named_by_its_first_tensor_that_does_not_fit(
    state: State, tmp_path: Path
) -> None:
    table = "backbone.stages.2.blocks.0.attn.attention_biases"
    block = "backbone.stages.1.blocks.0.mlp.fc1.weight"
    for content, message in (
        ({"fc.weight": torch.zeros(2)}, r"backbone\.\* and head\.\*"),
        ([1, 2], r"backbone\.\* and head\.\*"),
        (changed(state, **{"backbone.norm3.weight": torch.zeros(768)}), "768 channels"),
        (changed(state, **{"backbone.norm3.weight": None}), "norm3.weight' is missing"),
        (changed(state, **{table: torch.zeros(4)}), "2 dimensions"),
        (changed(state, **{table: torch.zeros(1, 70 * 70)}), "1120 px"),
        (changed(state, **{block: None}), "mlp.fc1.weight' is missing"),
        (changed(state, **{block: torch.zeros(9, 9)}), r"fc1\.weight' has shape \(9, 9\)"),
        (changed(state, **{"backbone.stages.9.x": torch.zeros(1)}), r"no 'backbone\.stages\.9\.x'"),
        (changed(state, **{"module." + block: torch.zeros(1)}), "twice"),
    ):
        torch.save(content, tmp_path / "c.pth")
        with pytest.raises(ConfigurationError, match=message):
            import_released(tmp_path / "c.pth")
