/* One table of keys: what they do, and what the overlay says of them. */
const TYPING = new Set(["TEXTAREA", "SELECT"]);

const isTyping = (element) =>
  TYPING.has(element.tagName) ||
  (element.tagName === "INPUT" && !["checkbox", "radio", "range", "button"].includes(element.type));

const nameOf = (event) => {
  const shifted = event.shiftKey && (event.key.length > 1 || /[a-z]/i.test(event.key));
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  return `${event.ctrlKey || event.metaKey ? "Ctrl+" : ""}${shifted ? "Shift+" : ""}${key}`;
};

/* table: [{group, keys: ["n"], shown: "N", text, act, always}]; `always` works while typing too. */
export function bindKeys(table) {
  const known = new Map(table.flatMap((row) => row.keys.map((key) => [key, row])));
  window.addEventListener(
    "keydown",
    (event) => {
      if (event.altKey || document.querySelector("dialog[open]")) return;
      const name = nameOf(event);
      const row = known.get(name);
      if (!row) return;
      if (isTyping(event.target) && !row.always) return;
      if (event.target.tagName === "BUTTON" && name === "Enter") return; // presses the button
      event.preventDefault();
      event.stopImmediatePropagation();
      row.act(event);
    },
    true,
  );
}

export function tableOfKeys(table) {
  const place = document.createElement("div");
  for (const group of new Set(table.map((row) => row.group))) {
    const head = document.createElement("h3");
    head.textContent = group;
    const list = document.createElement("dl");
    for (const row of table.filter((one) => one.group === group)) {
      const [keys, text] = [document.createElement("dt"), document.createElement("dd")];
      for (const key of row.shown.split(" ")) {
        const cap = document.createElement("kbd");
        cap.textContent = key;
        keys.append(cap);
      }
      text.textContent = row.text;
      list.append(keys, text);
    }
    const box = document.createElement("section");
    box.append(head, list);
    place.append(box);
  }
  return place;
}
