/* The list of roots: which are shown, which one is in hand, which are to be mended. */
const MAP = "map";
const button = (title, press) => {
  const made = document.createElement("button");
  made.textContent = title;
  made.addEventListener("click", press);
  return made;
};

export class Roots {
  /* changed(): the list of roots to mend; taken(): another root is in hand */
  constructor(changed, taken) {
    this.changed = changed;
    this.taken = taken;
    this.place = document.getElementById("root-list");
  }

  load(detail, viewer) {
    this.viewer = viewer;
    this.labels = new Map(detail.labels.map((label) => [label.value, label]));
    this.offered = new Set(detail.offered);
    this.mend = new Set(detail.form.to_mend ?? []);
    this.hidden = new Set();
    this.inHand = null;
    this.count();
    this.take([...this.rows.keys()].find((value) => this.counts[value]) ?? null, false);
  }

  nameOf(value) {
    return this.labels.get(value)?.name ?? null;
  }

  /* Voxels of each label, anew; roots that came up or went away get or lose their row. */
  count() {
    this.counts = new Uint32Array(256);
    for (const value of this.viewer.values(MAP)) this.counts[value]++;
    const values = [...this.labels.keys()].filter((value) => this.counts[value] || this.offered.has(value) || this.mend.has(this.nameOf(value)));
    this.rows = new Map(values.map((value) => [value, this.row(value)]));
    this.place.replaceChildren(...[...this.rows.values()].map(({ line }) => line));
    this.mark();
  }

  row(value) {
    const { name, colour } = this.labels.get(value);
    const line = document.createElement("div");
    const show = Object.assign(document.createElement("input"), { type: "checkbox", checked: !this.hidden.has(value), title: `Show ${name}` });
    show.dataset.show = name;
    show.addEventListener("change", () => this.show(value, show.checked));
    const swatch = document.createElement("span");
    swatch.className = "viewer-swatch";
    swatch.style.background = `rgb(${colour})`;
    const jump = button(name, () => this.take(value));
    jump.title = "Take in hand and go there";
    const voxels = document.createElement("span");
    voxels.className = "quiet";
    voxels.textContent = this.counts[value] || "–";
    const mend = Object.assign(document.createElement("input"), { type: "checkbox", checked: this.mend.has(name), title: `${name} is to be mended` });
    mend.dataset.mend = name;
    mend.addEventListener("change", () => this.toMend(value, mend.checked));
    line.className = "root";
    line.append(show, swatch, jump, voxels, mend);
    return { line, show, mend };
  }

  mark() {
    for (const [value, { line, show, mend }] of this.rows) {
      line.classList.toggle("in-hand", value === this.inHand);
      line.classList.toggle("absent", !this.counts[value]);
      show.checked = !this.hidden.has(value);
      mend.checked = this.mend.has(this.nameOf(value));
    }
  }

  /* Take a root in hand: what is painted, hidden, marked. */
  take(value, go = true) {
    this.inHand = value;
    if (value !== null && go && this.counts[value]) {
      const middle = this.viewer.placeOf(value);
      if (middle) this.viewer.goTo(Array.from(middle).slice(0, 3));
    }
    this.mark();
    const line = this.rows.get(value)?.line;
    if (line) this.place.scrollTop = Math.max(0, line.offsetTop - this.place.offsetTop - this.place.clientHeight / 2);
    this.taken();
  }

  step(by) {
    const values = [...this.rows.keys()];
    if (values.length) this.take(values[(values.indexOf(this.inHand) + by + values.length) % values.length]);
  }

  show(value, on) {
    this.hidden[on ? "delete" : "add"](value);
    this.viewer.toggle(value, on);
    this.mark();
  }

  toggle() {
    if (this.inHand !== null) this.show(this.inHand, this.hidden.has(this.inHand));
  }

  /* All, or only `values`. */
  only(values) {
    this.hidden = new Set(values ? [...this.labels.keys()].filter((value) => !values.includes(value)) : []);
    this.viewer.only(values);
    this.mark();
  }

  toMend(value, on) {
    this.mend[on ? "add" : "delete"](this.nameOf(value));
    this.mark();
    this.changed();
  }

  toggleMend() {
    if (this.inHand !== null) this.toMend(this.inHand, !this.mend.has(this.nameOf(this.inHand)));
  }
}
