// Who used what, over time: requests, tokens, cost, milliseconds and errors.

import * as api from "../api.js";
import { Chart, RED, plain } from "../charts.js";
import { empty, field, h, problem, select, table } from "../dom.js";
import { count, milliseconds, money, percent } from "../numbers.js";
import { RANGES, filled, named, when } from "../series.js";

export const title = "Usage";

const MOST_LINES = 7; // of keys or models in one chart: there are no more colours
const MOST_ROWS = 100;
const EVERYBODY = "";

const kept = { range: "day", key: EVERYBODY, model: EVERYBODY, split: "" };

export async function show(element, signal) {
  const shown = h("div", {});
  let running = new AbortController();
  const load = async () => {
    running.abort();
    running = new AbortController();
    const mine = running.signal;
    shown.setAttribute("aria-busy", "true");
    try {
      const asked = question();
      const found = await answers(asked, mine);
      if (!mine.aborted) shown.replaceChildren(...page(found, asked, mine));
    } catch (error) {
      if (!mine.aborted) shown.replaceChildren(problem(error));
    } finally {
      if (!mine.aborted) shown.removeAttribute("aria-busy"); // another question is under way
    }
  };
  signal.addEventListener("abort", () => running.abort());
  element.append(await controls(load, signal), shown);
  await load();
}

/** What is asked for: the range ends now, and begins with a whole step of it. */
function question() {
  const range = RANGES[kept.range];
  const now = Date.now() / 1000;
  const since = Math.floor((now - range.length) / range.step) * range.step;
  return { ...kept, ...range, since, until: now };
}

function address(asked, by, more = {}) {
  const given = { by, since: asked.since, until: asked.until, key: asked.key, model: asked.model, ...more };
  const pairs = Object.entries(given).filter(([, value]) => value !== "");
  return `admin/usage?${new URLSearchParams(pairs)}`;
}

async function answers(asked, signal) {
  const get = (by, more) => api.json(address(asked, by, more), { signal });
  const lines = asked.split ? [get(`${asked.by},${asked.split}`, { percentiles: "false" })] : [];
  const [time, keys, models, statuses, split] = await Promise.all([
    get(asked.by),
    get("key"),
    get("model"),
    get("status", { percentiles: "false" }),
    ...lines,
  ]);
  return { time, keys, models, statuses, split };
}

async function controls(load, signal) {
  const [keys, names] = await Promise.all([
    api.every("admin/keys", { signal }),
    api.json("admin/models", { signal }),
  ]);
  const ranges = Object.entries(RANGES).map(([name, { text }]) =>
    h("button", { type: "button", "data-range": name, class: "quiet" }, text),
  );
  const press = () =>
    ranges.forEach((one) => one.setAttribute("aria-pressed", String(one.dataset.range === kept.range)));
  ranges.forEach((one) =>
    one.addEventListener("click", () => {
      kept.range = one.dataset.range;
      press();
      load();
    }),
  );
  press();
  const models = names.data.filter((one) => one.alias_of === null).map((one) => [one.id, one.id]);
  return h(
    "div",
    { class: "card" },
    h("div", { class: "tabs", role: "group", "aria-label": "Time" }, ranges),
    h(
      "div",
      { class: "row" },
      chosen("Key", "key", [[EVERYBODY, "all keys"], ...keys.map((one) => [one.id, one.name])], load),
      chosen("Model", "model", [[EVERYBODY, "all models"], ...models], load),
      chosen("Lines for each", "split", [["", "nothing: all together"], ["key", "key"], ["model", "model"]], load),
    ),
    h(
      "div",
      { class: "actions" },
      h("button", { type: "button", class: "quiet", onclick: load }, "Refresh"),
      h("button", { type: "button", class: "quiet", onclick: (event) => save(event, signal) }, "Download as CSV"),
    ),
  );
}

function chosen(label, name, options, load) {
  if (!options.some(([value]) => value === kept[name])) kept[name] = EVERYBODY;
  const control = select(options, kept[name]);
  control.addEventListener("change", () => {
    kept[name] = control.value;
    load();
  });
  return field(label, control);
}

async function save(event, signal) {
  const asked = question();
  const button = event.currentTarget;
  button.parentElement.querySelector(".problem")?.remove();
  try {
    const path = address(asked, `${asked.by},key,model`, { format: "csv" });
    await api.download(path, `usage-${asked.range}.csv`, { signal });
  } catch (error) {
    if (!signal.aborted) button.parentElement.append(problem(error));
  }
}

function page(found, asked, signal) {
  if (!found.time.total.requests) {
    return [
      empty(
        "Nothing was asked for in this time. Choose a longer one, or ask for vectors in the ",
        h("a", { href: "#/playground" }, "playground"),
        ": a request is here within a second.",
      ),
    ];
  }
  return [
    tiles(found.time.total),
    ...charts(found, asked, signal),
    sums("By key", "Key", found.keys.data, (one) => named(one, "key")),
    sums("By model", "Model", found.models.data, (one) => named(one, "model")),
    statuses(found.statuses),
    times(found.time, asked),
  ];
}

function tiles(total) {
  const pairs = [
    ["Requests", count(total.requests)],
    ["Tokens", count(total.tokens)],
    ["Cost", money(total.cost)],
    ["Errors", `${count(total.errors)} (${percent(total.errors / total.requests)})`],
    ["Texts from the cache", total.inputs ? percent(total.cache_hits / total.inputs) : "–"],
    ["Median", milliseconds(total.ms?.p50)],
    ["95 of 100 within", milliseconds(total.ms?.p95)],
    ["99 of 100 within", milliseconds(total.ms?.p99)],
  ];
  const tile = ([name, value]) => h("div", { class: "tile" }, h("strong", {}, value), h("span", {}, name));
  return h("div", { class: "tiles" }, pairs.map(tile));
}

function charts(found, asked, signal) {
  const steps = filled(found.time, asked);
  const x = steps.map(({ at }) => place(at, asked));
  const places = h("div", { class: "grid" });
  const draw = (name, traces, layout, said) => {
    const chart = new Chart(name, signal);
    places.append(h("div", { class: "card" }, chart.element));
    // Only what is on the page has a size.
    queueMicrotask(() => chart.draw(traces, { xaxis: axis(asked), hovermode: "x unified", ...layout }, `${name}. ${said}`));
  };
  const total = found.time.total;
  const zero = { yaxis: { rangemode: "tozero" } };
  const stacked = { ...zero, barmode: "stack" };
  draw("Requests", lines(found, asked, "requests", x, steps), stacked, `${count(total.requests)} in all.`);
  draw("Tokens", lines(found, asked, "tokens", x, steps), stacked, `${count(total.tokens)} in all.`);
  if (Number(total.cost)) draw("Cost", lines(found, asked, "cost", x, steps), stacked, `${money(total.cost)} in all.`);
  draw("Errors", lines(found, asked, "errors", x, steps), stacked, `${count(total.errors)} in all.`);
  const ms = ["p50", "p95", "p99"].map((name) => ({
    type: "scatter",
    mode: "lines+markers",
    name,
    x,
    y: steps.map(({ sum }) => sum?.ms?.[name] ?? null),
    connectgaps: false,
  }));
  draw("Milliseconds", ms, zero, `The median is ${milliseconds(total.ms?.p50)}.`);
  const free = "Nothing has cost anything: a table of [prices] in emblem.toml says what tokens cost.";
  return Number(total.cost) ? [places] : [places, h("p", {}, h("small", {}, free))];
}

/** Bars over time: of all together, or one for each key or model, the largest ones by themselves. */
function lines(found, asked, what, x, steps) {
  const bar = (name, y, colour) => ({ type: "bar", name, x, y, ...(colour && { marker: { color: colour } }) });
  const value = (sum) => (sum ? Number(sum[what]) : 0);
  if (!found.split) {
    return [bar(what, steps.map(({ sum }) => value(sum)), what === "errors" ? RED : null)];
  }
  const groups = Map.groupBy(found.split.data, (one) => one.group[asked.split]);
  const all = [...groups.values()].map((sums) => ({
    name: plain(named(sums[0], asked.split)),
    of: new Map(sums.map((sum) => [when(sum.group[asked.by]), value(sum)])),
    requests: sums.reduce((total, sum) => total + sum.requests, 0),
  }));
  all.sort((a, b) => b.requests - a.requests); // in every chart, so that each keeps its colour
  const others = all.slice(MOST_LINES);
  const made = all.slice(0, MOST_LINES).map(({ name, of }) => bar(name, steps.map(({ at }) => of.get(at) ?? 0)));
  if (others.length) {
    const y = steps.map(({ at }) => others.reduce((total, { of }) => total + (of.get(at) ?? 0), 0));
    made.push(bar("others", y));
  }
  return made;
}

function axis(asked) {
  return { type: "date", range: [place(asked.since, asked), place(asked.until + asked.step, asked)] };
}

/** A moment for plotly, which writes a Date in local time. A day is one of UTC wherever it is read. */
function place(seconds, asked) {
  const date = new Date(1000 * seconds);
  return asked.by === "day" ? date.toISOString().slice(0, 10) : date;
}

const NUMBERS = ["Requests", "Tokens", "Cost", "Errors", "Median", "95 of 100", "99 of 100"];

function sums(caption, head, data, name) {
  const rows = data.toSorted((a, b) => b.tokens - a.tokens || b.requests - a.requests);
  const shown = rows.slice(0, MOST_ROWS);
  const more = rows.length > MOST_ROWS ? ` (the first ${MOST_ROWS} of ${count(rows.length)}; the CSV has all)` : "";
  return table(`${caption}${more}`, [head, ...numbers()], shown.map((one) => [name(one), ...values(one)]));
}

function numbers() {
  return NUMBERS.map((text) => ({ text, number: true }));
}

function values(sum) {
  return [
    count(sum.requests),
    count(sum.tokens),
    money(sum.cost),
    count(sum.errors),
    ...[sum.ms?.p50, sum.ms?.p95, sum.ms?.p99].map(milliseconds),
  ];
}

function statuses({ data, total }) {
  return table(
    "By status",
    ["Status", { text: "Requests", number: true }, { text: "Share", number: true }],
    data.map((one) => [one.group.status, count(one.requests), percent(one.requests / total.requests)]),
  );
}

function times(sums_, asked) {
  const made = h("details", {}, h("summary", {}, "The charts as a table"));
  made.addEventListener("toggle", () => {
    if (made.childElementCount > 1) return;
    const used = filled(sums_, asked).filter(({ sum }) => sum);
    made.append(table("Over time", ["From", ...numbers()], used.map(({ at, sum }) => [asked.shown(at), ...values(sum)])));
  });
  return made;
}
