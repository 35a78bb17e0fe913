/* Corrections of the map in sight. Each goes to the server at once and comes back as the voxels that
   have changed; the page never decides what a voxel becomes. */
import { act } from "./api.js";

const MAP = "map";
const ERASER = 255;
const PENS = [1, 2, 3, 4];
const byId = (id) => document.getElementById(id);

export class Mending {
  /* hooks: {problem(error), changed(), reviewer()} */
  constructor(hooks) {
    this.hooks = hooks;
    this.tool = "look";
    this.pen = 1;
    this.queue = Promise.resolve();
    const tools = byId("tools");
    this.buttons = new Map();
    for (const [name, title, key, press] of [
      ["look", "Look", "Esc", () => this.use("look")],
      ["paint", "Paint", "D", () => this.use("paint")],
      ["erase", "Erase", "E", () => this.use("erase")],
      ["rename", "Rename", "G", () => this.askName(false)],
      ["up", "Names ↑", "Shift+↑", () => this.change({ kind: "shift", by: -1 })],
      ["down", "Names ↓", "Shift+↓", () => this.change({ kind: "shift", by: 1 })],
      ["undo", "Undo", "Z", () => this.undo()],
      ["save", "Save", "S: the corrected masks, beside the prediction", () => this.save()],
    ]) {
      const button = document.createElement("button");
      button.textContent = title;
      button.title = key;
      button.id = `tool-${name}`;
      button.addEventListener("click", press);
      tools.append(button);
      this.buttons.set(name, button);
    }
    const dialog = byId("rename");
    const rename = () => this.rename(byId("rename-name").value);
    dialog.querySelector("button").addEventListener("click", rename);
    byId("rename-name").addEventListener("keydown", (event) => event.key === "Enter" && rename());
  }

  /* A case has been opened. roots: of roots.js */
  load(detail, viewer, roots) {
    Object.assign(this, { detail, viewer, roots, revision: detail.revision, unsaved: detail.unsaved, crosshair: null });
    const slices = viewer.slices;
    const table = { R: [], G: [], B: [], A: [], I: [], labels: [] };
    const colours = new Map(detail.labels.map(({ value, colour }) => [value, colour]));
    for (let value = 0; value < 256; value++) {
      const [red, green, blue] = value === ERASER ? [40, 40, 40] : (colours.get(value) ?? [255, 255, 255]);
      table.R.push(red);
      table.G.push(green);
      table.B.push(blue);
      table.A.push(value ? 255 : 0);
      table.I.push(value);
      table.labels.push(String(value));
    }
    slices.opts.maxDrawUndoBitmaps = 1; // ours is on the server
    slices.createEmptyDrawing();
    slices.setDrawColormap(table);
    slices.setDrawOpacity(1);
    slices.onDrawingChanged = (action) => action === "draw" && this.stroke();
    viewer.onPlace((place) => {
      this.crosshair = place;
      this.show();
    });
    byId("names").replaceChildren(
      ...detail.labels.map(({ name }) => Object.assign(document.createElement("option"), { value: name })),
    );
    this.use("look");
  }

  use(tool) {
    this.tool = tool;
    const slices = this.viewer?.slices;
    if (!slices) return;
    slices.setDrawingEnabled(tool !== "look");
    slices.opts.penSize = this.pen;
    slices.setPenValue(tool === "erase" ? ERASER : (this.roots.inHand ?? ERASER), false);
    this.show();
  }

  size(pen) {
    if (PENS.includes(pen)) this.pen = pen;
    this.use(this.tool);
  }

  show() {
    document.body.dataset.tool = this.tool;
    for (const [name, button] of this.buttons) button.setAttribute("aria-pressed", String(name === this.tool));
    const inHand = this.roots?.nameOf(this.roots.inHand) ?? "no root";
    const there = this.crosshair?.value ? this.roots.nameOf(this.crosshair.value) : "nothing";
    byId("target").textContent =
      this.tool === "paint"
        ? `Draws ${inHand}, ${this.pen} voxel${this.pen > 1 ? "s" : ""} wide (1–4). [ and ] take another root.`
        : this.tool === "erase"
          ? `Erases, ${this.pen} voxel${this.pen > 1 ? "s" : ""} wide (1–4).`
          : `Under the crosshair: ${there}. In hand: ${inHand}.`;
    const steps = this.revision ?? 0;
    byId("steps").textContent = steps ? `${steps}${this.unsaved ? ", not saved as a mask yet" : ", saved"}` : "";
  }

  /* What the pen has just drawn becomes a correction. */
  stroke() {
    const drawn = this.viewer.slices.drawBitmap;
    const voxels = [];
    let value = 0;
    for (let index = 0; index < drawn.length; index++) {
      if (drawn[index]) {
        voxels.push(index);
        value = drawn[index];
      }
    }
    if (!voxels.length) return;
    drawn.fill(0);
    this.change({ kind: "paint", voxels, value: value === ERASER ? 0 : value }).then(() =>
      this.viewer.slices.refreshDrawing(true),
    );
  }

  askName(whole) {
    if (!this.crosshair?.value) {
      this.hooks.say("Put the crosshair on the thread that has the wrong name.");
      return;
    }
    this.whole = whole;
    this.at = this.indexOf(this.crosshair.voxel);
    const name = this.roots.nameOf(this.crosshair.value);
    byId("rename-title").textContent = whole ? `All threads of ${name} are` : `This thread of ${name} is`;
    byId("rename-name").value = "";
    byId("rename").querySelector(".wrong").hidden = true;
    byId("rename").showModal();
  }

  rename(text) {
    const wanted = text.toUpperCase().replace(/[^0-9A-Z]/g, "");
    const label = this.detail.labels.find(({ name }) => name.replaceAll("_", "") === wanted);
    byId("rename").querySelector(".wrong").hidden = Boolean(label);
    if (!label) return;
    byId("rename").close();
    this.change({ kind: "rename", voxel: this.at, value: label.value, whole: this.whole });
  }

  indexOf([x, y, z]) {
    const dims = this.viewer.slices.volumes[0].hdr.dims;
    return x + dims[1] * (y + dims[2] * z);
  }

  undo() {
    if (this.revision) this.change({ kind: "undo" });
    else this.hooks.say("No correction to take back.");
  }

  /* One after the other, each knowing of those before. */
  change(change) {
    const { detail, viewer, roots } = this;
    const after = this.queue.then(async () => {
      const message = { reviewer: this.hooks.reviewer(), version: detail.version, revision: this.revision, change };
      const found = await act(`cases/${detail.number}/edit`, message);
      const values = viewer.values(MAP);
      found.voxels.forEach((voxel, place) => (values[voxel] = found.values[place]));
      viewer.refresh();
      if (this.detail !== detail) return;
      this.revision = found.revision;
      this.unsaved = found.unsaved;
      if (this.crosshair) this.crosshair.value = values[this.indexOf(this.crosshair.voxel)];
      roots.count();
      this.show();
      this.hooks.changed();
    });
    this.queue = after.catch(this.hooks.problem);
    return this.queue;
  }

  save() {
    const { detail } = this;
    this.queue = this.queue
      .then(async () => {
        const message = { reviewer: this.hooks.reviewer(), version: detail.version };
        const { folder } = await act(`cases/${detail.number}/save`, message);
        this.unsaved = false;
        this.show();
        this.hooks.say(`Corrected masks are in ${folder}`);
      })
      .catch(this.hooks.problem);
    return this.queue;
  }
}
