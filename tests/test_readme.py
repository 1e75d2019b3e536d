"""What the pages say can be done can be done, and what they say was measured was measured."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import get_args

import numpy as np
import pytest
import tyro

from crisp.cli import VERBS, main
from crisp.cli.demo_scene import demo_scene
from crisp.errors import Status
from crisp.learn import recipe
from crisp.output.sink import object_entry
from crisp.shipped import recipe_names
from crisp.synth.render.arrangement import Viewpoints
from crisp.types import Certificate, CorrectionSummary, Result

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
NEAR = Viewpoints(
    width=240,
    height=180,
    elevation_deg=(40.0, 45.0),
    distance_m=(0.6, 0.65),
    focal_px=(220.0, 225.0),
    roll_deg=(0.0, 0.0),
)


def script(path: str) -> ModuleType:
    name = Path(path).stem
    spec = importlib.util.spec_from_file_location(f"script_{name}", ROOT / path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


evidence_table = script("scripts/evidence_table.py")


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def commands() -> list[str]:
    """Every command line in the pages' shell blocks and in the course, variables standing for 1."""
    texts = [block for page in PAGES for block in blocks(page, "bash")]
    texts += [path.read_text(encoding="utf-8") for path in sorted((ROOT / "examples").glob("*.sh"))]
    lines = "\n".join(texts).replace("\\\n", " ").splitlines()
    words = [shlex.split(re.sub(r"\$\w+", "1", line), comments=True) for line in lines if "=$" not in line]
    return sorted({shlex.join(line) for line in words if line and line[0] in ("crisp", "make", "python")})


@pytest.mark.parametrize("command", commands())
def test_commands_on_the_pages_parse(command: str) -> None:
    program, *rest = shlex.split(command)
    if program == "make":
        subprocess.run(["make", "--dry-run", *rest], cwd=ROOT, check=True, capture_output=True)
    elif program == "python":
        target = rest[1].replace(".", "/") + ".py" if rest[0] == "-m" else rest[0]
        assert (ROOT / target).is_file()
    else:
        name = " ".join(rest[:2]) if rest[0] == "evaluate" else rest[0]
        assert name in VERBS
        tyro.cli(VERBS[name].settings(), args=rest[len(name.split()) :])


def test_the_pages_do_show_commands() -> None:
    shown = commands()
    assert {"make demo", "make test"} <= set(shown)
    for verb in ("estimate", "synthesise", "train", "evaluate predict", "evaluate score"):
        assert any(command.startswith(f"crisp {verb} ") for command in shown), verb


def test_a_command_with_an_option_that_is_not_there_is_caught(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        test_commands_on_the_pages_parse("crisp info --colour blue")
    assert "colour" in capsys.readouterr().err


@pytest.fixture(scope="module")
def frame_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small rendered frame under the names that the README uses."""
    folder = tmp_path_factory.mktemp("frame")
    scene = demo_scene(seed=3, objects=2, look_name="clean", viewpoints=NEAR)
    script("examples/01_estimate_one_frame.py").write_frame(scene, folder)
    return folder


@pytest.fixture
def there(frame_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh copy of that frame as the working directory."""
    shutil.copytree(frame_folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_readmes_estimate_command_runs(there: Path) -> None:
    (line,) = [
        line
        for block in blocks(README, "bash")
        for line in block.splitlines()
        if line.startswith("crisp estimate") and "--weights" not in line
    ]
    words = [  # as a shell would, that is to say: a pattern becomes the files' names
        name
        for word in shlex.split(line)[1:]
        for name in (sorted(path.name for path in there.glob(word)) if "*" in word else [word])
    ]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0
    results = json.loads((there / "results" / "results.json").read_text())
    assert [found["status"] for found in results["frames"][0]["objects"]] == ["ok", "ok"]
    assert (there / "results" / "report.html").is_file()


def test_the_readmes_python_runs(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (snippet,) = blocks(README, "python")
    assert len([line for line in snippet.splitlines() if line.strip()]) <= 11
    (there / "snippet.py").write_text(snippet)
    runpy.run_path(str(there / "snippet.py"))
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("ok") for line in lines) == 2


def test_the_course_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = script("examples/01_estimate_one_frame.py"), script("examples/02_read_results.py")
    small = demo_scene(seed=3, objects=2, look_name="clean", viewpoints=NEAR)
    monkeypatch.setattr(first, "demo_scene", lambda **_: small)
    monkeypatch.setattr(sys, "argv", ["01", "--out", str(tmp_path)])
    first.main()
    assert capsys.readouterr().out.count(" m ahead") == 2
    monkeypatch.setattr(sys, "argv", ["02", str(tmp_path)])
    second.main()
    assert capsys.readouterr().out.count(" m across") == 2
    assert (tmp_path / "scene_rgb.ply").is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        target, _, heading = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{page.name} links to {link}"
        assert not heading or heading in headings(path), f"{page.name} links to {link}"


def headings(page: Path) -> list[str]:
    """As GitHub names them in addresses."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]


@pytest.mark.parametrize("page", evidence_table.pages(ROOT), ids=lambda page: page.name)
def test_tables_are_what_the_evidence_says(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert evidence_table.regenerated(text, page) == text, "run: python scripts/evidence_table.py"


def test_the_list_of_all_figures_is_what_the_evidence_says() -> None:
    path = evidence_table.listing_path(ROOT)
    assert path.read_text(encoding="utf-8") == evidence_table.listing(ROOT), (
        "run: python scripts/evidence_table.py"
    )


def test_figures_on_the_pages_are_in_the_evidence() -> None:
    """Read back without the script: the figure that a row shows is the claim's, to half its last digit."""
    seen = 0
    for page in (README, ROOT / "docs" / "evaluation.md"):
        rows = re.findall(r"^\| (.+?) \| .*? \| (\S+).*\]\((\S+\.json)\) #(\d+) \|$", page.read_text(), re.M)
        for claim, figure, source, number in rows:
            found = json.loads((page.parent / source).read_text())["claims"][int(number) - 1]
            percent = claim != found["claim"] and found["unit"] == "share"
            assert float(figure) == pytest.approx((100 if percent else 1) * float(found["figure"]), rel=0.005)
            seen += 1
    assert seen >= 2


def test_the_readme_is_short_and_its_rows_are_questions() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    rows = re.findall(r"^\| (.+?) \|.*\.json\) #\d+ \|$", text, re.MULTILINE)
    assert 0 < len(rows) <= 10
    assert all("?" in row for row in rows)


@pytest.mark.parametrize(("name", "kilobytes"), [("evaluation", 20), ("ycb", 15)])
def test_pages_with_figures_stay_readable(name: str, kilobytes: int) -> None:
    assert (ROOT / "docs" / f"{name}.md").stat().st_size <= 1000 * kilobytes


CLAIM = {"claim": "a", "goal": ">= 10", "figure": 9.0, "interval": None, "unit": "times", "passed": False}


def table(claims: list[dict[str, object]], root: Path, source: str) -> list[str]:
    (root / "results").mkdir(exist_ok=True)
    (root / "results" / "made_up.json").write_text(json.dumps({"claims": claims}))
    page = f"before\n<!-- evidence:begin {source} -->\nstale\n<!-- evidence:end -->\nafter\n"
    written = evidence_table.regenerated(page, root / "README.md", root=root)
    assert "stale" not in written
    assert written.startswith("before\n") and written.endswith("after\n")
    assert evidence_table.regenerated(written, root / "README.md", root=root) == written
    return [line for line in written.splitlines() if line.startswith("| ")][1:]


def test_a_failed_claim_is_shown_as_failed(tmp_path: Path) -> None:
    report = CLAIM | {"claim": "b", "goal": "report", "figure": "inf", "interval": [0.12345, 4321.0]}
    rows = table([CLAIM, report | {"passed": None}], tmp_path, "results/made_up.json")
    source = "[made_up](results/made_up.json)"
    assert rows == [
        f"| a | ≥ 10 | 9 times |  | **no** | {source} #1 |",
        f"| b |  | inf times | 0.123 to 4321 |  | {source} #2 |",
    ]


def test_a_table_shows_the_claims_that_it_names(tmp_path: Path) -> None:
    claims = [CLAIM | {"claim": name} for name in "abcd"]
    rows = table(claims, tmp_path, "results/made_up.json#1,3-4 results/later.json")
    assert [row.split(" | ")[0] for row in rows] == ["| a", "| c", "| d", "| not measured yet"]
    with pytest.raises(ValueError, match="none with the number 5"):
        table(claims, tmp_path, "results/made_up.json#5")
    (tmp_path / "results" / "made_up_quick.json").write_text(json.dumps({"claims": claims}))
    assert len(table(claims, tmp_path, "results/*.json")) == 4


def test_a_claim_can_answer_a_question(tmp_path: Path) -> None:
    share = CLAIM | {"goal": ">= 0.7", "figure": 0.8515, "interval": [0.84, 0.862], "unit": "share"}
    question = 'results/made_up.json#1="How good?"'
    assert table([share | {"passed": True}], tmp_path, question) == [
        "| How good? | ≥ 70 | 85.2 % | 84 to 86.2 | yes | [made_up](results/made_up.json) #1 |"
    ]
    (row,) = table([CLAIM], tmp_path, f"\n{question}\n")
    assert row.startswith("| How good? | ≥ 10 | 9 times |")
    with pytest.raises(ValueError, match="one claim"):
        table([CLAIM, CLAIM], tmp_path, 'results/made_up.json="How good?"')
    with pytest.raises(ValueError, match="cannot read"):
        table([CLAIM], tmp_path, 'results/made_up.json#1="How good?')


def test_the_list_has_a_line_for_every_claim(tmp_path: Path) -> None:
    report = {"claim": "b, c", "goal": "report", "interval": [0.12345, "inf"], "passed": None}
    claims = [CLAIM, CLAIM | report]
    for folder, name in (("benchmarks", "speed"), ("experiments", "speed_quick")):
        (tmp_path / folder / "results").mkdir(parents=True)
        (tmp_path / folder / "results" / f"{name}.json").write_text(json.dumps({"claims": claims}))
    assert evidence_table.listing(tmp_path).splitlines()[1:] == [
        "speed,1,a,>= 10,9,times,,,no",
        'speed,2,"b, c",,9,times,0.123,inf,',
    ]


def test_every_field_and_status_of_results_is_documented() -> None:
    text = (ROOT / "docs" / "conventions.md").read_text(encoding="utf-8")
    for name in [*object_entry(0, Result(status="ok")), "errors", "errors_start", *get_args(Status)]:
        assert re.search(rf"^\| `{name}` \|", text, re.MULTILINE), name


@pytest.mark.parametrize("part", ["correction", "certificate"])
def test_every_field_of_corrections_and_certificates_is_documented(part: str) -> None:
    summary = CorrectionSummary("converged", "", 1, 0.0, 0.0, np.eye(4), np.zeros(3), 0.0, 0.0)
    certificate = Certificate(True, 0.0, 0.01, 0.98, 100, 1.0)
    written = object_entry(0, Result(status="ok", correction=summary, certificate=certificate))[part]
    text = (ROOT / "docs" / "conventions.md").read_text(encoding="utf-8")
    start = text.index(f"Of each {part}:")
    firsts = re.findall(r"^\| (`.*?) \|", text[start : text.index("\n\n", text.index("|---", start))], re.M)
    assert sorted(re.findall(r"`(\w+)`", " ".join(firsts))) == sorted(written)


def test_every_setting_of_the_corrector_is_named() -> None:
    text = (ROOT / "docs" / "conventions.md").read_text(encoding="utf-8")
    sentence = text[text.index("`--correct NAME`") :].split("\n\n")[0]
    assert {*recipe_names("correct"), "none"} <= set(re.findall(r"`([\w-]+)`", sentence))


def test_every_key_of_a_recipe_is_documented() -> None:
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    table_text = text[text.index("| key | meaning |") :]
    documented = set(re.findall(r"`\[?(\w+)\]?`", table_text))
    kinds = (recipe.Recipe, recipe.DecoderStage, recipe.FeatureStage, recipe.Augmentation)
    kinds += (recipe.HeadStage, recipe.JointStage, recipe.SdfWeights)
    keys = {field.name for kind in kinds for field in dataclasses.fields(kind)}
    assert keys <= documented, keys - documented
