"""`crisp doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from crisp.errors import InputError
from crisp.sources.frame_files import FrameFiles


@dataclass(frozen=True)
class Doctor:
    """Check a data set, or the files of a frame, before anything runs on them."""

    frame: FrameFiles
    """One frame of your own."""
    dataset: Path | None = None
    """Data set in BOP's, SPE3R's or NOCS's layout."""
    split: str | None = None
    """Split of that data set; all of them unless given."""
    frames: int = 20
    """At most so many frames of each split, evenly chosen."""

    def run(self) -> int:
        """What is found, missing or wrong; exit code 2 where there is a fault."""
        from crisp.doctor.frames import check_files, summary
        from crisp.doctor.sets import check_dataset

        if (self.dataset is None) == self.frame.none:
            raise InputError(
                "give either --dataset or files of a frame: --rgb, --depth, --camera and --masks."
            )
        if self.frames < 1:
            raise InputError(f"at least one frame must be checked, got --frames {self.frames}.")
        diagnosis = (
            check_dataset(self.dataset, self.split, most_frames=self.frames)
            if self.dataset is not None
            else check_files(self.frame)
        )
        print("\n".join([*diagnosis.lines(), summary(diagnosis)]))
        return 2 if diagnosis.faults else 0
