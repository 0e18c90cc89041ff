// The page: sources, controls, keys and the address, around one picture.

import { Picture } from "./picture.js";
import { niceLength, shortNumber, shortUnit, shownLength, worldOf } from "./world.js";

const $ = (id) => document.getElementById(id);
const get = async (path) => {
  const response = await fetch(path);
  if (!response.ok) throw new Error((await response.json().catch(() => ({}))).error ?? `${path}: ${response.status}`);
  return response.json();
};
const element = (tag, attributes = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), attributes);
  made.append(...children);
  return made;
};

const started = performance.now();
const hash = new URLSearchParams(location.hash.slice(1));
const state = { source: null, channels: [], defaults: [], colormap: "gray", histograms: [], blinking: 0, plane: null, picks: [], pointer: null };
let listing, picture;
const hook = { pending: 1, drawn: 0, level: null, error: null, firstView: null, fetched: 0 };
window.__zig = hook; // for tests: what is still awaited, what is drawn

function tell(text) { $("message").textContent = text; }

async function start() {
  document.documentElement.classList.toggle("light", localStorage.getItem("theme") === "light" || (!localStorage.getItem("theme") && matchMedia("(prefers-color-scheme: light)").matches));
  listing = await get("api/sources");
  picture = new Picture($("canvas"), listing, drawn, { keep: hash.has("test") });
  hook.picture = picture;
  const groups = new Map();
  for (const each of listing.sources) {
    if (!groups.has(each.group)) groups.set(each.group, element("optgroup", { label: each.group }));
    groups.get(each.group).append(element("option", { value: each.number, textContent: each.name }));
  }
  $("source").append(...(groups.size > 1 ? groups.values() : [...groups.values()].flatMap((group) => [...group.children])));
  $("colormap").append(...Object.keys(listing.colormaps).map((name) => element("option", { value: name, textContent: name })));
  background();
  if (innerWidth <= 720) togglePanel(false);
  wire();
  await open(Number(hash.get("s") ?? listing.sources[0].number), hash);
}

async function open(number, said = new URLSearchParams()) {
  hook.pending = 1;
  tell("");
  let source;
  try {
    source = await get(`api/source/${number}`);
  } catch (error) {
    hook.pending = 0;
    hook.error = error.message;
    tell(error.message);
    $("source").value = String(number);
    return;
  }
  state.source = source;
  $("source").value = String(number);
  document.title = `${source.name} · ziggurat`;
  const names = source.axes.map((axis) => axis.name);
  const place = (name, usual) => (said.has(name) && names.includes(said.get(name)) ? names.indexOf(said.get(name)) : usual);
  state.picks = source.axes.map(() => 0);
  for (const [axis, pick] of source.plane.picks) state.picks[axis] = pick;
  (said.get("at") ?? "").split(",").forEach((part) => {
    const [name, value] = part.split("=");
    if (names.includes(name)) state.picks[names.indexOf(name)] = clamp(Number(value) || 0, 0, source.levels[0].shape[names.indexOf(name)] - 1);
  });
  state.channels = source.channels.map((channel) => ({ ...channel, limits: [...channel.limits], active: true }));
  (said.get("l") ?? "").split(";").forEach((part, i) => {
    const numbers = part.split(",").map(Number);
    if (part && state.channels[i] && numbers.every(Number.isFinite)) { state.channels[i].limits = numbers.slice(0, 2); state.channels[i].active = numbers[2] !== 0; }
  });
  state.defaults = source.channels.map((channel) => [...channel.limits]);
  state.colormap = said.get("m") in listing.colormaps ? said.get("m") : "gray";
  $("colormap").value = state.colormap;
  state.histograms = [];
  picture.only = said.has("k") ? clamp(Number(said.get("k")), 0, source.levels.length - 1) : null;
  stopBlinking();
  setPlane(place("r", source.plane.rows), place("c", source.plane.columns));
  picture.fit();
  const view = (said.get("v") ?? "").split(",").map(Number);
  if (view.length === 3 && view.every(Number.isFinite) && view[2] > 0) { picture.centre = { rows: view[0], columns: view[1] }; picture.step = view[2]; }
  facts();
  picture.redraw();
  if (source.kind !== "labels") get(`api/histograms/${number}`).then((found) => { state.histograms = found; channelControls(); }).catch(() => {});
}

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

function setPlane(rows, columns) {
  const { source } = state;
  const channel = source.plane.channel;
  state.plane = { rows, columns, channel: channel === rows || channel === columns ? null : channel };
  look();
  picture.show(source, state.plane, state.picks);
  planeControls();
  levelButtons();
  channelControls();
  $("three").hidden = !listing.neuroglancer;
  $("three").href = `3d/${source.number}`;
}

function look() {
  const { source } = state;
  const single = state.plane.channel === null || source.channels.length === 1;
  const shown = single ? state.channels.slice(0, 1) : state.channels;
  const mapped = single && (state.colormap !== "gray" || !shown[0]?.colour);
  picture.look = { channels: shown, mapped, nodata: source.nodata, chosen: picture.look.chosen };
  picture.renderer.setColormap(listing.colormaps[state.colormap]);
  $("contrast").hidden = source.kind === "labels";
  $("mapline").hidden = !single;
}

// --- controls

function facts() {
  const { source } = state;
  const base = source.levels[0];
  $("facts").textContent = `${base.shape.join(" × ")} ${source.dtype} · ${source.layout} · ${source.levels.length} levels${source.type ? ` · ${source.type}` : ""}`;
  $("facts").title = source.location;
  if (source.problems.length) tell(source.problems[0]);
}

function planeControls() {
  const { source, plane } = state;
  for (const [id, chosen] of [["rows", plane.rows], ["columns", plane.columns]]) {
    $(id).replaceChildren(...source.axes.map((axis, i) => element("option", { value: i, textContent: axis.name, selected: i === chosen })));
  }
  $("rows").disabled = source.axes.length < 2;
  const sliders = [];
  source.axes.forEach((axis, i) => {
    const n = source.levels[0].shape[i];
    if (i === plane.rows || i === plane.columns || i === plane.channel || n < 2) return;
    const [range, number] = ["range", "number"].map((type) => element("input", { type, min: 0, max: n - 1, step: 1, value: state.picks[i], ariaLabel: `sample of ${axis.name}` }));
    const set = (text) => {
      state.picks[i] = clamp(Math.round(Number(text) || 0), 0, n - 1);
      range.value = number.value = state.picks[i];
      name.title = `${axis.name} = ${shortNumber(worldOf(source.levels[0], i, state.picks[i]))} ${axis.unit ?? ""}`;
      picture.redraw();
      address();
    };
    const name = element("span", { textContent: axis.name });
    range.oninput = () => set(range.value);
    number.onchange = () => set(number.value);
    sliders.push(element("div", { className: "slider" }, name, range, number));
  });
  $("sliders").replaceChildren(...sliders);
}

function levelButtons() {
  const make = (text, only, title) => {
    const button = element("button", { textContent: text, title, onclick: () => { stopBlinking(); setOnly(only); } });
    button.dataset.only = only ?? "auto";
    return button;
  };
  const buttons = state.source.levels.map((level, k) => make(String(level.index), k, `only level ${level.index}: ${level.shape.join(" × ")}`));
  $("levels").replaceChildren(make("auto", null, "the level that suits the zoom"), ...buttons);
  pressed();
}

function setOnly(only) {
  picture.only = only === null ? null : clamp(only, 0, state.source.levels.length - 1);
  pressed();
  picture.redraw();
  address();
}

function pressed() {
  for (const button of $("levels").children) button.ariaPressed = String(button.dataset.only === String(picture.only ?? "auto"));
}

function blink() {
  if (state.blinking) { stopBlinking(); return; }
  const first = clamp(picture.level, 0, Math.max(0, state.source.levels.length - 2));
  let second = false;
  state.blinking = setInterval(() => { second = !second; setOnly(first + (second ? 1 : 0)); }, 600);
  $("blink").ariaPressed = "true";
}

function stopBlinking() {
  clearInterval(state.blinking);
  state.blinking = 0;
  $("blink").ariaPressed = "false";
}

function channelControls() {
  if (!state.source) return;
  const shown = picture.look.channels;
  $("channels").replaceChildren(...shown.map((channel, i) => {
    const histogram = state.histograms[i];
    const [low, high] = [0, 1].map((end) => element("input", { type: "number", step: "any", value: shortNumber(channel.limits[end]), ariaLabel: `${end ? "white" : "black"} of ${channel.label}` }));
    const picked = element("canvas", { width: 250, height: 38, title: "drag to set black (left half) and white (right half)" });
    const set = (end, value) => {
      if (!Number.isFinite(value)) return;
      channel.limits[end] = value;
      [low.value, high.value] = channel.limits.map((limit) => shortNumber(limit));
      drawHistogram(picked, histogram, channel);
      picture.redraw();
      address();
    };
    low.onchange = () => set(0, Number(low.value));
    high.onchange = () => set(1, Number(high.value));
    picked.onpointerdown = (event) => {
      if (!histogram) return;
      picked.setPointerCapture(event.pointerId);
      const valueAt = (e) => { const box = picked.getBoundingClientRect(); return histogram.low + clamp((e.clientX - box.left) / box.width, 0, 1) * (histogram.high - histogram.low); };
      const end = Math.abs(valueAt(event) - channel.limits[0]) < Math.abs(valueAt(event) - channel.limits[1]) ? 0 : 1;
      set(end, valueAt(event));
      picked.onpointermove = (moved) => set(end, valueAt(moved));
      picked.onpointerup = () => { picked.onpointermove = null; };
    };
    const head = element("div", { className: "head" });
    if (shown.length > 1) {
      const active = element("input", { type: "checkbox", checked: channel.active, onchange: () => { channel.active = active.checked; picture.redraw(); address(); } });
      const colour = element("input", { type: "color", value: hex(channel.colour), ariaLabel: `colour of ${channel.label}`, oninput: () => { channel.colour = unhex(colour.value); picture.redraw(); } });
      head.append(element("label", {}, active, ` ${channel.label}`), colour);
    }
    drawHistogram(picked, histogram, channel);
    return element("div", { className: "channel" }, head, picked, element("div", { className: "ends" }, low, high));
  }));
}

const hex = (colour) => `#${(colour ?? [255, 255, 255]).map((c) => c.toString(16).padStart(2, "0")).join("")}`;
const unhex = (text) => [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16));

function drawHistogram(canvas, histogram, channel) {
  const context = canvas.getContext("2d");
  const { width, height } = canvas;
  context.clearRect(0, 0, width, height);
  if (!histogram) return;
  const most = Math.log1p(Math.max(...histogram.counts));
  const style = getComputedStyle(document.documentElement);
  context.fillStyle = style.getPropertyValue("--dim");
  histogram.counts.forEach((count, i) => {
    const tall = most ? (Math.log1p(count) / most) * (height - 2) : 0;
    context.fillRect((i * width) / histogram.counts.length, height - tall, width / histogram.counts.length + 0.5, tall);
  });
  context.fillStyle = style.getPropertyValue("--mark");
  const span = histogram.high - histogram.low || 1;
  for (const limit of channel.limits) context.fillRect(clamp(((limit - histogram.low) / span) * width, 0, width - 2), 0, 2, height);
}

function setLimits(list) {
  list.forEach((limits, i) => { if (limits && picture.look.channels[i]) picture.look.channels[i].limits = [...limits]; });
  channelControls();
  picture.redraw();
  address();
}

// --- what is drawn, and under the cursor

function drawn() {
  const { source } = state;
  const level = source.levels[picture.level];
  $("drawn").textContent = `level ${level.index}${picture.tiles.pending ? " …" : ""}`;
  scaleBar();
  readout();
  const failed = [...picture.tiles.failed.values()][0];
  if (failed) tell(failed);
  else if (picture.tooMany) tell(`Level ${level.index} has too many tiles in this view: zoom in, or let the level follow the zoom`);
  else if ($("message").textContent.startsWith("Level ")) tell("");
  Object.assign(hook, { pending: picture.tiles.pending, level: level.index, drawn: hook.drawn + 1, error: failed ?? null, fetched: picture.tiles.fetched });
  if (!hook.pending && hook.firstView === null && picture.visible.length) hook.firstView = performance.now() - started;
  address();
}

function scaleBar() {
  const axis = state.source.axes[state.plane.columns];
  const ratio = devicePixelRatio || 1;
  const length = niceLength(picture.steps.columns * ratio * Math.min(160, picture.canvas.clientWidth / 3));
  $("bar").style.width = `${length / picture.steps.columns / ratio}px`;
  const counted = axis.unit || state.source.levels[0].scale[state.plane.columns] !== 1;
  $("length").textContent = counted ? shownLength(length, axis.unit) : `${shortNumber(length)} samples`;
}

let asked = 0;
function readout() {
  if (!state.pointer) { $("readout").textContent = ""; return; }
  const found = picture.under(...state.pointer);
  const { source, plane } = state;
  const named = (axis, value) => `${source.axes[axis].name} ${shortNumber(value, 8)}${source.axes[axis].unit ? ` ${shortUnit(source.axes[axis].unit)}` : ""}`;
  const parts = [[plane.rows, found.world.rows], [plane.columns, found.world.columns]].filter(([axis]) => axis !== null).map(([axis, value]) => named(axis, value));
  if (found.inside) {
    parts.push(`level ${found.level.index} [${found.index.map((i) => i ?? ":").join(", ")}]`);
    if (found.values) parts.push(found.values.map((value) => shown(value)).join(" "));
    picture.look.chosen = source.kind === "labels" && state.shift && found.values ? found.folded : 0;
    if (found.values && exactMatters(source)) exactly(found);
  }
  $("readout").textContent = parts.join("   ");
}

const shown = (value) => (typeof value === "bigint" ? String(value) : Number.isNaN(value) ? "NaN" : value === state.source.nodata ? `${shortNumber(value)} (no data)` : shortNumber(value, 8));
const exactMatters = (source) => /^(u?int(32|64)|float64|complex)/.test(source.dtype) && source.kind !== "labels" && state.plane.channel === null;

function exactly(found) {
  clearTimeout(asked);
  asked = setTimeout(async () => {
    const { value } = await get(`value/${state.source.number}/${found.level.index}/${found.index.map((i) => i ?? 0).join(".")}`).catch(() => ({}));
    if (value !== undefined && state.pointer) $("readout").textContent = `${$("readout").textContent.split("   ").slice(0, -1).join("   ")}   ${value}`;
  }, 120);
}

let saving = 0;
function address() {
  clearTimeout(saving);
  saving = setTimeout(() => {
    const { source, plane } = state;
    if (!source || !picture.centre) return;
    const said = new URLSearchParams();
    said.set("s", source.number);
    if (plane.rows !== source.plane.rows && plane.rows !== null) said.set("r", source.axes[plane.rows].name);
    if (plane.columns !== source.plane.columns) said.set("c", source.axes[plane.columns].name);
    const picks = source.axes.map((axis, i) => [axis.name, i]).filter(([, i]) => i !== plane.rows && i !== plane.columns && i !== plane.channel && source.levels[0].shape[i] > 1);
    if (picks.length) said.set("at", picks.map(([name, i]) => `${name}=${state.picks[i]}`).join(","));
    if (picture.only !== null && !state.blinking) said.set("k", picture.only);
    if (state.colormap !== "gray") said.set("m", state.colormap);
    if (source.kind !== "labels") said.set("l", state.channels.map(({ limits, active }) => [...limits.map((limit) => shortNumber(limit, 8)), active ? 1 : 0].join(",")).join(";"));
    said.set("v", [picture.centre.rows, picture.centre.columns, picture.step].map((value) => shortNumber(value, 10)).join(","));
    if (hash.has("test")) said.set("test", "1");
    history.replaceState(null, "", `#${said}`);
  }, 250);
}

// --- hands

function background() {
  const colour = getComputedStyle(document.documentElement).getPropertyValue("--back").trim();
  picture.background = unhex(colour).map((c) => c / 255);
}

function togglePanel(open = $("panel").classList.contains("closed")) {
  $("panel").classList.toggle("closed", !open);
  $("menu").ariaExpanded = String(open);
}

function toggleTheme() {
  const light = document.documentElement.classList.toggle("light");
  localStorage.setItem("theme", light ? "light" : "dark");
  background();
  channelControls();
  picture.redraw();
}

function wire() {
  const stage = $("stage");
  const ratio = () => devicePixelRatio || 1;
  const at = (event) => { const box = stage.getBoundingClientRect(); return [(event.clientX - box.left) * ratio(), (event.clientY - box.top) * ratio()]; };
  const fingers = new Map();
  stage.onpointerdown = (event) => { stage.setPointerCapture(event.pointerId); fingers.set(event.pointerId, at(event)); stage.focus({ preventScroll: true }); };
  stage.onpointermove = (event) => {
    const [x, y] = at(event);
    state.pointer = [x, y];
    state.shift = event.shiftKey;
    const before = fingers.get(event.pointerId);
    if (before && state.source) {
      if (fingers.size === 1) picture.pan(x - before[0], y - before[1]);
      else {
        const other = [...fingers].find(([id]) => id !== event.pointerId)[1];
        const apart = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]) || 1;
        picture.zoom(apart(before) / apart([x, y]), (x + other[0]) / 2, (y + other[1]) / 2);
        picture.pan((x - before[0]) / 2, (y - before[1]) / 2);
      }
      fingers.set(event.pointerId, [x, y]);
    } else if (state.source) { readout(); if (state.source.kind === "labels") picture.redraw(); }
  };
  stage.onpointerup = stage.onpointercancel = (event) => fingers.delete(event.pointerId);
  stage.onpointerleave = () => { state.pointer = null; $("readout").textContent = ""; };
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (state.source) picture.zoom(Math.exp(clamp(event.deltaY * (event.deltaMode ? 20 : 1), -200, 200) / 400), ...at(event));
  }, { passive: false });
  $("source").onchange = () => open(Number($("source").value));
  for (const id of ["rows", "columns"]) {
    $(id).onchange = () => {
      let { rows, columns } = state.plane;
      const chosen = Number($(id).value);
      if (id === "rows") { if (chosen === columns) columns = rows; rows = chosen; } else { if (chosen === rows) rows = columns; columns = chosen; }
      setPlane(rows, columns);
      picture.fit();
    };
  }
  $("colormap").onchange = () => { state.colormap = $("colormap").value; look(); picture.redraw(); address(); };
  $("auto").onclick = () => setLimits(picture.percentiles());
  $("reset").onclick = () => setLimits(state.defaults);
  $("fit").onclick = () => picture.fit();
  $("blink").onclick = blink;
  $("theme").onclick = toggleTheme;
  $("menu").onclick = () => togglePanel();
  $("help").onclick = () => { $("keys").hidden = !$("keys").hidden; };
  document.onkeydown = (event) => {
    if (event.target.matches?.("input, select") || event.ctrlKey || event.metaKey || event.altKey || !state.source) return;
    const far = 80 * ratio();
    const slide = (by) => { const range = document.querySelector("#sliders input[type=range]"); if (range) { range.value = Number(range.value) + by; range.oninput(); } };
    const actions = {
      ArrowLeft: () => picture.pan(far, 0), ArrowRight: () => picture.pan(-far, 0), ArrowUp: () => picture.pan(0, far), ArrowDown: () => picture.pan(0, -far),
      "+": () => picture.zoom(1 / 1.5), "=": () => picture.zoom(1 / 1.5), "-": () => picture.zoom(1.5), 0: () => picture.fit(),
      "[": () => { stopBlinking(); setOnly(picture.level - 1); }, "]": () => { stopBlinking(); setOnly(picture.level + 1); }, a: () => { stopBlinking(); setOnly(null); },
      b: blink, ",": () => slide(-1), ".": () => slide(1), c: () => $("auto").click(), t: toggleTheme, m: () => togglePanel(), "?": () => $("help").click(),
    };
    if (event.key in actions) { event.preventDefault(); actions[event.key](); }
  };
  window.onhashchange = () => { const said = new URLSearchParams(location.hash.slice(1)); open(Number(said.get("s") ?? 0), said); };
}

start().catch((error) => { hook.pending = 0; hook.error = error.message; tell(error.message); });
