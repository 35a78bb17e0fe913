"""The index and a case's page in a browser that has no network."""

import io
import shutil

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from spinalroots.files import write_text
from spinalroots.imaging.volume import Volume
from spinalroots.registry.anatomy import Root, Scheme, label_colour
from spinalroots.report import cases, page
from spinalroots.report.blocks import Card, Cards, Drawing, Section
from spinalroots.report.charts import curves

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here (make packages)")

LEFT, RIGHT, LOW = (Root.parse(name).value for name in ("L3_D_L", "L3_D_R", "S1_D_L"))
SHAPE = (36, 30, 48)
PLACES = {LEFT: (10, 14), RIGHT: (24, 14), LOW: (14, 8)}


def affine():
    """An oblique, anisotropic RAS+ grid."""
    turned = np.eye(4)
    turned[:3, :3] = Rotation.from_euler("xyz", [6, -4, 9], degrees=True).as_matrix()
    turned[:3, :3] *= [0.9, 0.8, 1.3]
    turned[:3, 3] = [-20, 35, -210]
    return turned


def label_map(*values):
    labels = np.zeros(SHAPE, np.uint8)
    for value in values:
        x, y = PLACES[value]
        labels[x : x + 3, y : y + 3, 8:40] = value
    return Volume(labels, affine())


def view_of(name="sub-a", warnings=()):
    """Three true roots, of which the prediction misses the lowest."""
    truth, found = label_map(LEFT, RIGHT, LOW), label_map(LEFT, RIGHT)
    grey = np.random.default_rng(0).normal(60, 10, SHAPE)
    grey[6:32, 4:24] += 120
    tissues = np.zeros(SHAPE, np.uint8)
    tissues[8:30, 5:22, 4:44] = 2
    tissues[14:22, 9:18, 24:44] = 1
    tissues[truth.data > 0] = 4
    both = {key: Volume(tissues, affine()) for key in ("truth", "prediction")}
    return cases.CaseView(
        name,
        "a model",
        Volume(grey.astype(np.float32), affine()),
        {"truth": truth, "prediction": found},
        Scheme.INDIVIDUALS,
        (LEFT, RIGHT, LOW),
        both,
        warnings,
        [("Binary Dice", "0.812")],
    )


WARNINGS = [
    {"label": "L3_D_R", "message": "L3_D_R is thick."},
    {"label": "S1", "message": "S1 has no root."},
    {"label": "slice_mm", "message": "The slices are thick."},
]


def test_a_warning_lies_where_its_root_is():
    maps = view_of().maps
    to_voxels = maps["truth"].grid.to_voxels
    for label, value in (("L3_D_R", RIGHT), ("S1", LOW), ("S1_D_L", LOW)):
        place = cases.place_of(label, maps, Scheme.INDIVIDUALS)
        voxel = tuple(np.rint(to_voxels(np.array(place))).astype(int))
        assert maps["truth"].data[voxel] == value
        assert 20 <= voxel[2] <= 28
    beside = cases.place_of("L2", maps, Scheme.INDIVIDUALS)  # neither map has it: its neighbour
    assert beside == cases.place_of("L3", maps, Scheme.INDIVIDUALS)
    assert cases.place_of("C1", maps, Scheme.INDIVIDUALS) is None
    assert cases.place_of("", maps, Scheme.INDIVIDUALS) is not None
    nothing = {key: label_map() for key in maps}
    assert cases.place_of("L3_D_R", nothing, Scheme.INDIVIDUALS) is None


def test_surfaces_belong_to_their_map_and_label():
    shown = cases.shown(view_of(), 0.5)
    roots = {(one["map"], one["value"]) for one in shown["surfaces"] if one["value"]}
    assert roots == {
        *(("truth", value) for value in PLACES),
        *(("prediction", value) for value in (LEFT, RIGHT)),
    }
    around = [(one["map"], one["name"]) for one in shown["surfaces"] if one["value"] is None]
    assert sorted(around) == [
        (key, name) for key in ("prediction", "truth") for name in ("Cord", "Sac")
    ]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """An index and two cases' pages beside it."""
    folder = tmp_path_factory.mktemp("reports")
    names = ("sub-a", "sub-b")
    cards = Cards(
        [Card(f"cases/{name}.html", name, [("Dice", "0.8")], "3 warnings") for name in names]
    )
    chart = Drawing(curves({"a model": [0.4, 0.2, 0.1]}, "epoch", "loss"), "Loss.")
    sections = [Section("cases", "Case by case", [cards]), Section("training", "Training", [chart])]
    write_text(folder / "index.html", page.render("Roots", "A lead.", [("n", "2")], [], sections))
    for place, name in enumerate(names):
        view = view_of(name, WARNINGS if name == "sub-a" else ())
        html = cases.render(view, 0.5, *((None, "sub-b") if place == 0 else ("sub-a", None)))
        write_text(folder / "cases" / f"{name}.html", html)
    return folder


@pytest.fixture(scope="module")
def chromium():
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--enable-unsafe-swiftshader", "--use-angle=swiftshader"],
        )
        yield browser
        browser.close()


class Tab:
    """A page without network: what it asked for besides files, and what went wrong in it."""

    def __init__(self, chromium, path):
        self.asked, self.wrong = [], []
        context = chromium.new_context(viewport={"width": 1200, "height": 760})
        context.route("**/*", self._answer)
        self.page = context.new_page()
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("console", self._hear)
        self.page.goto(path.as_uri())

    def _answer(self, route):
        if route.request.url.startswith(("file:", "data:", "blob:")):
            route.continue_()
        else:
            self.asked.append(route.request.url)
            route.abort()

    def _hear(self, message):
        if message.type in ("error", "warning") and "GPU stall" not in message.text:
            self.wrong.append(message.text)

    def ready(self):
        self.page.wait_for_function("window.viewer && viewer.ready", timeout=60_000)
        return self

    def picture(self, canvas):
        """Pixels (height, width, 3) of `slices` or `solid` after the next frame."""
        from PIL import Image

        self.page.evaluate(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )
        drawn = self.page.locator(f"canvas.viewer-{canvas}").screenshot()
        return np.asarray(Image.open(io.BytesIO(drawn)).convert("RGB")).astype(int)

    def do(self, script):
        return self.page.evaluate(script)

    def range(self, name, value):
        slider = self.page.locator(f"input[name={name}]")
        slider.evaluate(f"(it) => {{ it.value = {value}; it.dispatchEvent(new Event('input')); }}")

    def box(self, value):
        return self.page.locator(f"input[data-value='{value}']")


@pytest.fixture(scope="module")
def tab(chromium, pages):
    return Tab(chromium, pages / "cases" / "sub-a.html").ready()


@pytest.fixture
def case_page(tab):
    """The page of sub-a, all roots of the prediction shown as solid colours about the left one."""
    tab.do("viewer.show('prediction'), viewer.only(null), viewer.zoom(1)")
    tab.range("opacity", 1)
    tab.range("outline", 0)
    tab.do(f"viewer.goTo(viewer.placeOf({LEFT}))")
    yield tab
    assert tab.wrong == []
    assert tab.asked == []


def painted(picture, value):
    """Pixels (height, width) in the colour of a root."""
    colour = np.array(label_colour(Scheme.INDIVIDUALS, value))
    return np.abs(picture - colour).max(axis=2) <= 2


def planes(picture):
    """The parts of the slices' picture that show the axial, coronal and sagittal plane."""
    width = picture.shape[1]
    edges = [(0, 0.445), (0.445, 0.725), (0.725, 1)]
    return [picture[:, int(low * width) : int(high * width)] for low, high in edges]


@needs_chromium
def test_the_index_opens_without_network_and_leads_to_every_case(chromium, pages):
    tab = Tab(chromium, pages / "index.html")
    for name in ("sub-a", "sub-b"):
        tab.page.click(f"a[href='cases/{name}.html']")
        tab.ready()
        assert tab.page.inner_text("h1") == name
        tab.page.click("text=Report")
        assert tab.page.inner_text("h1") == "Roots"
    assert tab.wrong == []
    assert tab.asked == []


@needs_chromium
def test_slices_and_solid_are_drawn(case_page):
    for plane in planes(case_page.picture("slices")):
        spread = plane.reshape(-1, 3).std(axis=0)
        assert (spread > 20).all()  # an empty canvas has one colour
        assert painted(plane, LEFT).sum() > 20
    solid = case_page.picture("solid")
    empty = solid[2, 2]
    assert (np.abs(solid - empty).max(axis=2) > 20).mean() > 0.01
    assert len(np.unique(solid.reshape(-1, 3), axis=0)) > 200


@needs_chromium
def test_left_and_right_are_where_the_page_says(case_page):
    axial = planes(case_page.picture("slices"))[0]
    across = {value: np.argwhere(painted(axial, value))[:, 1].mean() for value in (LEFT, RIGHT)}
    # PLACES: RAS+, so that the smaller x is the patient's left, which is on the viewer's right
    assert across[LEFT] > across[RIGHT] + 20
    with_letters = case_page.picture("slices")
    case_page.do("viewer.slices.setIsOrientationTextVisible(false)")
    assert (case_page.picture("slices") != with_letters).any()
    case_page.do("viewer.slices.setIsOrientationTextVisible(true)")


@needs_chromium
def test_a_root_goes_and_comes_back(case_page):
    before = [case_page.picture(canvas) for canvas in ("slices", "solid")]
    case_page.box(LEFT).uncheck()
    without = [case_page.picture(canvas) for canvas in ("slices", "solid")]
    assert painted(before[0], LEFT).any()
    assert not painted(without[0], LEFT).any()
    assert painted(without[0], RIGHT).sum() == painted(before[0], RIGHT).sum() > 0
    assert (before[1] != without[1]).any()
    case_page.box(LEFT).check()
    again = [case_page.picture(canvas) for canvas in ("slices", "solid")]
    assert all(np.array_equal(*pair) for pair in zip(before, again, strict=True))


@needs_chromium
def test_all_and_none(case_page):
    case_page.page.click("button:text-is('none')")
    assert not any(painted(case_page.picture("slices"), value).any() for value in (LEFT, RIGHT))
    assert not case_page.box(LEFT).is_checked()
    case_page.page.click("button:text-is('all')")
    assert painted(case_page.picture("slices"), LEFT).any()


@needs_chromium
def test_opacity_and_outline(case_page):
    full = painted(case_page.picture("slices"), LEFT)
    case_page.range("opacity", 0)
    assert not painted(case_page.picture("slices"), LEFT).any()
    case_page.range("outline", 1.5)
    line = painted(case_page.picture("slices"), LEFT)
    assert 0 < line.sum() < 0.7 * full.sum()
    assert (line & ~full).sum() == 0  # the outline lies inside the root


@needs_chromium
def test_truth_against_prediction(case_page):
    case_page.do(f"viewer.show('truth'), viewer.goTo(viewer.placeOf({LOW}))")
    case_page.page.check("input[value=prediction]")
    found = [case_page.picture(canvas) for canvas in ("slices", "solid")]
    case_page.page.check("input[value=truth]")
    truth = [case_page.picture(canvas) for canvas in ("slices", "solid")]
    assert not painted(found[0], LOW).any()
    assert painted(truth[0], LOW).any()
    assert (found[1] != truth[1]).any()
    case_page.page.check("input[value=difference]")
    drawn = case_page.picture("slices")
    missed = np.abs(drawn - [76, 201, 240]).max(axis=2) <= 2
    added = np.abs(drawn - [255, 90, 60]).max(axis=2) <= 2
    assert missed.sum() > 100
    assert added.sum() == 0


@needs_chromium
def test_a_warning_jumps_to_its_place(case_page):
    case_page.page.click("button:has-text('S1 has no root.')")
    assert "Truth: S1_D_L" in case_page.page.inner_text(".viewer-place")
    case_page.page.click("button:has-text('L3_D_R is thick.')")
    told = case_page.page.inner_text(".viewer-place")
    assert "Prediction: L3_D_R" in told
    place = cases.place_of("L3_D_R", view_of().maps, Scheme.INDIVIDUALS)
    shown = [
        float(part)
        for part in told.replace("\xa0", " ").split()
        if part.lstrip("-").replace(".", "", 1).isdigit()
    ]
    assert np.allclose(shown[:3], place, atol=0.7)


@needs_chromium
def test_a_click_says_what_lies_there(case_page):
    axial = planes(case_page.picture("slices"))[0]
    rows, columns = np.nonzero(painted(axial, RIGHT))
    at = case_page.page.locator("canvas.viewer-slices").bounding_box()
    place = at["x"] + float(np.median(columns)), at["y"] + float(np.median(rows))
    case_page.page.mouse.click(*place)
    assert "Prediction: L3_D_R" in case_page.page.inner_text(".viewer-place")
