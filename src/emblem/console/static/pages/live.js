// What runs now, asked for once a second while somebody looks.

import * as api from "../api.js";
import { Chart } from "../charts.js";
import { empty, h, problem, table } from "../dom.js";
import { about, bytes, count, decimals, percent, residence, span } from "../numbers.js";

export const title = "Live";

const EVERY_MS = 1000;
const KEPT = 120; // answers: two minutes
const PATIENCE_S = 5; // for another answer of the same process
const LANES = ["interactive", "bulk"];

export async function show(element, signal) {
  const board = new Board(signal);
  element.append(board.element);
  board.add(await api.json("admin/live", { signal }));
  follow(board, signal);
}

/** Ask again and again, one question at a time; not while the page is hidden. */
async function follow(board, signal) {
  while (!signal.aborted) {
    await pause(EVERY_MS, signal);
    await visible(signal);
    if (signal.aborted) return;
    try {
      board.add(await api.json("admin/live", { signal }));
    } catch (error) {
      if (!signal.aborted) board.fail(error);
    }
  }
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    }, { once: true });
  });
}

function visible(signal) {
  if (!document.hidden || signal.aborted) return null;
  return new Promise((resolve) => {
    document.addEventListener("visibilitychange", resolve, { once: true, signal });
    signal.addEventListener("abort", resolve, { once: true });
  });
}

/** Two answers of the server compared: what was done between them, each second. */
function between(before, now) {
  const seconds = before ? now.at - before.at : 0;
  const rate = (name) => {
    if (seconds <= 0) return null;
    const done = now.models.map((one) => {
      const old = before.models.find((other) => other.name === one.name);
      return old && one[name] >= old[name] ? one[name] - old[name] : 0; // it was loaded anew
    });
    return done.reduce((sum, one) => sum + one, 0) / seconds;
  };
  const asked = (live) => (live?.cache ? live.cache.hits + live.cache.misses : 0);
  const looked = asked(now) - asked(before);
  return {
    rows: rate("rows"),
    hits: before?.cache && looked > 0 ? (now.cache.hits - before.cache.hits) / looked : null,
  };
}

class Board {
  #tiles = h("div", { class: "tiles" });
  #models = h("div", {});
  #problem = h("div", {});
  #speed;
  #queue;
  #seen = [];

  constructor(signal) {
    this.#speed = new Chart("Tokens per second, of the last ten seconds", signal);
    this.#queue = new Chart("Tokens that wait, by lane", signal);
    const cards = [this.#speed, this.#queue].map((one) => h("div", { class: "card" }, one.element));
    this.element = h("div", {}, this.#problem, this.#tiles, this.#models, h("div", { class: "grid" }, cards));
  }

  add(live) {
    // Each of several processes counts for itself: only answers of one of them are compared.
    const before = this.#seen.at(-1);
    if (before && before.process !== live.process) {
      if (live.at - before.at < PATIENCE_S) return;
      this.#seen = [];
    }
    const rates = between(this.#seen.at(-1), live);
    this.#seen = [...this.#seen, live].slice(-KEPT);
    this.#problem.replaceChildren(...part(live));
    this.#tiles.replaceChildren(...tiles(live, rates));
    this.#models.replaceChildren(models(live));
    this.#draw();
  }

  fail(error) {
    this.#problem.replaceChildren(problem(error));
  }

  #draw() {
    const x = this.#seen.map((one) => new Date(1000 * one.at));
    const line = (name, y) => ({ type: "scatter", mode: "lines", name, x, y });
    const layout = { height: 220, yaxis: { rangemode: "tozero" }, xaxis: { type: "date" }, showlegend: true };
    const speed = this.#seen.map((one) => one.tokens_per_second);
    const last = this.#seen.at(-1);
    const waits = LANES.map((lane) => line(lane, this.#seen.map((one) => waiting(one, lane).tokens)));
    this.#speed.draw([line("tokens per second", speed)], layout, `${about(speed.at(-1) ?? 0)} tokens per second.`);
    this.#queue.draw(waits, layout, `${LANES.map((lane) => `${lane}: ${count(waiting(last, lane).tokens)} tokens`).join(", ")}.`);
  }
}

function part({ process, processes }) {
  if (!(processes > 1)) return [];
  return [h("p", {}, `This is process ${count(process)} of ${count(processes)}; /metrics adds them up.`)];
}

function waiting(live, lane) {
  const sum = (name) => live.models.reduce((total, one) => total + (one.queue[lane]?.[name] ?? 0), 0);
  return { requests: sum("requests"), tokens: sum("tokens"), seconds: sum("seconds") };
}

function tiles(live, rates) {
  const cache = live.cache;
  const pairs = [
    ["Tokens per second", about(live.tokens_per_second ?? 0)],
    ["Rows per second", about(rates.rows ?? 0)],
    ["Requests now", count(live.models.reduce((sum, one) => sum + one.requests, 0))],
    ...LANES.map((lane) => [`Wait in ${lane}`, queued(waiting(live, lane))]),
    ["From the cache, last second", rates.hits === null ? "–" : percent(rates.hits)],
    ["From the cache, since the start", live.cache_hit_rate === null ? "–" : percent(live.cache_hit_rate)],
    ["Cache", cache ? `${bytes(cache.bytes)} of ${bytes(cache.max_bytes)}` : "off"],
    ["Memory", live.resident_bytes === null ? "–" : bytes(live.resident_bytes)],
    ["Up for", span(live.uptime_s)],
  ];
  return pairs.map(([name, value]) => h("div", { class: "tile" }, h("strong", {}, value), h("span", {}, name)));
}

function queued({ requests, seconds }) {
  return requests ? `${count(requests)} (${decimals(seconds, 1)} s)` : "none";
}

function models(live) {
  if (!live.models.length) return empty("No model is served. ", h("code", {}, "emblem serve NAME"), " serves one.");
  const number = (text) => ({ text, number: true });
  const columns = ["Model", "State", number("Requests now"), ...LANES.map((lane) => number(`Wait in ${lane}`)), number("Tokens so far"), number("Rows so far")];
  const rows = live.models.map((one) => [
    one.name,
    one.problem ?? residence(one),
    count(one.requests),
    ...LANES.map((lane) => queued(one.queue[lane] ?? { requests: 0, seconds: 0 })),
    count(one.tokens),
    count(one.rows),
  ]);
  return table("Models", columns, rows);
}
