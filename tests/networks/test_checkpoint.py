from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from crisp.certify.certificate import read_calibration
from crisp.errors import InputError
from crisp.networks.backbone import quantise_backbone
from crisp.networks.checkpoint import CheckpointInfo, load_checkpoint, save_checkpoint, sha256
from crisp.networks.config import BackboneConfig, NetworkConfig, TokenHeadConfig
from crisp.networks.model import CrispNetwork, build_network
from crisp.shape.library import ShapeLibrary
from crisp.types import Symmetries

KEPT = Path(__file__).parent / "data" / "checkpoint_v1"


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
    assert again.stored_objects() == info.stored_objects()
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
    ("edit", "place"),
    [
        (change("format_version", value=99), "99"),
        (change("colour", value=1), "colour"),
        (drop("training"), "training"),
        (change("units", value="mm"), "units"),
        (change("objects", value={}), "objects"),
        (change("name", value=5), "name"),
        (change("objects", 0, value=3), "objects[0]"),
        (change("objects", 0, "colour", value=1), "objects[0] has an unknown key 'colour'"),
        (lambda d: d["objects"][1].pop("diameter_m"), "objects[1] is incomplete"),
        *(
            (change("objects", 0, "diameter_m", value=v), "diameter_m")
            for v in ("0.1", -1.0, 0, float("nan"), float("inf"), 10**400, None, True, [0.1])
        ),
        *((change("objects", 1, "id", value=v), "objects[1].id") for v in ("7", 7.5, None, True)),
        (change("objects", 1, "kind", value=7), "objects[1].kind"),
        (change("objects", 1, "symmetries_discrete", value=[[1.0, 2.0]]), "objects[1]"),
        (change("objects", 1, "symmetries_discrete", 0, 3, value=10**400), "symmetries_discrete[0][3]"),
        (change("objects", 1, "symmetries_discrete", 0, 3, value=float("nan")), "symmetries_discrete[0][3]"),
        (change("objects", 1, "symmetries_continuous", 0, "axis", value=[0, 0, 0]), "continuous[0]"),
        (change("objects", 1, "symmetries_continuous", 0, "axis", value=[0, 1]), "continuous[0].axis"),
        (change("objects", 1, "name", value="mug"), "twice"),
        (change("network", "colour", value=1), "network has an unknown key 'colour'"),
        (change("network", value=[1]), "network"),
        (change("network", "image_px", value=57), "multiple of 14"),
        (change("network", "image_px", value="56"), "network.image_px"),
        (change("network", "hidden", value=8.0), "network.hidden"),
        (change("network", "hidden", value=True), "network.hidden"),
        (change("network", "code_dim", value=-32), "code_dim"),
        (change("network", "shape_hidden", value=10**9), "shape_hidden"),
        (change("network", "cube_half_m", value="0.2"), "network.cube_half_m"),
        (change("network", "cube_half_m", value=float("nan")), "network.cube_half_m"),
        (change("network", "head", "kind", value="unet"), "network.head"),
        (change("network", "head", "dropout", value=1.5), "dropout"),
        (change("network", "head", "position_embedding", value=1), "network.head.position_embedding"),
        (change("network", "backbone", "taps", value=[1, 2]), "network.backbone.taps"),
        (change("network", "backbone", "taps", 0, value="1"), "network.backbone.taps[0]"),
        (change("network", "backbone", "attention_heads", value=0), "attention_heads"),
        (change("files", "heads", value="heads.safetensors"), "files.heads"),
        (change("files", "heads", "path", value=10**400), "files.heads.path"),
    ],
)
def test_each_corruption_of_the_json_is_one_sentence(
    folder: Path, edit: Callable[[dict[str, Any]], None], place: str
) -> None:
    path = folder / "checkpoint.json"
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match=re.escape(place)) as caught:
        load_checkpoint(folder)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize(
    "edit",
    [
        change("network", "shape_hidden", value=24),
        change("network", "backbone", "blocks", value=5),
        change("files", "heads", "path", value="/heads.safetensors"),
    ],
)
def test_a_description_of_other_tensors_is_refused(
    folder: Path, edit: Callable[[dict[str, Any]], None]
) -> None:
    path = folder / "checkpoint.json"
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))
    with pytest.raises(InputError):
        load_checkpoint(folder)


def test_files_that_are_no_checkpoint(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(InputError, match=r"checkpoint\.json"):
        load_checkpoint(tmp_path / "nothing")
    (folder / "checkpoint.json").write_text("{")
    with pytest.raises(InputError, match=r"checkpoint\.json"):
        load_checkpoint(folder)


def test_a_checkpoint_of_the_first_format_loads_for_ever() -> None:
    """Written at 3815593 and kept as it was: a failure here means that users' models no longer load."""
    network, info = load_checkpoint(KEPT)
    assert network.config == NetworkConfig(
        preset="tiny",
        image_px=28,
        pnc_px=8,
        head=TokenHeadConfig(width=8, residual_layers=1),
        backbone=BackboneConfig(width=8, blocks=4, attention_heads=2, trained_px=28, taps=(1, 2, 3, 4)),
        code_dim=8,
        hidden=2,
        film_layers=2,
        shape_hidden=4,
    )
    assert (info.name, info.library.names, info.library.object_ids) == ("kept", ("mug", "box"), (3, 7))
    assert info.kinds == ("mug", "box") and info.library.diameters_m.tolist() == [0.125, 0.25]
    np.testing.assert_array_equal(info.symmetries[1].discrete[0], np.diag([-1.0, -1.0, 1.0, 1.0]))
    np.testing.assert_array_equal(info.symmetries[1].continuous[0][0], [0.0, 0.0, 1.0])
    assert info.training["recipe"]["joint"] is None and info.training["correct"] == "search"
    prediction = network(torch.zeros(1, 3, 28, 28))
    assert prediction.pnc.shape[1:3] == (8, 8) and torch.isfinite(prediction.pnc).all()


def test_a_checkpoint_of_the_first_format_is_written_again_as_it_was(tmp_path: Path) -> None:
    network, info = load_checkpoint(KEPT)
    save_checkpoint(tmp_path / "again", network, info)
    for name in ("checkpoint.json", "heads.safetensors", "library.safetensors", "backbone.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (KEPT / name).read_bytes()


def test_its_calibration_counts_and_was_measured_with_its_own_corrector() -> None:
    digest = sha256(KEPT / "checkpoint.json")
    config = read_calibration(KEPT / "calibration.json", model_sha256=digest, own="search")
    assert (config.eps_m, config.eps_share, config.free_space_share) == (None, 0.05, 0.2)
    assert (config.mu_min, config.calibrated_with) == (1e-6, "search")


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
    with pytest.raises(InputError, match=r"extra\.weight"):
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
