/* The page: case by case, everything kept on the server as soon as it is entered. */
import { act, address, ask } from "./api.js";
import { Form } from "./form.js";
import { bindKeys, tableOfKeys } from "./keys.js";
import { Mending } from "./mending.js";
import { Roots } from "./roots.js";

const byId = (id) => document.getElementById(id);
const [KEEP_AFTER_MS, CLOCK_EVERY_S, CROSSHAIR_MM] = [250, 15, 0.5];
const MARKS = { new: "○", begun: "◐", confirmed: "●" };
const page = { reviewer: null, cases: [], detail: null, viewer: null, waiting: null, opening: 0 };
/* For tests: once corrections are through, and the canvases show them. */
page.settled = async () => {
  await mending.queue;
  for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame);
};
page.revision = () => mending.revision;
window.review = page;

const form = new Form(later);
const roots = new Roots(later, () => mending.use(mending.tool));
const mending = new Mending({ problem, changed: listCases, reviewer: () => page.reviewer, say });

function say(text) {
  byId("message").textContent = text;
  byId("message").hidden = false;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => (byId("message").hidden = true), 6000);
}

function problem(error) {
  const place = byId("problem");
  place.querySelector("span").textContent = error.message;
  place.hidden = false;
}

/* The form, to be kept shortly. */
function later() {
  byId("kept").textContent = "…";
  clearTimeout(page.waiting);
  page.waiting = setTimeout(keep, KEEP_AFTER_MS);
}

const entered = () => ({ ...form.values(), to_mend: [...roots.mend].sort() });

async function keep(leaving = false) {
  if (page.waiting === null) return;
  clearTimeout(page.waiting);
  page.waiting = null;
  const { detail, reviewer } = page;
  try {
    const message = { reviewer, version: detail.version, form: entered() };
    await act(`cases/${detail.number}/enter`, message, leaving);
    byId("kept").textContent = `kept ${new Date().toLocaleTimeString("en-GB")}`;
    const row = page.cases[detail.number];
    if (row?.state === "new") await listCases();
  } catch (error) {
    byId("kept").textContent = "not kept";
    problem(error);
  }
}

async function confirm() {
  clearTimeout(page.waiting);
  page.waiting = null;
  await mending.queue;
  const { detail, reviewer } = page;
  try {
    const message = { reviewer, version: detail.version, form: entered() };
    const { rows, file } = await act(`cases/${detail.number}/confirm`, message);
    byId("problem").hidden = true;
    if (mending.unsaved) mending.unsaved = false;
    mending.show();
    detail.confirmed = rows;
    showConfirmed(rows);
    say(`Written into ${file}. N: next case.`);
    await listCases();
  } catch (error) {
    problem(error);
  }
}

function showConfirmed(rows) {
  const told = rows.map(({ region, score }) => `${region} ${score ?? "–"}`).join(", ");
  const last = rows[rows.length - 1];
  byId("written").textContent = rows.length ? `Confirmed on ${last.date}: ${last.verdict}; ${told}` : "Not confirmed yet.";
}

async function listCases() {
  page.cases = await ask("cases", { reviewer: page.reviewer });
  let model = null;
  const entries = [];
  for (const { number, title, model: own, state, verdict } of page.cases) {
    if (own !== model) {
      const head = document.createElement("h2");
      head.textContent = model = own;
      entries.push(head);
    }
    const entry = document.createElement("button");
    entry.textContent = `${MARKS[state]} ${title}${verdict ? ` · ${verdict}` : ""}`;
    entry.dataset.state = state;
    entry.setAttribute("aria-current", String(number === page.detail?.number));
    entry.addEventListener("click", () => open(number));
    entries.push(entry);
  }
  byId("cases").replaceChildren(...entries);
}

async function open(number) {
  if (!(number >= 0 && number < page.cases.length)) return;
  await keep();
  await mending.queue;
  const mine = ++page.opening;
  byId("problem").hidden = true;
  try {
    const detail = await ask(`cases/${number}`, { reviewer: page.reviewer });
    if (mine !== page.opening) return;
    release(page.viewer);
    const place = document.createElement("div");
    byId("stage").replaceChildren(place);
    document.body.dataset.ready = "";
    page.viewer = await spinalViewer.open(place, {
      scan: { url: address(`cases/${number}/scan.nii.gz`, { v: detail.version }) },
      maps: [
        {
          key: "map",
          title: "Label",
          url: address(`cases/${number}/labels.nii.gz`, { reviewer: page.reviewer, v: detail.version }),
        },
      ],
      labels: detail.labels,
    });
    if (mine !== page.opening) return;
    page.detail = detail;
    history.replaceState(null, "", `#${number}`);
    byId("title").textContent = detail.title;
    byId("model").textContent = `${detail.model} · case ${number + 1} of ${page.cases.length}`;
    byId("kept").textContent = "";
    form.load(detail);
    roots.load(detail, page.viewer);
    mending.load(detail, page.viewer, roots);
    remarks(detail);
    showConfirmed(detail.confirmed);
    enlarge(1);
    roots.take(roots.inHand);
    await listCases();
    document.activeElement?.blur();
    document.body.dataset.ready = String(number);
  } catch (error) {
    problem(error);
  }
}

/* Browsers keep few drawing contexts alive. */
function release(viewer) {
  for (const one of viewer ? [viewer.slices, viewer.solid] : []) {
    one.cleanup?.();
    one.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }
}

function remarks({ remarks }) {
  byId("warnings").hidden = !remarks.length;
  page.remark = -1;
  byId("warnings")
    .querySelector("ul")
    .replaceChildren(
      ...remarks.map(({ text, values }) => {
        const [entry, jump] = [document.createElement("li"), document.createElement("button")];
        jump.textContent = text;
        jump.addEventListener("click", () => values.length && roots.take(values[0]));
        entry.append(jump);
        return entry;
      }),
    );
}

function nextRemark() {
  const found = page.detail?.remarks ?? [];
  if (!found.length) return say("No warnings about this case.");
  page.remark = (page.remark + 1) % found.length;
  const { text, values } = found[page.remark];
  if (values.length) roots.take(values[0]);
  say(text);
}

/* Slices enlarged around the crosshair: 1, 2 or 4 times. */
function enlarge(times) {
  page.times = times;
  const { slices } = page.viewer;
  slices.opts.crosshairWidthUnit = "mm";
  slices.setCrosshairWidth(CROSSHAIR_MM / times);
  page.viewer.zoom(times);
}

function slice(by) {
  const { slices } = page.viewer;
  slices.moveCrosshairInVox(0, 0, by);
  slices.sync();
}

function askReviewer() {
  const [dialog, name] = [byId("who"), byId("who-name")];
  name.value = page.reviewer ?? "";
  dialog.querySelector(".wrong").hidden = true;
  dialog.showModal();
  name.select();
}

async function begin() {
  const name = byId("who-name").value.trim();
  const good = /^[0-9A-Za-z]{1,20}$/.test(name);
  byId("who").querySelector(".wrong").hidden = good;
  if (!good) return;
  await keep();
  sessionStorage.setItem("reviewer", name);
  byId("who").close();
  await start(name);
}

async function start(name) {
  page.reviewer = name;
  byId("reviewer").textContent = name;
  try {
    await listCases();
    await open(Number(location.hash.slice(1)) || 0);
  } catch (error) {
    problem(error);
  }
}

const key = (group, keys, shown, text, run, always = false) => ({ group, keys, shown, text, act: run, always });
const digits = ["5", "6", "7", "8", "9", "0"];
const KEYS = [
  key("Judge", ["p"], "P", "pass", () => form.verdict("pass")),
  key("Judge", ["f"], "F", "fail", () => form.verdict("fail")),
  key("Judge", ["a"], "A", "artefact: the scan cannot be judged", () => form.verdict("artefact")),
  key("Judge", digits, "5 … 9 0", "score 0.5 … 0.9, 1.0 of the region in hand", (event) => form.score(event.key === "0" ? 1 : Number(event.key) / 10)),
  key("Judge", ["+", "="], "+", "score 0.05 higher", () => form.nudge(1)),
  key("Judge", ["-"], "−", "score 0.05 lower", () => form.nudge(-1)),
  key("Judge", ["r"], "R", "next region", () => form.nextRegion()),
  key("Judge", ["t"], "T", "the clock's time as minutes with", () => form.takeClock()),
  key("Judge", ["i"], "I", "type the minutes", () => byId("minutes_with").focus()),
  key("Judge", ["c"], "C", "comment", () => byId("comment").focus()),
  key("Judge", ["m"], "M", "root in hand is to be mended", () => roots.toggleMend()),
  key("Judge", ["Enter"], "Enter", "confirm (Ctrl+Enter while typing)", confirm),
  key("Go", ["n"], "N", "next case", () => open(page.detail.number + 1)),
  key("Go", ["b"], "B", "previous case", () => open(page.detail.number - 1)),
  key("Go", ["ArrowUp"], "↑", "a slice up", () => slice(1)),
  key("Go", ["ArrowDown"], "↓", "a slice down", () => slice(-1)),
  key("Go", ["]"], "]", "next root in hand", () => roots.step(1)),
  key("Go", ["["], "[", "previous root", () => roots.step(-1)),
  key("Go", ["w"], "W", "next warning", nextRemark),
  key("See", ["x"], "X", "enlarge around the crosshair: 2, 4, 1 times", () => enlarge({ 1: 2, 2: 4, 4: 1 }[page.times])),
  key("See", ["v"], "V", "hide or show the root in hand", () => roots.toggle()),
  key("See", ["y"], "Y", "only the root in hand, or all", () => roots.only(roots.hidden.size ? null : [roots.inHand])),
  key("See", ["h"], "H", "hide or show all", () => roots.only(roots.hidden.size ? null : [])),
  key("Mend", ["d"], "D", "paint the root in hand", () => mending.use("paint")),
  key("Mend", ["e"], "E", "erase", () => mending.use("erase")),
  key("Mend", ["1", "2", "3", "4"], "1 … 4", "width of the pen in voxels", (event) => mending.size(Number(event.key))),
  key("Mend", ["g"], "G", "rename the thread under the crosshair", () => mending.askName(false)),
  key("Mend", ["Shift+g"], "Shift+G", "rename all threads of that root", () => mending.askName(true)),
  key("Mend", ["Shift+ArrowUp"], "Shift+↑", "all names a level up (L4 becomes L3)", () => mending.change({ kind: "shift", by: -1 })),
  key("Mend", ["Shift+ArrowDown"], "Shift+↓", "all names a level down (L3 becomes L4)", () => mending.change({ kind: "shift", by: 1 })),
  key("Mend", ["z", "Ctrl+z"], "Z", "undo", () => mending.undo()),
  key("Mend", ["s", "Ctrl+s"], "S", "save the corrected masks", () => mending.save()),
  key("Page", ["Escape"], "Esc", "leave a field; put the pen down", () => { document.activeElement?.blur(); mending.use("look"); }, true),
  key("Page", ["?"], "?", "these keys", () => byId("help").showModal()),
];

bindKeys([...KEYS, key("Judge", ["Ctrl+Enter"], "", "", confirm, true)]);
byId("keys").replaceChildren(tableOfKeys(KEYS));
byId("help").querySelector("button").addEventListener("click", () => byId("help").close());
byId("help-button").addEventListener("click", () => byId("help").showModal());
byId("confirm").addEventListener("click", confirm);
byId("next").addEventListener("click", () => open(page.detail.number + 1));
byId("previous").addEventListener("click", () => open(page.detail.number - 1));
byId("reviewer").addEventListener("click", askReviewer);
byId("who").querySelector("button").addEventListener("click", begin);
byId("who").addEventListener("cancel", (event) => page.reviewer || event.preventDefault());
byId("who-name").addEventListener("keydown", (event) => event.key === "Enter" && begin());
byId("problem").querySelector("button").addEventListener("click", () => location.reload());
window.addEventListener("pagehide", () => keep(true));
setInterval(() => {
  if (!page.detail || document.hidden) return;
  form.tick();
  if (form.seconds % CLOCK_EVERY_S === 0) later();
}, 1000);

const known = sessionStorage.getItem("reviewer");
if (known) start(known);
else askReviewer();
