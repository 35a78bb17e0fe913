"use strict";
/* A scan with its label maps in three planes, and their surfaces in 3D.

   const viewer = await spinalViewer.open(element, {
     scan: {base64 | url},                        // .nii.gz
     maps: [{key, title, base64 | url}],          // uint8 .nii.gz, all on the scan's grid; the last is shown
     labels: [{value, name, colour: [r, g, b]}],  // 0..255
     surfaces: [{map, value, name, colour, opacity, base64}],  // MZ3 in RAS mm; map and value may be null
     remarks: [{text, map, place}],               // warnings; place: RAS mm, or null
     start: [x, y, z],                            // RAS mm; the middle of the last map by default
   });
   viewer.show(key); viewer.toggle(value, on); viewer.only(values); viewer.goTo([x, y, z]);
   viewer.opacity(0.6); viewer.zoom(2); viewer.outline(1.5);      // pixels of the screen
   viewer.values(key)     // the map's voxels (Uint8Array, first axis fastest); after a change: refresh()
   viewer.onPlace(f)      // f({mm, voxel, value}) whenever the crosshair moves
   viewer.slices, viewer.solid                    // NiiVue's own objects

   The patient's right, or front, is on the viewer's left. Nothing is loaded but what is given. */
const spinalViewer = (() => {
  const DIFFERENCE = "difference";
  const [NIFTI_UINT8, NIFTI_INTENT_LABEL] = [2, 1002];
  const VERDICTS = [
    { value: 253, name: "in both", colour: [235, 235, 235] },
    { value: 254, name: "missed", colour: [76, 201, 240] },
    { value: 255, name: "added", colour: [255, 90, 60] },
  ];
  const BACKGROUND = [0.045, 0.052, 0.06, 1];

  const element = (tag, attributes = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name in made && name !== "list") made[name] = value;
      else made.setAttribute(name, value);
    }
    made.append(...children);
    return made;
  };

  const bytesOf = (base64) => Uint8Array.from(atob(base64), (one) => one.charCodeAt(0));

  const imageOf = (source, name) =>
    source.url
      ? niivue.NVImage.loadFromUrl({ url: source.url, name })
      : niivue.NVImage.loadFromBase64({ base64: source.base64, name });

  const options = {
    logLevel: "error",
    backColor: BACKGROUND,
    dragAndDropEnabled: false,
    isColorbar: false,
    showLegend: false,
    loadingText: "",
    viewModeHotKey: "",
    clipPlaneHotKey: "",
    cycleClipPlaneHotKey: "",
    fontColor: [0.85, 0.85, 0.8, 1],
    crosshairColor: [0.37, 0.76, 0.81, 0.8],
  };

  /* A table of 256 colours, the form that NiiVue wants one in. */
  const tableOf = (labels) => {
    const table = { R: [], G: [], B: [], A: [], I: [], labels: [] };
    const known = new Map([...labels, ...VERDICTS].map((label) => [label.value, label]));
    for (let value = 0; value < 256; value++) {
      const label = known.get(value);
      const [red, green, blue] = label ? label.colour : [255, 255, 255];
      table.R.push(red);
      table.G.push(green);
      table.B.push(blue);
      table.A.push(value ? 255 : 0);
      table.I.push(value);
      table.labels.push(label ? label.name : value ? String(value) : "");
    }
    return table;
  };

  const differenceOf = (truth, found) =>
    truth.map((value, place) =>
      value ? (found[place] ? VERDICTS[0].value : VERDICTS[1].value) : found[place] ? VERDICTS[2].value : 0,
    );

  async function open(place, content) {
    const { scan, maps = [], labels = [], surfaces = [], remarks = [] } = content;
    const slicesCanvas = element("canvas", { className: "viewer-slices" });
    const solidCanvas = element("canvas", { className: "viewer-solid" });
    const where = element("div", { className: "viewer-place", role: "status" });
    const panel = element("div", { className: "viewer-panel" });
    place.classList.add("viewer");
    place.replaceChildren(
      element(
        "div",
        { className: "viewer-stage" },
        element("div", { className: "viewer-frame" }, slicesCanvas),
        element("div", { className: "viewer-frame" }, solidCanvas),
        where,
      ),
      panel,
    );

    const slices = new niivue.Niivue({
      ...options,
      isRadiologicalConvention: true,
      sagittalNoseLeft: true,
      showAllOrientationMarkers: true,
      crosshairWidth: 0.3,
      crosshairWidthUnit: "mm",
      crosshairGap: 3,
      meshThicknessOn2D: 0,
    });
    const solid = new niivue.Niivue({ ...options, isOrientCube: true, show3Dcrosshair: true, crosshairWidth: 0.3, crosshairWidthUnit: "mm" });
    await slices.attachToCanvas(slicesCanvas, false);
    await solid.attachToCanvas(solidCanvas, true);

    // The scan, and one overlay whose voxels are those of the map in sight
    slices.addVolume(await imageOf(scan, "scan.nii.gz"));
    const masters = new Map();
    let overlay = null;
    for (const map of maps) {
      const image = await imageOf(map, `${map.key}.nii.gz`);
      masters.set(map.key, Uint8Array.from(image.img));
      image.img = Uint8Array.from(image.img);
      image.hdr.datatypeCode = NIFTI_UINT8;
      image.hdr.numBitsPerVoxel = 8;
      image.hdr.intent_code = NIFTI_INTENT_LABEL; // NiiVue looks colours up without blending them
      overlay ??= image;
    }
    const compared = masters.size === 2 && content.compare !== false;
    const [first, second] = [...masters.keys()];
    const shown = { map: maps.length ? maps[maps.length - 1].key : null, hidden: new Set() };
    const table = tableOf(labels);
    if (overlay) {
      overlay.setColormapLabel(table);
      slices.addVolume(overlay);
    }
    slices.setCustomSliceShader(spinalViewer.outlineShader);
    slices.overlayOutlineWidth = 1.5;
    slices.overlayAlphaShader = 0.45;
    slices.setCustomLayout([
      { sliceType: slices.sliceTypeAxial, position: [0, 0, 0.44, 1] },
      { sliceType: slices.sliceTypeCoronal, position: [0.45, 0, 0.27, 1] },
      { sliceType: slices.sliceTypeSagittal, position: [0.73, 0, 0.27, 1] },
    ]);

    // Surfaces; without any, the labels themselves
    const meshes = [];
    for (const surface of surfaces) {
      const mesh = await niivue.NVMesh.readMesh(
        bytesOf(surface.base64).buffer,
        `${surface.name}.mz3`,
        solid.gl,
        surface.opacity ?? 1,
        new Uint8Array([...surface.colour, 255]),
        true,
      );
      meshes.push({ ...surface, mesh });
    }
    let solidOverlay = null;
    if (!meshes.length && overlay) {
      solidOverlay = overlay.clone();
      solidOverlay.setColormapLabel(table);
      solid.addVolume(solidOverlay);
    }
    solid.setSliceType(solid.sliceTypeRender);
    solid.setRenderAzimuthElevation(335, 8); // from behind, a little from the right
    solid.scene.volScaleMultiplier = 1.25;
    slices.broadcastTo([solid], { "2d": true, "3d": false });

    const currentVoxels = () =>
      shown.map === DIFFERENCE ? differenceOf(masters.get(first), masters.get(second)) : masters.get(shown.map);
    const hiddenIn = (key, value) => key !== DIFFERENCE && shown.hidden.has(value);

    function redraw() {
      if (overlay) {
        const visible = new Uint8Array(256);
        for (let value = 1; value < 256; value++) visible[value] = hiddenIn(shown.map, value) ? 0 : value;
        const voxels = currentVoxels();
        if (shown.map === DIFFERENCE) {
          const [truth, found] = [masters.get(first), masters.get(second)];
          for (let i = 0; i < voxels.length; i++) {
            const hidden = (!truth[i] || shown.hidden.has(truth[i])) && (!found[i] || shown.hidden.has(found[i]));
            overlay.img[i] = hidden ? 0 : voxels[i];
          }
        } else for (let i = 0; i < voxels.length; i++) overlay.img[i] = visible[voxels[i]];
        slices.updateGLVolume();
        if (solidOverlay) {
          solidOverlay.img.set(overlay.img);
          solid.updateGLVolume();
        }
      }
      if (meshes.length) {
        solid.meshes = meshes
          .filter(
            (one) =>
              (one.map == null || one.map === shown.map || shown.map === DIFFERENCE) &&
              !(one.value != null && shown.hidden.has(one.value)) &&
              one.mesh.opacity > 0,
          )
          .sort((one, other) => other.mesh.opacity - one.mesh.opacity)
          .map((one) => one.mesh);
        solid.drawScene();
      }
      for (const [value, row] of rows) row.box.checked = !shown.hidden.has(value);
      for (const radio of panel.querySelectorAll("input[name=viewer-map]")) radio.checked = radio.value === shown.map;
      mark();
    }

    // Where the crosshair is, and what is there
    const listeners = [];
    const nameOf = new Map(labels.map((label) => [label.value, label.name]));
    function report(location) {
      const mm = Array.from(location.mm).slice(0, 3);
      const [x, y, z] = slices.volumes[0].mm2vox(mm).map(Math.round);
      const dims = slices.volumes[0].hdr.dims;
      const index = x + dims[1] * (y + dims[2] * z);
      const found = maps.map(({ key, title }) => [title, masters.get(key)[index]]);
      const named = found.map(([title, value]) => `${title}: ${value ? (nameOf.get(value) ?? value) : "–"}`);
      where.textContent = `R ${mm[0].toFixed(1)}  A ${mm[1].toFixed(1)}  S ${mm[2].toFixed(1)} mm   ${named.join("   ")}`;
      const value = shown.map && masters.has(shown.map) ? masters.get(shown.map)[index] : 0;
      for (const listener of listeners) listener({ mm, voxel: [x, y, z], value });
    }
    slices.onLocationChange = report;

    function goTo(mm) {
      slices.scene.crosshairPos = slices.mm2frac(mm, 0, true);
      slices.createOnLocationChange();
      zoom(slices.scene.pan2Dxyzmm[3]);
      slices.sync();
    }

    /* Magnify the slices about the crosshair. */
    function zoom(times) {
      const [here, middle] = [slices.scene.crosshairPos, [0.5, 0.5, 0.5]].map((at) => slices.frac2mm(at));
      slices.setPan2Dxyzmm([0, 1, 2].map((axis) => (times === 1 ? 0 : middle[axis] - times * here[axis])).concat(times));
    }

    /* The middle one of the voxels that are wanted, in RAS mm; null where the map in sight has none. */
    function middleOf(wanted) {
      const voxels = masters.get(shown.map) ?? masters.get(second) ?? masters.get(first);
      const found = [];
      voxels.forEach((value, index) => wanted(value) && found.push(index));
      if (!found.length) return null;
      const index = found[found.length >> 1];
      const image = slices.volumes[0];
      const [, width, height] = image.hdr.dims;
      const voxel = [index % width, Math.floor(index / width) % height, Math.floor(index / (width * height))];
      return Array.from(image.vox2mm(voxel, image.matRAS)).slice(0, 3);
    }
    const placeOf = (value) => middleOf((one) => one === value);

    // The panel
    const rows = new Map();
    const slider = (title, low, high, step, start, turn) => {
      const input = element("input", { type: "range", min: low, max: high, step, value: start, name: title.toLowerCase() });
      input.addEventListener("input", () => turn(Number(input.value)));
      return element("label", { className: "viewer-slider" }, element("span", {}, title), input);
    };
    const button = (title, act) => {
      const made = element("button", { type: "button" }, title);
      made.addEventListener("click", act);
      return made;
    };
    function mark() {
      if (!overlay || !masters.size) return;
      const present = new Uint8Array(256);
      for (const key of shown.map === DIFFERENCE ? masters.keys() : [shown.map]) for (const value of masters.get(key)) present[value] = 1;
      for (const [value, row] of rows) row.line.classList.toggle("absent", !present[value]);
    }
    const viewer = {
      slices,
      solid,
      goTo,
      placeOf,
      show(key) {
        shown.map = key;
        redraw();
      },
      get shown() {
        return shown.map;
      },
      toggle(value, on) {
        shown.hidden[on ? "delete" : "add"](value);
        redraw();
      },
      only(values) {
        shown.hidden = new Set(labels.map((label) => label.value).filter((value) => values && !values.includes(value)));
        redraw();
      },
      opacity(share) {
        slices.overlayAlphaShader = share;
        slices.drawScene();
      },
      outline(pixels) {
        slices.overlayOutlineWidth = pixels;
        slices.drawScene();
      },
      zoom,
      values: (key) => masters.get(key),
      refresh: redraw,
      onPlace: (listener) => listeners.push(listener),
      ready: true,
    };

    if (maps.length > 1) {
      const choice = element("fieldset", {}, element("legend", {}, "Labels of"));
      const line = element("div", { className: "viewer-choice" });
      for (const { key, title } of [...maps, ...(compared ? [{ key: DIFFERENCE, title: "Difference" }] : [])]) {
        const radio = element("input", { type: "radio", name: "viewer-map", value: key });
        radio.addEventListener("change", () => viewer.show(key));
        line.append(element("label", {}, radio, title));
      }
      choice.append(line);
      if (compared) {
        const told = VERDICTS.map(({ name, colour }) =>
          element("span", { className: "viewer-label" }, element("span", { className: "viewer-swatch", style: `background: rgb(${colour})` }), name),
        );
        choice.append(element("div", { className: "viewer-choice viewer-head" }, ...told));
      }
      panel.append(choice);
    }
    if (overlay) {
      panel.append(
        element(
          "fieldset",
          {},
          slider("Opacity", 0, 1, 0.05, 0.45, viewer.opacity),
          slider("Outline", 0, 4, 0.5, 1.5, viewer.outline),
          slider("Zoom", 1, 6, 0.25, 1, viewer.zoom),
        ),
      );
    }
    const around = meshes.filter(({ value }) => value == null);
    for (const name of new Set(around.map((one) => one.name))) {
      const alike = around.filter((one) => one.name === name);
      panel.append(
        slider(name, 0, 1, 0.02, alike[0].opacity ?? 1, (share) => {
          for (const one of alike) one.mesh.opacity = share;
          redraw();
        }),
      );
    }
    if (remarks.length) {
      const list = element("ul", { className: "viewer-remarks" });
      for (const remark of remarks) {
        const jump = button(remark.text, () => {
          if (remark.map) viewer.show(remark.map);
          if (remark.place) goTo(remark.place);
        });
        list.append(element("li", {}, jump));
      }
      panel.append(element("fieldset", {}, element("legend", {}, `Warnings (${remarks.length})`), list));
    }
    if (labels.length) {
      const list = element("div", { className: "viewer-labels" });
      for (const { value, name, colour } of labels) {
        const box = element("input", { type: "checkbox", checked: true, title: `Show ${name}` });
        box.dataset.value = value;
        box.addEventListener("change", () => viewer.toggle(value, box.checked));
        const jump = button(name, () => {
          const middle = placeOf(value);
          if (middle) goTo(middle);
        });
        jump.title = "Go there";
        const swatch = element("span", { className: "viewer-swatch", style: `background: rgb(${colour})` });
        const line = element("div", { className: "viewer-label" }, box, swatch, jump);
        rows.set(value, { box, line });
        list.append(line);
      }
      panel.append(
        element(
          "fieldset",
          {},
          element("legend", {}, "Show"),
          element("div", { className: "viewer-choice" }, button("all", () => viewer.only(null)), button("none", () => viewer.only([]))),
          list,
        ),
      );
    }
    redraw();
    const start = content.start ?? (shown.map && middleOf((value) => value > 0));
    if (start) goTo(start);
    return viewer;
  }

  /* Opens the viewer, or says in its place why it cannot. */
  async function start(place, content) {
    try {
      return await open(place, content);
    } catch (problem) {
      const told = element("p", { className: "viewer-problem" }, `The viewer needs a browser with WebGL 2: ${problem.message}`);
      place.classList.add("viewer");
      place.replaceChildren(told);
      throw problem;
    }
  }

  return { open: start, outlineShader: "" };
})();
