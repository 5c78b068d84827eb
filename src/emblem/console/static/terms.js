// What a key or a team is allowed: as a form, and in words.

import { h, field, number } from "./dom.js";

const LIMITS = [
  ["requests_per_minute", "Requests a minute"],
  ["tokens_per_minute", "Tokens a minute"],
  ["tokens_per_day", "Tokens a day"],
];

/** What is allowed, in a few words. */
export function allowance(item) {
  const said = LIMITS.filter(([name]) => item[name] !== null).map(
    ([name, text]) => `${number(item[name])} ${text.toLowerCase()}`,
  );
  if (item.budget_per_month !== null) said.push(`${item.budget_per_month} a month`);
  if (item.models.length) said.push(`models ${item.models.join(", ")}`);
  return said.length ? said.join("; ") : "no limits";
}

/**
 * The controls of what is allowed, filled from `item`. `changes()` gives the fields that differ
 * from it, as the server takes them: null is no limit.
 */
export function allowed(item) {
  const controls = LIMITS.map(([name, label]) => [
    name,
    field(label, input(name, "number", item[name] ?? "", { min: "1", step: "1", inputmode: "numeric" }), "Empty is no limit."),
  ]);
  const budget = input("budget_per_month", "text", item.budget_per_month ?? "", { inputmode: "decimal" });
  const models = lines("models", item.models ?? []);
  const element = h(
    "fieldset",
    {},
    h("legend", {}, "What is allowed"),
    h("div", { class: "grid" }, controls.map(([, one]) => one), field("Budget a month", budget, "In the currency of the prices. Empty is no limit.")),
    field("Models", models, "Names, one a line; * stands for anything. Empty allows all."),
  );
  return {
    element,
    changes() {
      const given = Object.fromEntries(
        controls.map(([name, one]) => {
          const text = one.querySelector("input").value.trim();
          return [name, text === "" ? null : Number(text)];
        }),
      );
      return differing(item, { ...given, budget_per_month: budget.value.trim() || null, models: read(models) });
    },
  };
}

/** An input with the name of its field. */
export function input(name, type, value, attributes = {}) {
  return h("input", { name, type, value, autocomplete: "off", ...attributes });
}

/** A box for a list, one item a line. */
export function lines(name, items) {
  return h("textarea", { name, rows: "2", class: "lines", spellcheck: "false", value: items.join("\n") });
}

/** The items of such a box. */
export function read(area) {
  return area.value.split(/[\n,]/).map((one) => one.trim()).filter(Boolean);
}

/** Those of the given fields that are not as they were. */
export function differing(before, given) {
  const same = (a, b) => JSON.stringify(a ?? null) === JSON.stringify(b ?? null);
  return Object.fromEntries(Object.entries(given).filter(([name, value]) => !same(before[name], value)));
}
