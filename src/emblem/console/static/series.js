// Sums over time, with a place for every step of a range. Days are those of UTC, as the server's.

import { h, when as moment } from "./dom.js";

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86_400;

/** Seconds: how long a range is, and its steps; `by` is what the server calls them. */
export const RANGES = {
  hour: { range: "hour", text: "Hour", length: HOUR, step: MINUTE, by: "minute", shown: moment },
  day: { range: "day", text: "Day", length: DAY, step: HOUR, by: "hour", shown: moment },
  week: { range: "week", text: "Week", length: 7 * DAY, step: HOUR, by: "hour", shown: moment },
  month: { range: "month", text: "30 days", length: 30 * DAY, step: DAY, by: "day", shown: day },
};

/** Gives the seconds since the epoch of "2026-11-21T09:05Z" or "2026-11-21", which is UTC, too. */
export function when(group) {
  return Date.parse(group) / 1000;
}

/** Gives every step of what was asked for, as {at, sum}; `sum` is undefined where nothing was used. */
export function filled(sums, asked) {
  const known = new Map(sums.data.map((sum) => [when(sum.group[asked.by]), sum]));
  const steps = [];
  for (let at = asked.since; at <= asked.until; at += asked.step) steps.push({ at, sum: known.get(at) });
  return steps;
}

/** What a key, or a model, of a sum is called. A request may be refused before its model is known. */
export function named(sum, field) {
  return (sum.names[field] ?? sum.group[field]) || "not known";
}

/** A day of UTC, as the language writes it. */
function day(seconds) {
  const date = new Date(1000 * seconds);
  const text = date.toLocaleDateString(undefined, { timeZone: "UTC" });
  return h("time", { datetime: date.toISOString().slice(0, 10), title: "A day of UTC" }, text);
}
