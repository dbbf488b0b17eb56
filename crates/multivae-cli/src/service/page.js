"use strict";
// Shows the model: a row that can be changed, and what the model makes of it.

/** Columns of a table that are shown. */
const SHOWN = 200;
/** Rows of the prior that are asked for. */
const PRIOR = 8;

const state = { model: null, rows: [], label: null, values: {}, given: {} };

const byId = (id) => document.getElementById(id);

/** An element with attributes, listeners (`onclick`) and children. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (typeof value === "boolean") element[name] = value;
    else if (value !== undefined && value !== null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

async function ask(path, body) {
  const options = body === undefined ? {} : {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  };
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("The service does not answer: it may have ended.");
  }
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error.message);
  return found;
}

function complain(error) {
  byId("error").hidden = !error;
  byId("error").textContent = error ? error.message : "";
}

/** A number for people. */
function shown(value, digits = 5) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return String(value);
  return String(Number(value.toPrecision(digits)));
}

const isMissing = (value) => value === null || value === undefined;

// ---- values of one row, by modality: cells by column, a flat list, or text

const columnsOf = (modality) => {
  const width = modality.shape.reduce((a, b) => a * b, 1);
  const numbered = () => Array.from({ length: width }, (_, i) => ({ name: String(i) }));
  return (modality.columns ?? numbered()).filter((column) => column.modelled !== false);
};

/** Whether rows have names of columns in requests. */
const isNamed = (modality) => modality.kind === "table" && Array.isArray(modality.columns);

/** The value of row `i` of what the service says of a modality. */
function valueOf(modality, part, i = 0) {
  if (!part) return null;
  const row = part.rows[i];
  if (isMissing(row)) return null;
  if (modality.kind === "text") return row;
  if (modality.kind !== "table") return row.flat(Infinity);
  const columns = part.columns ?? columnsOf(modality).map((column) => column.name);
  return Object.fromEntries(columns.map((name, place) => [name, row.flat(Infinity)[place]]));
}

/** Whether a value holds anything. */
function holds(modality, value) {
  if (isMissing(value)) return false;
  if (modality.kind === "text") return value !== "";
  if (modality.kind === "table") return Object.values(value).some((cell) => !isMissing(cell));
  return value.some((cell) => !isMissing(cell));
}

/** A value as requests say it. */
function said(modality, value) {
  if (!holds(modality, value)) return null;
  if (modality.kind !== "table" || isNamed(modality)) return value;
  return columnsOf(modality).map((column) => value[column.name] ?? null);
}

// ---- pictures

/** A picture of values `[channels, height, width]`; of a volume its middle slice. */
function picture(modality, values) {
  const shape = modality.shape;
  const [height, width] = shape.slice(-2);
  const channels = shape[0];
  const depth = shape.length === 4 ? shape[1] : 1;
  const [low, high] = modality.range ?? [0, 1];
  const canvas = make("canvas", { width, height });
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const plane = height * width;
  const level = (value) => isMissing(value) ? 0 : 255 * (value - low) / ((high - low) || 1);
  for (let pixel = 0; pixel < plane; pixel++) {
    for (let c = 0; c < 3; c++) {
      const channel = channels >= 3 ? c : 0;
      const place = (channel * depth + (depth >> 1)) * plane + pixel;
      image.data[4 * pixel + c] = Math.round(Math.min(255, Math.max(0, level(values[place]))));
    }
    image.data[4 * pixel + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

const isPicture = (modality) => modality.kind === "image"
  || (modality.kind === "array" && modality.shape.length >= 3);

/** Values of a picture that was opened. */
async function ofFile(modality, file) {
  const [channels, height, width] = modality.shape;
  const bitmap = await createImageBitmap(file);
  const canvas = make("canvas", { width, height });
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0, width, height);
  const data = context.getImageData(0, 0, width, height).data;
  const [low, high] = modality.range ?? [0, 1];
  const scaled = (level) => low + (high - low) * level / 255;
  const values = [];
  for (let c = 0; c < channels; c++) {
    for (let pixel = 0; pixel < height * width; pixel++) {
      const of = (k) => data[4 * pixel + k];
      // Brightness as the eye weighs colours.
      const grey = () => 0.299 * of(0) + 0.587 * of(1) + 0.114 * of(2);
      const value = scaled(channels === 1 ? grey() : of(c));
      values.push(high > 1 ? Math.round(value) : value);
    }
  }
  return values;
}

// ---- the row

function chooser(label, accept, chosen) {
  const input = make("input", {
    type: "file", accept, onchange: () => {
      const [file] = input.files;
      input.value = "";
      if (file) Promise.resolve(chosen(file)).then(() => complain(null), complain);
    },
  });
  return make("label", { class: "button" }, input, make("span", {}, label));
}

/** An editor of the value of a modality, which it changes in the state. */
function editor(modality) {
  const { name, kind } = modality;
  const value = state.values[name];
  const change = (value) => { state.values[name] = value; cards(); };
  const clear = make("button", { type: "button", onclick: () => change(null) }, "Empty");
  if (kind === "text") {
    return make("textarea", {
      "aria-label": name, placeholder: "no text",
      oninput: (event) => { state.values[name] = event.target.value || null; },
    }, value ?? "");
  }
  if (kind === "table") return table(modality, value);
  const body = make("div", {});
  if (isPicture(modality)) {
    const there = holds(modality, value);
    body.append(there ? picture(modality, value) : make("div", { class: "none" }, "no picture"));
  } else {
    body.append(make("p", { class: "small" }, holds(modality, value)
      ? `${value.length} values` : "no values"));
  }
  const open = kind === "image"
    ? chooser("Open a picture", "image/*", async (file) => change(await ofFile(modality, file)))
    : chooser("Open values", ".json", async (file) => {
      change(JSON.parse(await file.text()).flat(Infinity));
    });
  body.append(make("div", { class: "tools" }, open, clear));
  return body;
}

function table(modality, value) {
  const columns = columnsOf(modality);
  const cells = value ?? {};
  const set = (column, cell) => {
    state.values[modality.name] = { ...(state.values[modality.name] ?? {}), [column.name]: cell };
  };
  const edit = (column) => {
    const now = cells[column.name];
    if (column.classes) {
      const options = ["", ...column.classes].map((name) =>
        make("option", { value: name, selected: name === (now ?? "") }, name));
      const onchange = (event) => set(column, event.target.value || null);
      return make("select", { "aria-label": column.name, onchange }, ...options);
    }
    const input = make("input", {
      "aria-label": column.name, value: shown(now), inputmode: "decimal",
      oninput: () => {
        const text = input.value.trim();
        const number = Number(text);
        const isText = column.kind === "date";
        input.classList.toggle("wrong", !isText && Number.isNaN(number));
        set(column, text === "" ? null : isText || Number.isNaN(number) ? text : number);
      },
    });
    return input;
  };
  const title = (column) => column.unit ? `${column.name} (${column.unit})` : column.name;
  const rows = columns.slice(0, SHOWN).map((column) => make("tr", {},
    make("th", { scope: "row", title: title(column) }, title(column)),
    make("td", { class: "edit" }, edit(column))));
  const more = columns.length - SHOWN;
  return make("div", {},
    make("div", { class: "scroll" }, make("table", {}, make("tbody", {}, ...rows))),
    more > 0 ? make("p", { class: "small" }, `${more} more columns keep the values of the row.`) : null,
    make("div", { class: "tools" }, make("button", {
      type: "button", onclick: () => { state.values[modality.name] = null; cards(); },
    }, "Empty")));
}

/** What a modality is, in a few words. */
function words(modality) {
  if (modality.kind === "text") return "text";
  if (modality.kind === "table") {
    const count = columnsOf(modality).length;
    return `${count} ${count === 1 ? "column" : "columns"}`;
  }
  return modality.shape.join(" × ");
}

function cards() {
  byId("cards").replaceChildren(...state.model.modalities.map((modality) => {
    const { name } = modality;
    const box = make("input", {
      type: "checkbox", checked: Boolean(state.given[name]),
      onchange: () => { state.given[name] = box.checked; card.classList.toggle("off", !box.checked); },
    });
    const card = make("article", { class: state.given[name] ? "card" : "card off", "data-name": name },
      make("header", {}, make("label", {}, box, make("h3", {}, name)),
        make("span", { class: "small" }, words(modality))),
      make("div", { class: "body" }, editor(modality)));
    return card;
  }));
}

/** Takes the values of a row that the service keeps, or of a file. */
function take(request) {
  const parts = request.modalities ?? {};
  for (const modality of state.model.modalities) {
    const part = parts[modality.name];
    const known = Array.isArray(part) ? { rows: part } : part;
    const named = known?.rows?.[0];
    const isObject = named && typeof named === "object" && !Array.isArray(named);
    state.values[modality.name] = isObject ? named : valueOf(modality, known);
  }
  cards();
}

async function choose(place) {
  state.label = place;
  if (place === null) return take({});
  try {
    take(await ask(`v1/rows/${place}`));
    complain(null);
  } catch (error) {
    complain(error);
  }
}

function chooseBar(list) {
  const title = (i) => {
    const label = list.classes[i];
    return isMissing(label) ? list.ids[i] : `${list.ids[i]} — ${label}`;
  };
  const options = list.ids.map((_, i) => make("option", { value: i }, title(i)));
  const select = make("select", {
    id: "row", "aria-label": "Row of the test data",
    onchange: () => choose(select.value === "" ? null : Number(select.value)),
  }, make("option", { value: "" }, "nothing"), ...options);
  const step = (by) => () => {
    const count = list.rows + 1;
    const now = select.value === "" ? 0 : Number(select.value) + 1;
    const next = (now + by + count) % count;
    select.value = next === 0 ? "" : String(next - 1);
    select.dispatchEvent(new Event("change"));
  };
  const bar = byId("rows");
  if (list.rows > 0) {
    bar.append(make("label", {}, "Row of the test data", select),
      make("button", { type: "button", onclick: step(-1), "aria-label": "Row before" }, "‹"),
      make("button", { type: "button", onclick: step(1), "aria-label": "Next row" }, "›"));
    select.value = "0";
  } else {
    bar.append(make("span", { class: "small" }, `No rows to begin with: ${list.reason}.`));
  }
  bar.append(chooser("Open a request", ".json", async (file) => {
    select.value = "";
    take(JSON.parse(await file.text()));
  }), make("button", { type: "button", onclick: save }, "Save as a request"));
}

/** The ticked values as a request. */
function request(all) {
  const modalities = {};
  for (const modality of state.model.modalities) {
    const value = said(modality, state.values[modality.name]);
    if (value !== null && (all || state.given[modality.name])) modalities[modality.name] = [value];
  }
  return { modalities };
}

function save() {
  const text = JSON.stringify(request(true));
  const link = make("a", {
    href: URL.createObjectURL(new Blob([text], { type: "application/json" })), download: "request.json",
  });
  link.click();
  URL.revokeObjectURL(link.href);
}

// ---- answers

function card(modality, ...body) {
  return make("article", { class: "card", "data-name": modality.name },
    make("header", {}, make("h3", {}, modality.name),
      make("span", { class: "small" }, words(modality))),
    make("div", { class: "body" }, ...body));
}

function figure(canvas, caption, made) {
  return make("figure", {}, canvas, make("figcaption", made ? { class: "made" } : {}, caption));
}

/** A table of columns: what the row has, and what was made. */
function compared(modality, own, made, heads, more) {
  const columns = columnsOf(modality);
  const line = (column) => {
    const [before, after] = [own?.[column.name], made[column.name]];
    return make("tr", {},
      make("th", { scope: "row", title: column.name }, column.name),
      make("td", isMissing(before) ? { class: "empty" } : {}, shown(before) || "–"),
      make("td", { class: more?.is(column) === false ? "" : "made" }, shown(after)),
      ...(more ? more.cells(column) : []));
  };
  const head = ["", ...heads].map((text) => make("th", { scope: "col" }, text));
  const rest = columns.length - SHOWN;
  return make("div", {}, make("div", { class: "scroll" }, make("table", {},
    make("thead", {}, make("tr", {}, ...head)),
    make("tbody", {}, ...columns.slice(0, SHOWN).map(line)))),
  rest > 0 ? make("p", { class: "small" }, `and ${rest} more columns`) : null);
}

/** What was made of one row beside what it has. */
function beside(modality, own, made, what) {
  if (isMissing(made)) return make("p", { class: "small" }, "nothing");
  if (modality.kind === "text") {
    return make("div", {}, own ? make("blockquote", {}, own) : null,
      make("p", { class: "small" }, what), make("blockquote", { class: "made" }, made));
  }
  if (modality.kind === "table") return compared(modality, own, made, ["in the row", what]);
  if (isPicture(modality)) {
    const before = holds(modality, own) ? figure(picture(modality, own), "in the row") : null;
    return make("div", { class: "pictures" }, before, figure(picture(modality, made), what, true));
  }
  return make("p", { class: "small" }, `${made.length} values`);
}

function generated(found) {
  const list = state.model.modalities.filter(({ name }) => found.modalities[name]);
  return make("div", { class: "cards" }, ...list.map((modality) => {
    const made = valueOf(modality, found.modalities[modality.name]);
    return card(modality, beside(modality, state.values[modality.name], made, "generated"));
  }));
}

function drawn(found) {
  const list = state.model.modalities.filter(({ name }) => found.modalities[name]);
  return make("div", { class: "cards" }, ...list.map((modality) => {
    const part = found.modalities[modality.name];
    const values = part.rows.map((_, i) => valueOf(modality, part, i));
    if (isPicture(modality)) {
      return card(modality, make("div", { class: "pictures many" },
        ...values.map((value) => picture(modality, value))));
    }
    if (modality.kind === "text") {
      return card(modality, ...values.map((text) => make("blockquote", { class: "made" }, text ?? "")));
    }
    if (modality.kind !== "table") {
      return card(modality, make("p", { class: "small" }, `${part.rows.length} rows`));
    }
    const columns = columnsOf(modality);
    const head = make("tr", {}, make("th", { scope: "col" }, ""),
      ...values.map((_, i) => make("th", { scope: "col" }, String(i + 1))));
    const lines = columns.slice(0, SHOWN).map((column) => make("tr", {},
      make("th", { scope: "row", title: column.name }, column.name),
      ...values.map((value) => make("td", {}, shown(value[column.name])))));
    return card(modality, make("div", { class: "scroll" },
      make("table", {}, make("thead", {}, head), make("tbody", {}, ...lines))));
  }));
}

function imputed(found) {
  return make("div", { class: "cards" }, ...state.model.modalities.map((modality) => {
    const { name } = modality;
    const value = valueOf(modality, found.modalities[name]);
    const flags = found.imputed[name];
    const some = flags.rows[0].flat(Infinity).some(Boolean);
    if (modality.kind !== "table") {
      const own = some ? state.values[name] : null;
      return card(modality, beside(modality, own, value, some ? "imputed" : "as it is"));
    }
    const of = (part) => valueOf(modality, part && { columns: flags.columns, rows: part.rows });
    const is = of(flags);
    const [low, high] = [of(found.low?.[name]), of(found.high?.[name])];
    const range = (column) => {
      const ends = [low?.[column.name], high?.[column.name]];
      const text = ends.some(isMissing) ? "" : `${shown(ends[0], 3)} to ${shown(ends[1], 3)}`;
      return [make("td", { class: "empty" }, text)];
    };
    const more = { is: (column) => is[column.name] === true, cells: some ? range : () => [] };
    const heads = ["in the row", some ? "imputed" : "as it is", ...(some ? ["5 to 95 %"] : [])];
    return card(modality, compared(modality, state.values[name], value, heads, more));
  }));
}

function encoded(found) {
  return make("div", { class: "cards" }, ...Object.entries(found.latents).map(([name, part]) => {
    const values = part.rows[0];
    const most = Math.max(1e-9, ...values.map(Math.abs));
    const lines = values.map((value, i) => {
      const rod = make("i", {});
      rod.style.left = `${value < 0 ? 50 + 50 * value / most : 50}%`;
      rod.style.width = `${50 * Math.abs(value) / most}%`;
      return make("tr", {}, make("th", { scope: "row" }, part.columns[i]),
        make("td", {}, shown(value)),
        make("td", { class: "far" }, make("div", { class: "rod" }, rod)));
    });
    return make("article", { class: "card" },
      make("header", {}, make("h3", {}, name),
        make("span", { class: "small" }, `${values.length} values`)),
      make("div", { class: "body scroll" }, make("table", {}, make("tbody", {}, ...lines))));
  }));
}

/** What a task shows, and how it is asked. */
const TASKS = [
  {
    name: "generate", label: "Generate", can: "generate", path: "v1/generate",
    title: "Generated from what is ticked", show: generated, body: () => request(false),
  },
  {
    name: "impute", label: "Impute what is missing", can: "impute", path: "v1/impute",
    title: "The row with what was missing", show: imputed,
    body: () => ({ ...request(false), samples: 50, seed: seed() }),
  },
  {
    name: "encode", label: "Encode", can: "encode", path: "v1/encode",
    title: "Latent values of what is ticked", show: encoded, body: () => request(false),
  },
  {
    name: "prior", label: "Samples of the prior", can: "prior", path: "v1/generate",
    title: "Generated from nothing", show: drawn, body: () => ({ n: PRIOR, seed: seed() }),
  },
];

const seed = () => Math.max(0, Math.trunc(Number(byId("seed").value) || 0));

async function run(task) {
  const answer = byId("answer");
  answer.classList.add("busy");
  complain(null);
  try {
    const body = task.body();
    if (body.modalities && Object.keys(body.modalities).length === 0) {
      throw new Error("Nothing is given: tick a modality that has values, or ask for samples of the prior.");
    }
    const found = await ask(task.path, body);
    const notes = (found.notes ?? []).map((note) => make("li", {}, note));
    answer.replaceChildren(make("h3", {}, task.title),
      ...(notes.length ? [make("ul", { class: "notes" }, ...notes)] : []), task.show(found));
    answer.dataset.task = task.name;
    command(task.path, body);
  } catch (error) {
    answer.replaceChildren();
    delete answer.dataset.task;
    complain(error);
  }
  answer.classList.remove("busy");
}

function command(path, body) {
  let text = JSON.stringify(body);
  if (text.length > 600) text = `${text.slice(0, 600)} …`;
  byId("program").hidden = false;
  byId("command").textContent =
    `curl ${new URL(path, location.href)} \\\n  -H 'Content-Type: application/json' \\\n  -d '${text}'`;
}

function taskBar(model) {
  const buttons = TASKS.map((task, i) => {
    const { able, reason } = model.can[task.can];
    return make("button", {
      type: "button", id: `task-${task.name}`, class: i === 0 ? "first" : "", disabled: !able,
      title: able ? undefined : `The model does not: ${reason}`, onclick: () => run(task),
    }, task.label);
  });
  const input = make("input", { id: "seed", type: "number", min: 0, step: 1, value: 0 });
  byId("tasks").append(...buttons, make("label", { class: "push" }, "Seed of draws", input));
  const lacking = TASKS.filter((task) => !model.can[task.can].able)
    .map((task) => `${task.label}: ${model.can[task.can].reason}.`);
  byId("hint").hidden = lacking.length === 0;
  byId("hint").textContent = lacking.join(" ");
}

async function begin() {
  try {
    const [model, list] = await Promise.all([ask("v1/model"), ask("v1/rows")]);
    state.model = model;
    document.title = `${model.model} – multivae`;
    byId("model").textContent = model.model;
    byId("about").textContent = model.about ?? "";
    byId("facts").append(...model.modalities.map((modality) => make("span", {}, modality.name, " ",
      make("small", {}, `${words(modality)}, ${modality.likelihood}`))));
    const needed = new Set(model.needed);
    for (const { name } of model.modalities) state.given[name] = needed.size === 0 || needed.has(name);
    chooseBar(list);
    taskBar(model);
    await choose(list.rows > 0 ? 0 : null);
    document.body.dataset.ready = "true";
  } catch (error) {
    complain(error);
  }
}

begin();
