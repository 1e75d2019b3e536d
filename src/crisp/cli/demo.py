"""`crisp demo`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from crisp.evaluate.options import ModelChoice
from crisp.synth.config import LookName

STREAM_FRAMES = 16


@dataclass(frozen=True)
class Demo:
    """Render a tabletop scene, estimate every object, score it against the known truth, write a report."""

    out: Path = Path("demo")
    """Folder for results.json, the meshes and report.html."""
    model: ModelChoice = field(default_factory=ModelChoice)
    """The model."""
    seed: int = 3
    """Of the scene; the usual one was chosen for its view, before there was a model to judge it by."""
    objects: int = 7
    """How many objects stand on the table."""
    look: LookName = "clean"
    """Light and sensor: mild and exact, or strong and faulty."""
    adapt: bool = False
    """Adapt to a stream of hard frames instead, and show before and after: a few minutes on two cores."""

    def run(self) -> int:
        if self.adapt:
            return adapt_demo(self)
        from crisp.cli.demo_scene import run_demo

        run_demo(self)
        return 0


def adapt_demo(demo: Demo, *, frames: int = STREAM_FRAMES) -> int:
    """Render a stream of hard frames, adapt to it, and score it against labels that had no part in it."""
    from crisp.adapt.options import AdaptOptions
    from crisp.cli.adapt import Adapt
    from crisp.synth.config import SynthesisConfig
    from crisp.synth.procedural import catalogue
    from crisp.synth.synthesise import synthesise

    stream = demo.out / "stream"
    render = SynthesisConfig(
        split="stream",
        scenes=frames,
        views_per_scene=1,
        look="hard",
        seed=demo.seed,
        objects_per_scene=(min(demo.objects, 7), demo.objects),
    )
    synthesise(catalogue(), out=stream, config=render, workers=2)
    options = AdaptOptions(
        dataset=stream, split="stream", out=demo.out / "adaptation", weights=demo.model.weights
    )
    return Adapt(options, recipe="demo", score=True).run()
