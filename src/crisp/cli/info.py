"""`crisp info`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Info:
    """Version, devices, bundled models and their checksums."""

    def run(self) -> int:
        import torch

        import crisp
        from crisp.documents import read_json
        from crisp.networks.checkpoint import load_checkpoint, sha256
        from crisp.shipped import BUNDLED, WEIGHTS

        print(f"crisp {crisp.__version__}, torch {torch.__version__}")
        gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        print(f"devices: cpu ({torch.get_num_threads()} threads)" + "".join(f", {name}" for name in gpus))
        for name, folder_name in BUNDLED.items():
            folder = WEIGHTS / folder_name
            _, described = load_checkpoint(folder)  # checks every hash
            print(f"model {name}: {len(described.library)} objects, {sha256(folder / 'checkpoint.json')}")
            for file in read_json(folder / "checkpoint.json")["files"].values():
                size = (folder / file["path"]).stat().st_size
                print(f"  {file['path']} {size / 1e6:.1f} MB {file['sha256']}")
        return 0
