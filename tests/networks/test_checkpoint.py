from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from crisp.errors import InputError
from crisp.networks.backbone import quantise_backbone
from crisp.networks.checkpoint import load_checkpoint, save_checkpoint, sha256
from crisp.networks.checkpoint_info import CheckpointInfo
from crisp.networks.model import CrispNetwork, build_network
from crisp.shape.library import ShapeLibrary
from crisp.types import Symmetries


@pytest.fixture
def info() -> CheckpointInfo:
    half_turn = np.diag([-1.0, -1.0, 1.0, 1.0])
    return CheckpointInfo(
        name="tiny",
        library=ShapeLibrary(("mug", "box"), (3, 7), torch.randn(2, 32), torch.tensor([0.125, 0.25])),
        kinds=("mug", "box"),
        symmetries=(
            Symmetries(),
            Symmetries(discrete=(half_turn,), continuous=((np.array([0.0, 0.0, 1.0]), np.zeros(3)),)),
        ),
        training={"recipe": "tiny", "steps": 12, "metrics": {"pnc_m": 0.004}},
    )


@pytest.fixture
def folder(tmp_path: Path, tiny_network: CrispNetwork, info: CheckpointInfo) -> Path:
    save_checkpoint(tmp_path / "model", tiny_network, info)
    return tmp_path / "model"


def assert_same_predictions(a: CrispNetwork, b: CrispNetwork, *, atol: float) -> None:
    images = torch.randn(2, 3, 56, 56)
    first, second = a(images), b(images)
    assert torch.allclose(first.pnc, second.pnc, atol=atol)
    assert torch.allclose(first.shape_code, second.shape_code, atol=atol)


def test_in_full_precision_it_comes_back_exactly(
    tmp_path: Path, tiny_network: CrispNetwork, info: CheckpointInfo
) -> None:
    save_checkpoint(tmp_path / "m", tiny_network, info, dtype="float32", backbone_dtype="float32")
    network, again = load_checkpoint(tmp_path / "m")
    assert not network.training
    assert network.config == tiny_network.config
    for name, value in tiny_network.state_dict().items():
        assert torch.equal(network.state_dict()[name], value), name
    assert torch.equal(again.library.codes, info.library.codes)
    assert (again.name, again.kinds, again.training) == (info.name, info.kinds, info.training)
    assert again.objects_json() == info.objects_json()
    np.testing.assert_array_equal(again.symmetries[1].discrete[0], info.symmetries[1].discrete[0])


def test_a_quantised_network_comes_back_exactly_and_saves_to_the_same_bytes(
    tmp_path: Path, tiny_network: CrispNetwork, info: CheckpointInfo
) -> None:
    network = build_network(tiny_network.config, quantise_backbone(tiny_network.backbone)).eval()
    save_checkpoint(tmp_path / "a", network, info)
    loaded, loaded_info = load_checkpoint(tmp_path / "a")
    assert_same_predictions(network, loaded, atol=2e-3)  # heads in float16
    save_checkpoint(tmp_path / "b", loaded, loaded_info)
    names = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert names == sorted(p.name for p in (tmp_path / "b").iterdir())
    assert all(sha256(tmp_path / "a" / n) == sha256(tmp_path / "b" / n) for n in names)


def test_two_models_share_one_backbone_file(
    tmp_path: Path, tiny_network: CrispNetwork, info: CheckpointInfo
) -> None:
    shared = tmp_path / "backbone" / "tiny-int8.safetensors"
    network = build_network(tiny_network.config, quantise_backbone(tiny_network.backbone)).eval()
    for name in ("a", "b"):
        save_checkpoint(tmp_path / name, network, info, backbone_file=shared)
        document = json.loads((tmp_path / name / "checkpoint.json").read_text())
        assert document["files"]["backbone"]["path"] == "../backbone/tiny-int8.safetensors"
        assert not (tmp_path / name / "backbone.safetensors").exists()
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for name in ("a", "backbone"):
        (tmp_path / name).rename(moved / name)
    assert_same_predictions(network, load_checkpoint(moved / "a")[0], atol=2e-3)


def test_a_shared_backbone_that_differs_is_refused(
    tmp_path: Path, tiny_network: CrispNetwork, info: CheckpointInfo
) -> None:
    shared = tmp_path / "shared.safetensors"
    save_checkpoint(tmp_path / "a", tiny_network, info, backbone_file=shared)
    # tiny_network was never quantised, so the int8 file does not hold its backbone.
    with pytest.raises(InputError, match="not the backbone"):
        save_checkpoint(tmp_path / "b", tiny_network, info, backbone_file=shared)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "shared.safetensors"]


def test_overwriting_replaces_everything_and_leaves_no_rests(
    folder: Path, tiny_network: CrispNetwork, info: CheckpointInfo
) -> None:
    with torch.no_grad():
        tiny_network.shape_head.out.bias.add_(1.0)
    renamed = dataclasses.replace(info, name="second")
    save_checkpoint(folder, tiny_network, renamed, backbone_file=folder.parent / "shared.safetensors")
    network, again = load_checkpoint(folder)
    assert again.name == "second"
    assert torch.allclose(network.shape_head.out.bias, tiny_network.shape_head.out.bias, atol=1e-3, rtol=1e-3)
    assert not (folder / "backbone.safetensors").exists()
    assert sorted(p.name for p in folder.parent.iterdir()) == ["model", "shared.safetensors"]


def test_an_untrained_network_has_an_empty_library(tmp_path: Path, tiny_network: CrispNetwork) -> None:
    empty = ShapeLibrary((), (), torch.zeros(0, 32), torch.zeros(0))
    save_checkpoint(tmp_path / "m", tiny_network, CheckpointInfo("new", empty, (), ()))
    assert len(load_checkpoint(tmp_path / "m")[1].library) == 0


def test_int8_heads_spare_the_decoder(
    tmp_path: Path, tiny_network: CrispNetwork, info: CheckpointInfo
) -> None:
    save_checkpoint(tmp_path / "m", tiny_network, info, dtype="int8", backbone_dtype="float32")
    stored = load_file(tmp_path / "m" / "heads.safetensors")
    matrices = {k for k, v in tiny_network.named_parameters() if k.endswith(".weight") and v.ndim >= 2}
    expected = {k for k in matrices if k.split(".")[0] in ("shape_head", "pnc_head")}
    assert {k for k, v in stored.items() if v.dtype == torch.int8} == expected
    # Weights move by at most 1/254 of their row's largest: 16 of them by well under a tenth of the output.
    assert_same_predictions(tiny_network, load_checkpoint(tmp_path / "m")[0], atol=0.02)


@pytest.mark.parametrize("name", ["heads", "library", "backbone"])
def test_a_changed_byte_is_found(folder: Path, name: str) -> None:
    path = folder / f"{name}.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=f"{name} file .* was changed"):
        load_checkpoint(folder)


@pytest.mark.parametrize("name", ["heads", "library", "backbone"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / f"{name}.safetensors").unlink()
    with pytest.raises(InputError, match=f"{name} file .* is missing"):
        load_checkpoint(folder)


def change(*keys: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def apply(document: dict[str, Any]) -> None:
        place: Any = document
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    return apply


def drop(key: str) -> Callable[[dict[str, Any]], None]:
    return lambda document: document.pop(key)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (change("format_version", value=99), "format version 99"),
        (change("colour", value=1), "unknown key 'colour'"),
        (drop("training"), "missing key 'training'"),
        (change("units", value="mm"), "must be in m"),
        (change("objects", value={}), "objects .* must be a list"),
        (change("name", value=5), "name in .* must be a text"),
        (change("objects", 0, value=3), r"objects\[0\] must be an object with the keys"),
        (change("objects", 0, "colour", value=1), r"unknown key 'colour' in objects\[0\]"),
        (lambda d: d["objects"][1].pop("diameter_m"), r"missing key 'diameter_m' in objects\[1\]"),
        *(
            (change("objects", 0, "diameter_m", value=v), r"objects\[0\]\.diameter_m must be positive metres")
            for v in ("0.1", -1.0, 0, float("nan"), float("inf"), 10**400, None, True, [0.1])
        ),
        *(
            (change("objects", 1, "id", value=v), r"objects\[1\]\.id must be a whole number")
            for v in ("7", 7.5, None, True)
        ),
        (change("objects", 1, "kind", value=7), r"objects\[1\]\.kind must be a text"),
        (change("objects", 1, "symmetries_discrete", value=[[1.0, 2.0]]), r"objects\[1\] .* BOP's form"),
        (change("objects", 1, "symmetries_discrete", 0, 3, value=10**400), "BOP's form"),
        (change("objects", 1, "symmetries_discrete", 0, 3, value=float("nan")), "must be finite"),
        (change("objects", 1, "symmetries_continuous", 0, "axis", value=[0, 0, 0]), "no axis may be zero"),
        (change("objects", 1, "name", value="mug"), "occurs twice"),
        (change("network", "colour", value=1), "unknown key 'colour' in the network"),
        (change("network", value=[1]), "network must be an object"),
        (change("network", "image_px", value=57), "multiple of 14"),
        (change("network", "image_px", value="56"), r"network\.image_px must be a whole number from 0"),
        (change("network", "hidden", value=8.0), r"network\.hidden must be a whole number .*, got '8\.0'"),
        (change("network", "hidden", value=True), r"network\.hidden must be a whole number"),
        (change("network", "code_dim", value=-32), r"network\.code_dim must be a whole number"),
        (change("network", "shape_hidden", value=10**9), r"network\.shape_hidden must be .* to 100000"),
        (change("network", "cube_half_m", value="0.2"), r"network\.cube_half_m must be a number from 0"),
        (
            change("network", "cube_half_m", value=float("nan")),
            r"network\.cube_half_m must be a number from 0",
        ),
        (change("network", "head", "dropout", value=1.5), "network describes what cannot be built"),
        (change("network", "head", "position_embedding", value=1), "must be true or false, got '1'"),
        (change("network", "backbone", "taps", value=[1, 2]), r"backbone\.taps must be a list of 4"),
        (change("network", "backbone", "taps", 0, value="1"), r"backbone\.taps\[0\] must be a whole"),
        (change("network", "backbone", "attention_heads", value=0), "network holds a 0 where none can be"),
        (change("network", "shape_hidden", value=24), "shape_head.* is .* the configuration asks for"),
        (change("network", "backbone", "blocks", value=5), "missing tensor encoder.layer.4"),
        (change("files", "heads", value="heads.safetensors"), "files.heads"),
        (change("files", "heads", "path", value="/heads.safetensors"), "relative path"),
        (
            change("files", "heads", "path", value=10**400),
            r"files\.heads\.path of checkpoint\.json must be a text",
        ),
    ],
)
def test_each_corruption_of_the_json_is_one_sentence(
    folder: Path, edit: Callable[[dict[str, Any]], None], message: str
) -> None:
    path = folder / "checkpoint.json"
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match=message) as caught:
        load_checkpoint(folder)
    assert "\n" not in str(caught.value)
    if not message.startswith(("files", "relative", "shape_head", "missing tensor")):  # these name the file
        assert "checkpoint.json" in str(caught.value)


def test_files_that_are_no_checkpoint(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(InputError, match=r"holds no checkpoint\.json"):
        load_checkpoint(tmp_path / "nothing")
    (folder / "checkpoint.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read as JSON"):
        load_checkpoint(folder)


def rewrite(folder: Path, name: str, tensors: dict[str, torch.Tensor]) -> None:
    """Another file, honestly recorded: the hash fits, the contents do not."""
    path = folder / f"{name}.safetensors"
    save_file(tensors, path)
    document = json.loads((folder / "checkpoint.json").read_text())
    document["files"][name]["sha256"] = sha256(path)
    (folder / "checkpoint.json").write_text(json.dumps(document))


def test_tensors_that_do_not_fit_are_named(folder: Path) -> None:
    heads = load_file(folder / "heads.safetensors")
    rewrite(folder, "heads", {**heads, "extra.weight": torch.zeros(1)})
    with pytest.raises(InputError, match=r"unknown key 'extra\.weight'"):
        load_checkpoint(folder)
    rewrite(folder, "heads", heads)
    rewrite(folder, "library", {"codes": torch.zeros(2, 31)})
    with pytest.raises(InputError, match=r"must be \(K, 32\)"):
        load_checkpoint(folder)
    rewrite(folder, "library", {"codes": torch.zeros(3, 32)})
    with pytest.raises(InputError, match="names 2 objects but its library holds 3 codes"):
        load_checkpoint(folder)


def test_what_cannot_be_saved_is_refused(
    tmp_path: Path, tiny_network: CrispNetwork, info: CheckpointInfo
) -> None:
    library = dataclasses.replace(info.library, codes=torch.zeros(2, 31))
    with pytest.raises(InputError, match="31 numbers"):
        save_checkpoint(tmp_path / "m", tiny_network, dataclasses.replace(info, library=library))
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        save_checkpoint(tmp_path / "file" / "m", tiny_network, info)
    with pytest.raises(InputError, match="as many kinds"):
        dataclasses.replace(info, kinds=("mug",))
