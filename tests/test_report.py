"""The page: complete, self-contained, honest about what is missing and what is synthetic."""

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from nibabel.affines import apply_affine
from scipy.spatial.transform import Rotation

from spinalroots.dataset.layout import Dataset
from spinalroots.files import write_json, write_text
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Volume, write_volume
from spinalroots.quality import appearance
from spinalroots.registry import paths
from spinalroots.registry.anatomy import Root, Scheme, individuals_to_levels
from spinalroots.registry.models import MODELS
from spinalroots.report import figures, overlays, page, paper, results, training
from spinalroots.report.blocks import Section, Table, Text
from spinalroots.report.charts import Strip, curves, heat_grid, strip_chart
from spinalroots.report.inputs import Inputs
from spinalroots.stages import evaluate, report

AFFINE = np.diag([0.8, 0.8, 1.2, 1.0])
AFFINE[:3, 3] = [-20.0, -20.0, 0.0]
STRAIGHT = Centreline(np.array([[0, 0, 0], [0, 0, 60.0]]), "truth")
CASES = ("sub-ph008", "sub-ph009")
VOID = {"meta", "br", "img", "link", "input", "hr", "circle", "line", "path", "rect"}


class Outline(HTMLParser):
    """Checks that tags nest, and collects what the page refers to."""

    def __init__(self):
        super().__init__()
        self.open, self.links, self.anchors, self.text = [], [], set(), []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.links += [values[key] for key in ("src", "href", "srcset", "data") if key in values]
        if "id" in values:
            assert values["id"] not in self.anchors, f"twice: {values['id']}"
            self.anchors.add(values["id"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open, f"</{tag}> closes nothing"
            assert self.open.pop() == tag

    def handle_data(self, text):
        self.text.append(text)


def read(html: str) -> Outline:
    outline = Outline()
    outline.feed(html)
    assert outline.open == []
    return outline


def roots_map():
    labels = np.zeros((50, 50, 50), np.uint8)
    for index, level in enumerate(("T12", "L3", "S1")):
        for side, x in (("L", 15), ("R", 30)):
            labels[x : x + 3, 15 + 5 * index : 18 + 5 * index, 5:45] = Root.parse(
                f"{level}_D_{side}"
            ).value
    return labels


def scan_of(labels):
    noise = np.random.default_rng(0).normal(100, 5, labels.shape)
    return Volume((noise + 50 * (labels > 0)).astype(np.float32), AFFINE)


@pytest.fixture(scope="module")
def one_process(smoke_params):
    """Other processes keep their folder."""
    return smoke_params.model_copy(update={"workers": 1})


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory, one_process):
    """A tree with two synthetic test cases, evaluated for one nnU-Net model and HarDNet."""
    root = tmp_path_factory.mktemp("tree")
    truth = roots_map()
    for case in CASES:
        write_volume(Dataset(root / "data/raw/phantom").image(case), scan_of(truth))
        write_volume(
            Dataset(root / "data/truth").labels(case, Scheme.INDIVIDUALS), Volume(truth, AFFINE)
        )
        for name in ("nnunet-all-levels", "hardnet-all-levels"):
            predicted = Dataset(root / "data/postprocessed" / name)
            found = np.roll(truth, 1, axis=0)
            write_volume(predicted.labels(case, Scheme.INDIVIDUALS), Volume(found, AFFINE))
            levels = individuals_to_levels(found)
            write_volume(predicted.labels(case, Scheme.LEVELS), Volume(levels, AFFINE))
        STRAIGHT.write(root / "data/centreline/raw" / f"{case}.json")
    appearance.write(
        root / paths.APPEARANCE, {"sub-ph001": appearance.measure(scan_of(truth), STRAIGHT)}
    )
    write_json(
        root / "data/split.json",
        {"train": ["sub-ph001"], "validation": [], "test": list(CASES)},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setattr(evaluate, "_track", lambda *arguments: None)
        evaluate.main(one_process)
        report.main(one_process)
    return root


@pytest.fixture
def html(evaluated):
    return (evaluated / "reports/index.html").read_text(encoding="utf-8")


def test_the_page_loads_nothing_from_anywhere(html, evaluated):
    outline = read(html)
    pages = [link for link in outline.links if link.startswith("cases/")]
    assert pages == [f"cases/{case}.html" for case in CASES]
    assert all((evaluated / "reports" / link).is_file() for link in pages)
    for link in outline.links:
        assert link.startswith(("data:image/", "#", "cases/")), link
    assert "<script" not in html
    assert "@import" not in html
    assert not re.search(r"url\((?!['\"]?data:)", html)
    assert not re.search(r"https?://", re.sub(r'xmlns(:\w+)?="[^"]+"', "", html))


def test_every_link_inside_the_page_has_its_target(html):
    outline = read(html)
    assert {link[1:] for link in outline.links if link.startswith("#")} <= outline.anchors
    assert {
        "models",
        "levels",
        "pictures",
        "controls",
        "expert",
        "warnings",
        "parameters",
    } <= outline.anchors


def test_table_one_stands_beside_the_papers_and_says_that_they_do_not_compare(html, evaluated):
    text = " ".join(read(html).text)
    table = pd.read_csv(evaluated / "reports/table_models.csv").set_index("model")
    row = table.loc["nnunet-all-levels"]
    assert f"{row['binary_dice_mean']:.3f} ± {row['binary_dice_sd']:.3f}" in text
    assert "0.311 ± 0.165" in text
    assert "0.78 ± 0.04" in text
    assert results.NOT_COMPARABLE in " ".join(text.split())


def test_synthetic_and_real_cases_are_told_apart(html):
    text = " ".join(read(html).text)
    assert "sub-ph008 (synthetic)" in text
    facts = dict(re.findall(r"<dt>([^<]+)</dt><dd>([^<]+)</dd>", html))
    assert facts["Synthetic cases"] == "2"
    assert facts["Real cases"] == "0"
    assert facts["Models"] == f"2 of {len(MODELS)}"


def test_a_missing_file_is_a_line_that_names_its_stage(html):
    text = " ".join(" ".join(read(html).text).split())
    for stage in ("quantize", "reconstruct", "tune_hardnet", "refine", "augment", "train_nnunet"):
        assert f"dvc repro {stage}" in text


def test_a_file_that_is_there_is_shown(evaluated, one_process, monkeypatch):
    monkeypatch.chdir(evaluated)
    write_text(
        evaluated / "reports/table_quantization.csv",
        "model,precision,runtime,size_mb,inference_s,binary_dice_mean,binary_dice_sd\n"
        "hardnet-all-levels,int8,openvino,1.234,2.5,0.61,0.02\n",
    )
    write_json(
        evaluated / "models/nnunet-all-levels/training.json",
        {
            "seconds": 90.0,
            "energy_kwh": 0.002,
            "co2_kg": 0.0001,
            "folds": [{"val_losses": [1, 0.5]}],
        },
    )
    before = (evaluated / "reports/index.html").read_bytes()
    report.main(one_process)
    html = (evaluated / "reports/index.html").read_text(encoding="utf-8")
    text = " ".join(read(html).text)
    assert "int8" in text
    assert "2.00" in text  # 0.002 kWh in Wh
    (evaluated / "reports/table_quantization.csv").unlink()
    (evaluated / "models/nnunet-all-levels/training.json").unlink()
    report.main(one_process)
    assert (evaluated / "reports/index.html").read_bytes() == before


def test_with_nothing_but_scans_there_is_still_a_page(tmp_path, smoke_params, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_volume(Dataset(tmp_path / "data/raw/phantom").image(CASES[0]), scan_of(roots_map()))
    report.main(smoke_params)
    text = " ".join(read((tmp_path / "reports/index.html").read_text(encoding="utf-8")).text)
    assert "dvc repro evaluate" in " ".join(text.split())


def test_text_is_escaped():
    section = Section(
        "x", "<b>", [Text("<script>alert(1)</script> `a<b`"), Table(("<i>",), [("&",)])]
    )
    html = page.render("t", "l", [("<u>", "1 < 2")], [], [section])
    assert "<script>" not in html
    assert "<code>a&lt;b</code>" in html
    assert "<i>" not in html
    assert "<u>" not in html


def test_the_papers_table_names_models_that_exist():
    rows = {name for name, model in MODELS.items() if model.family == "nnunet" and not model.alone}
    assert set(paper.TABLE_ONE) == rows
    assert len({paper.title(model) for model in MODELS.values()}) == len(MODELS)


def test_preview_is_the_same_png_for_the_same_map():
    labels = roots_map()
    levels = Volume(individuals_to_levels(labels), AFFINE)
    first, second = (figures.preview(scan_of(labels), levels, STRAIGHT) for _ in range(2))
    assert first.startswith(b"\x89PNG")
    assert first == second
    nothing = levels.with_data(np.zeros_like(levels.data))
    assert figures.preview(scan_of(labels), nothing, STRAIGHT) != first


@pytest.mark.parametrize("degrees", [0, 12, 20])
@pytest.mark.parametrize("axis", ["pitch", "roll", "both"])
def test_views_follow_the_centreline_on_any_grid(degrees, axis):
    """A thread one voxel wide about the line is bright all the way in both views."""
    turn = Rotation.from_euler(
        "xy", [0 if axis == "roll" else degrees, 0 if axis == "pitch" else degrees], degrees=True
    )
    affine = np.eye(4)
    affine[:3, :3] = turn.as_matrix() * [0.8, 0.9, 1.2]
    affine[:3, 3] = [-25.0, 40.0, -300.0]
    shape = (70, 60, 90)
    ends = [[22.0313, 20.0717, -5.0], [48.2137, 41.3391, 95.0]]
    line = Centreline(apply_affine(affine, np.linspace(*ends, 50)), "truth")
    share = (np.arange(90) + 5) / 100
    voxels = np.rint(np.array(ends[0]) + share[:, None] * np.subtract(ends[1], ends[0]))
    data = np.zeros(shape, np.float32)
    data[tuple(voxels.astype(int).T)] = 1.0
    scan = Volume(data, affine)
    labels = scan.with_data(data.astype(np.uint8))
    for across in (0, 1):
        view = overlays.lengthwise_view(scan, labels, line, across, slice(3, 87))
        assert view.grey.max(axis=0).tolist() == [1.0] * 84
        assert np.array_equal(view.labels > 0, view.grey > 0)
        low, high = view.extent_mm[:2]
        middle = voxels[3:87, across].mean() * scan.spacing_mm[across]
        assert (low + high) / 2 == pytest.approx(middle, abs=1.5 * scan.spacing_mm[across])
    for height in (10, 45, 80):
        view = overlays.axial_view(scan, labels, line, height)
        centre_mm = np.array(view.extent_mm).reshape(2, 2).mean(axis=1)
        true_mm = voxels[height, :2] * scan.spacing_mm[:2]
        assert np.abs(centre_mm - true_mm).max() <= 1.5 * scan.spacing_mm[:2].max()
        assert view.grey.max() == 1.0


def test_typical_heights_follow_the_volume():
    labels = np.zeros((5, 5, 100), np.uint8)
    labels[2, 2, 10:90] = 1
    labels[1:4, 1:4, 80:90] = 1
    heights = overlays.typical_heights(labels, 4)
    assert heights == sorted(heights, reverse=True)
    assert sum(height >= 80 for height in heights) >= 2


def test_a_chart_places_values_on_its_axis():
    svg = strip_chart([Strip("m", [0.5], 0.5, 0.25, 0.75, 0.0)], "Dice")
    centre = float(re.search(r'class="dot" cx="([\d.]+)"', svg)[1])
    ends = re.search(r'class="interval" x1="([\d.]+)" y1="[\d.]+" x2="([\d.]+)"', svg)
    assert centre == pytest.approx((float(ends[1]) + float(ends[2])) / 2, abs=0.2)
    zero = float(re.search(r'class="other" d="M([\d.]+)', svg)[1])
    assert centre - float(ends[1]) == pytest.approx((centre - zero) / 2, abs=0.2)


def test_charts_survive_missing_values():
    nan = float("nan")
    assert "–" in heat_grid(["m"], ["L1", "L2"], [[None, nan]], "level Dice")
    assert heat_grid(["m"], ["L1"], [[None]], "level Dice").count("<rect") == 0
    assert "nan" not in strip_chart([Strip("m", [nan], nan, nan, nan)], "Dice")
    assert "nan" not in curves({"m": [1.0, nan, 3.0], "none": [nan]}, "x", "y")
    assert "nan" not in curves({"m": []}, "x", "y")


def test_a_legend_fits_and_tells_all_models_apart():
    """Widths as DejaVu Sans, the widest of the page's fonts, has them."""
    import matplotlib.font_manager
    from PIL import ImageFont

    font = ImageFont.truetype(matplotlib.font_manager.findfont("DejaVu Sans"), 13)
    names = [paper.title(model) for model in MODELS.values()]
    svg = curves({name: [3.0, 2.0, 1.0] for name in names}, "epoch", "loss")
    wide = float(re.search(r'viewBox="0 0 (\d+)', svg)[1])
    legend = re.findall(r'<text class="ink" x="([\d.]+)"[^>]*>([^<]+)<', svg)
    assert [name for _, name in legend] == names
    assert max(float(start) + font.getlength(name) for start, name in legend) <= wide
    assert len(set(re.findall(r'path class="([^"]+)" d="M[\d.]+ [\d.]+h22', svg))) == len(names)


def test_an_empty_csv_counts_as_missing(tmp_path):
    write_text(tmp_path / "a.csv", "")
    write_text(tmp_path / "b.csv", "x,y\n")
    shelf = Inputs(tmp_path)
    assert shelf.table("a.csv") is shelf.table("b.csv") is shelf.table("c.csv") is None


def test_how_rare_the_rarest_root_is_stands_beside_what_the_training_saw(tmp_path):
    balance = {"classes": 22, "rarest_over_median": 0.05, "entropy_nats": 2.73}
    write_json(tmp_path / "reports/augmentation.json", {"before": balance, "after": balance})
    seen = {"background": 9999, "T10": 50, "T11": 100, "T12": 100}
    write_json(tmp_path / "models/hardnet-all-levels/training.json", {"seen_voxels": seen})
    (table,) = training._balance(Inputs(tmp_path))
    assert table.rows[0] == ("refined cases", "22", "0.050", "2.73", "3.09")
    assert table.rows[2] == ("HarDNet's patches", "3", "0.500", "1.05", "1.10")
