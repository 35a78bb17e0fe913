/* What a reviewer says of a case: verdict, scores, minutes, comment. */
const VERDICTS = [
  ["pass", "Pass", "P", "usable, perhaps after small corrections"],
  ["fail", "Fail", "F", "of no use as it is"],
  ["artefact", "Artefact", "A", "the scan itself cannot be judged; needs no score"],
];
const [LOWEST, HIGHEST, STEP] = [0.5, 1, 0.05];
const numberOf = (text) => (text.trim() === "" ? null : Number(text));
const byId = (id) => document.getElementById(id);

export class Form {
  constructor(changed) {
    this.changed = changed;
    this.seconds = 0;
    this.fields = new Map();
    this.region = null;
    const place = byId("verdicts");
    for (const [value, title, key, told] of VERDICTS) {
      const [label, radio, cap] = ["label", "input", "kbd"].map((tag) => document.createElement(tag));
      Object.assign(radio, { type: "radio", name: "verdict", value });
      cap.textContent = key;
      label.title = told;
      label.append(radio, ` ${title} `, cap);
      radio.addEventListener("change", () => this.changed());
      place.append(label);
    }
    for (const id of ["minutes_with", "minutes_without", "comment"]) byId(id).addEventListener("input", () => this.changed());
    byId("take-clock").addEventListener("click", () => this.takeClock());
  }

  /* Show the form of a case: its regions, and what was entered before. */
  load(detail) {
    const form = detail.form;
    this.fields.clear();
    const rows = detail.regions.map((region) => {
      const [row, head, cell, input] = ["tr", "th", "td", "input"].map((tag) => document.createElement(tag));
      head.textContent = region;
      Object.assign(input, { type: "number", min: LOWEST, max: HIGHEST, step: STEP, id: `score-${region}` });
      input.setAttribute("aria-label", `Expert score, ${region}`);
      const value = form.scores?.[region];
      input.value = value ?? "";
      input.addEventListener("input", () => this.changed());
      input.addEventListener("focus", () => this.take(region));
      head.addEventListener("click", () => this.take(region));
      cell.append(input);
      row.append(head, cell);
      this.fields.set(region, { row, input });
      return row;
    });
    document.querySelector("#scores tbody").replaceChildren(...rows);
    byId("ends").replaceChildren(
      ...detail.ends.flatMap(([end, told]) => {
        const [term, text] = [document.createElement("dt"), document.createElement("dd")];
        term.textContent = end.toFixed(1);
        text.textContent = told;
        return [term, text];
      }),
    );
    this.take(detail.regions[0]);
    this.verdict(form.verdict ?? "", false);
    byId("minutes_with").value = form.minutes_with ?? "";
    byId("minutes_without").value = form.minutes_without ?? "";
    byId("comment").value = form.comment ?? "";
    this.seconds = form.seconds ?? 0;
    this.showClock();
  }

  values() {
    const scores = {};
    for (const [region, { input }] of this.fields) scores[region] = numberOf(input.value);
    return {
      verdict: document.querySelector("input[name=verdict]:checked")?.value ?? "",
      scores,
      minutes_with: numberOf(byId("minutes_with").value),
      minutes_without: numberOf(byId("minutes_without").value),
      comment: byId("comment").value,
      seconds: this.seconds,
    };
  }

  verdict(value, told = true) {
    for (const radio of document.querySelectorAll("input[name=verdict]")) radio.checked = radio.value === value;
    if (told) this.changed();
  }

  /* Take a region in hand: the keys for scores are about it. */
  take(region) {
    this.region = region;
    for (const [name, { row }] of this.fields) row.classList.toggle("in-hand", name === region);
  }

  nextRegion() {
    const names = [...this.fields.keys()];
    this.take(names[(names.indexOf(this.region) + 1) % names.length]);
  }

  score(value) {
    this.fields.get(this.region).input.value = value.toFixed(2);
    this.changed();
  }

  nudge(steps) {
    const now = numberOf(this.fields.get(this.region).input.value) ?? 0.75;
    this.score(Math.min(HIGHEST, Math.max(LOWEST, now + steps * STEP)));
  }

  takeClock() {
    byId("minutes_with").value = (this.seconds / 60).toFixed(1);
    this.changed();
  }

  tick() {
    this.seconds += 1;
    this.showClock();
  }

  showClock() {
    byId("clock").textContent = `${Math.floor(this.seconds / 60)}:${String(this.seconds % 60).padStart(2, "0")}`;
  }
}
