"""The review page in Chromium, which can reach nothing but this machine."""

import io
import json
import shutil

import numpy as np
import pytest
import review_case as rc

from spinalroots.dataset.layout import Dataset
from spinalroots.expert import score_file
from spinalroots.expert.predictions import version_of
from spinalroots.imaging.volume import read_labels
from spinalroots.registry.anatomy import Root
from spinalroots.registry.models import DEFAULT_MODEL

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
WITHOUT_NETWORK = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
DRAWING = ["--no-sandbox", "--enable-unsafe-swiftshader", "--use-angle=swiftshader"]
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here (make packages)")


@pytest.fixture(scope="module")
def chromium():
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*DRAWING, WITHOUT_NETWORK]
        )
        yield browser
        browser.close()


class Page:
    """A reviewer's page, and what it complained of."""

    def __init__(self, chromium, url, reviewer):
        self.complaints, self.asked = [], []
        self.tab = chromium.new_context(viewport={"width": 1200, "height": 560}).new_page()
        self.tab.on("console", lambda one: self.complaints.append(f"{one.type}: {one.text}"))
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.on("request", lambda request: self.asked.append(request.url))
        self.tab.goto(url)
        self.tab.fill("#who-name", reviewer)
        self.press("Enter")
        self.wait_for_case(0)

    def wait_for_case(self, number):
        self.tab.wait_for_selector(f'body[data-ready="{number}"]', timeout=60_000)
        self.settle()

    def press(self, *keys):
        for key in keys:
            self.tab.keyboard.press(key)

    def settle(self):
        """Until corrections are through and two frames have been drawn."""
        self.tab.evaluate("() => window.review.settled()")

    def revision(self, number):
        self.tab.wait_for_function("n => window.review.revision() === n", arg=number)
        self.settle()

    def picture(self, place) -> np.ndarray:
        """Pixels (H, W, 3) of an element of the page."""
        from PIL import Image

        self.settle()
        self.tab.evaluate("() => (document.getElementById('message').hidden = true)")
        shown = Image.open(io.BytesIO(self.tab.locator(place).screenshot())).convert("RGB")
        return np.asarray(shown, np.int16)

    def said(self, text):
        self.tab.wait_for_function(
            "text => document.getElementById('message').textContent.includes(text)", arg=text
        )

    def close(self):
        self.tab.context.close()


def changed_pixels(one, other) -> int:
    return int((np.abs(one - other).max(axis=2) > 40).sum())


def coloured(picture) -> int:
    """Pixels that are no shade of grey."""
    return int((picture.max(axis=2) - picture.min(axis=2) > 60).sum())


def table(tmp_path):
    return score_file.read(tmp_path / "data/expert_scores.csv")


def test_a_score_is_entered_by_keyboard_alone(tmp_path, chromium):
    masks = Dataset(rc.pipeline(tmp_path))
    with rc.Served(tmp_path, "data/postprocessed") as served:
        page = Page(chromium, served.url, "AB")
        page.press("8", "+", "r", "r", "7", "f", "]", "]", "m", "c")
        page.tab.keyboard.type("pass or fail? n")  # letters are keys of the page elsewhere
        page.press("Escape", "i")
        page.tab.keyboard.type("12.5")
        page.press("Tab")
        page.tab.keyboard.type("200")
        page.press("Control+Enter")
        page.said("Written into")
        page.press("Escape", "n")
        page.wait_for_case(1)
        page.press("a", "Enter")
        page.tab.locator("nav button[data-state=confirmed]").nth(1).wait_for()
        assert page.complaints == []
        assert {
            url.split("/")[2] for url in page.asked if not url.startswith(("data:", "blob:"))
        } == {f"127.0.0.1:{served.port}"}
        page.close()
    rows = table(tmp_path)
    assert [(row.case, row.region, row.score, row.verdict) for row in rows] == [
        ("sub-001", "all", 0.85, "fail"),
        ("sub-001", "lumbar", 0.7, "fail"),
        ("sub-002", "all", None, "artefact"),
    ]
    first = rows[0]
    assert (first.rater, first.model, first.comment) == ("AB", DEFAULT_MODEL, "pass or fail? n")
    assert (first.minutes_with, first.minutes_without) == (12.5, 200)
    assert first.to_mend == "T11_D_L"
    assert first.prediction == version_of(masks.labels("sub-001", "individuals"))


def test_slices_and_solid_are_drawn_and_a_root_goes_and_comes(tmp_path, chromium):
    rc.predicted(tmp_path)
    with rc.Served(tmp_path, "out") as served:
        page = Page(chromium, served.url, "AB")
        slices, solid = page.picture(".viewer-slices"), page.picture(".viewer-solid")
        assert slices.std() > 20
        assert coloured(slices) > 50
        assert coloured(solid) > 50
        page.press("]", "[")  # onto the first root again
        before = page.picture(".viewer-slices")
        page.press("v")
        without = page.picture(".viewer-slices")
        assert changed_pixels(before, without) > 20
        page.press("v")
        assert changed_pixels(before, page.picture(".viewer-slices")) == 0
        page.press("h")
        assert coloured(page.picture(".viewer-solid")) < coloured(solid) / 2
        page.press("h", "?")
        assert page.tab.locator("#help[open]").is_visible()
        page.press("n", "Escape")  # no key of the page works below the overlay
        assert page.tab.locator("#help[open]").count() == 0
        assert page.complaints == []
        page.close()


def test_what_is_painted_and_erased_comes_back_voxel_for_voxel(tmp_path, chromium):
    rc.predicted(tmp_path)
    with rc.Served(tmp_path, "out") as served:
        page = Page(chromium, served.url, "AB")
        page.press("]", "d", "3")
        frame = page.tab.locator(".viewer-slices").bounding_box()
        x, y = frame["x"] + 0.15 * frame["width"], frame["y"] + 0.5 * frame["height"]
        page.tab.mouse.move(x, y)
        page.tab.mouse.down()
        page.tab.mouse.move(x + 60, y + 30, steps=6)
        page.tab.mouse.up()
        page.revision(1)
        page.press("e", "1")
        page.tab.mouse.move(x + 20, y + 10)
        page.tab.mouse.down()
        page.tab.mouse.move(x + 30, y + 15, steps=3)
        page.tab.mouse.up()
        page.revision(2)
        seen = page.tab.evaluate(
            "() => [...window.review.viewer.values('map')].flatMap((v, i) => (v ? [[i, v]] : []))"
        )
        page.press("Escape", "s")
        page.said("patient_corrected-AB")
        assert page.complaints == []
        dims = page.tab.evaluate(
            "() => window.review.viewer.slices.volumes[0].hdr.dims.slice(1, 4)"
        )
        page.close()
    folder = tmp_path / "out" / "patient_corrected-AB"
    after, before = rc.corrected_map(folder, "patient"), rc.individuals()
    root = Root.parse("T10_D_R").value
    painted = (after != before) & (after > 0)
    assert painted.sum() > 20
    assert set(after[painted]) == {root}
    assert len(set(np.argwhere(after != before)[:, 2])) == 1  # one axial slice
    record = json.loads((folder / "patient_corrected.json").read_text(encoding="utf-8"))
    assert record["steps"] == 2
    shown = np.zeros(int(np.prod(dims)), np.uint8)
    for index, value in seen:
        shown[index] = value
    shown = shown.reshape(dims, order="F")
    assert np.array_equal(np.sort(shown[shown > 0]), np.sort(after[after > 0]))
    box = [slice(0, n) for n in dims]  # where what was shown lies in the whole map
    low = [int(np.argwhere(after)[:, a].min() - np.argwhere(shown)[:, a].min()) for a in range(3)]
    box = tuple(slice(start, start + n) for start, n in zip(low, dims, strict=True))
    assert np.array_equal(after[box], shown)


def test_renaming_and_shifting_are_undone_one_by_one(tmp_path, chromium):
    mask = rc.predicted(tmp_path)
    with rc.Served(tmp_path, "out") as served:
        page = Page(chromium, served.url, "AB")
        before = page.picture(".viewer-slices")
        page.press("g")
        page.tab.keyboard.type("s1 d r")
        page.press("Enter")
        page.revision(1)
        page.press("Shift+ArrowDown")
        page.revision(2)
        page.press("z")
        page.revision(1)
        page.press("s")
        page.said("corrected-AB")
        after, old = (
            rc.corrected_map(tmp_path / "out/patient_corrected-AB", "patient"),
            rc.individuals(),
        )
        first = Root.parse("T10_D_L").value
        assert set(after[old == first]) == {Root.parse("S1_D_R").value}
        assert np.array_equal(after[old != first], old[old != first])
        page.press("z")
        page.revision(0)
        assert changed_pixels(before, page.picture(".viewer-slices")) == 0
        page.press("z")
        page.said("No correction to take back")
        assert page.complaints == []
        page.close()
    assert np.array_equal(read_labels(mask).data, rc.individuals())


def test_everything_entered_survives_a_reload_and_a_kill_and_two_reviewers_do_not_meet(
    tmp_path, chromium
):
    rc.pipeline(tmp_path)
    with rc.Served(tmp_path, "data/postprocessed") as served:
        one, other = (Page(chromium, served.url, name) for name in ("AB", "CD"))
        one.press("8", "p", "m", "Shift+ArrowDown")
        one.revision(1)
        other.press("6", "f")
        other.tab.wait_for_function("() => document.getElementById('kept').textContent > 'kept'")
        one.tab.wait_for_function("() => document.getElementById('kept').textContent > 'kept'")
        one.tab.reload()
        one.wait_for_case(0)
        assert one.tab.input_value("#score-all") == "0.8"
        assert one.tab.locator("input[name=verdict]:checked").get_attribute("value") == "pass"
        one.press("Enter")
        one.said("Written into")
        served.kill()
        one.close()
        assert other.complaints == []
        other.close()
    drafts = {
        path.parent.name: json.loads(path.read_text(encoding="utf-8"))
        for path in (tmp_path / "data/review").rglob("*.json")
    }
    assert drafts["CD"]["form"]["scores"]["all"] == 0.6
    assert [len(drafts[name]["steps"]) for name in ("AB", "CD")] == [1, 0]
    assert [(row.rater, row.score, row.to_mend) for row in table(tmp_path)] == [
        ("AB", 0.8, "T10_D_L")
    ]


def test_another_page_cannot_reach_it_even_with_the_address(tmp_path, chromium):
    rc.predicted(tmp_path)
    with rc.Served(tmp_path, "out") as served:
        context = chromium.new_context()
        tab = context.new_page()
        tab.goto("data:text/html,<title>elsewhere</title>")
        told = tab.evaluate(
            "url => fetch(url + 'api/cases?reviewer=AB').then((r) => r.text(), () => 'refused')",
            served.url,
        )
        assert told == "refused"
        framed = tab.evaluate(
            """url => new Promise((done) => {
                 const frame = document.createElement("iframe");
                 frame.onload = () => done(frame.contentDocument === null ? "apart" : "inside");
                 frame.src = url;
                 document.body.append(frame);
               })""",
            served.url,
        )
        assert framed == "apart"
        assert tab.frames[-1].locator("#title").count() == 0
        assert tab.goto(f"http://127.0.0.1:{served.port}/").status == 403
        context.close()
