// What is served: every model with its names, its space, and how the deployment that serves it is.

import * as api from "../api.js";
import { empty, h, problem, table } from "../dom.js";
import { about, ago, bytes, count, residence } from "../numbers.js";

export const title = "Models";

const WIDE = { text: "Width", number: true };
const LONG = { text: "Tokens at once", number: true };

export async function show(element, signal) {
  const shown = h("div", {});
  const again = h("button", { type: "button", class: "quiet" }, "Refresh");
  const load = async () => {
    const [{ data }, live] = await Promise.all([
      api.json("admin/models", { signal }),
      api.json("admin/live", { signal }),
    ]);
    shown.replaceChildren(...page(data, live));
  };
  again.addEventListener("click", async () => {
    again.disabled = true;
    try {
      await load();
    } catch (error) {
      if (!signal.aborted) shown.replaceChildren(problem(error));
    } finally {
      again.disabled = false;
    }
  });
  await load();
  element.append(shown, h("div", { class: "actions" }, again));
}

function page(names, live) {
  const models = names.filter((one) => one.alias_of === null);
  if (!models.length) {
    return [empty("No model is served. Name one in emblem.toml or on the command line: ", h("code", {}, "emblem serve NAME"), ".")];
  }
  const aliases = names.filter((one) => one.alias_of !== null);
  return [
    table("What may be asked for", ["Model", "State", WIDE, LONG, "Languages", "Space"], models.map(row)),
    deployments(models),
    memory(live),
    aliases.length
      ? table("Aliases", ["Alias", "Model", WIDE, "Too long", "Space"], aliases.map(alias))
      : empty("No alias stands for a model. ", h("code", {}, "[aliases.NAME]"), " in emblem.toml makes one."),
    h("h2", {}, "In detail"),
    h("div", { class: "grid" }, models.map((one) => details(one, aliases))),
  ];
}

function row(model) {
  return [model.id, state(model.running), count(model.dimensions), length(model), languages(model), mono(model.space)];
}

function alias(one) {
  return [one.id, one.alias_of, count(one.dimensions), one.overflow, mono(one.space)];
}

/** Where each model is computed: today always by an engine of this process. */
function deployments(models) {
  const columns = [
    "Model",
    "Computed",
    "Health",
    { text: "Tokens per second", number: true },
    { text: "Memory", number: true },
    { text: "Requests now", number: true },
    "Last used",
  ];
  const rows = models.map(({ id, running }) => [
    id,
    "in this process",
    health(running),
    speed(running),
    running ? bytes(running.predicted_bytes) : "–",
    running ? count(running.requests) : "–",
    running ? ago(running.used_seconds_ago) : "–",
  ]);
  return table("Deployments", columns, rows);
}

function memory(live) {
  const most = h("meter", { min: 0, max: live.max_model_bytes, "aria-label": "Memory of loaded models" });
  most.value = live.loaded_bytes + live.beyond_bytes;
  const process = live.resident_bytes === null ? "" : ` The whole process takes ${bytes(live.resident_bytes)}.`;
  return h(
    "div",
    { class: "card" },
    h("h2", {}, "Memory"),
    most,
    h("p", {}, `The loaded models take about ${bytes(live.loaded_bytes)} of the ${bytes(live.max_model_bytes)} that they may.${process}`),
  );
}

function details(model, aliases) {
  const own = aliases.filter((one) => one.alias_of === model.id).map((one) => one.id);
  const { min, max } = model.allowed_dimensions;
  const work = model.running;
  const facts = [
    ["Aliases", own.join(", ") || "none"],
    ["Space", mono(model.space)],
    ["Identity of the space", mono(model.identity)],
    ["Width", min === max ? count(max) : `${count(min)} to ${count(max)}, ${count(model.dimensions)} if nothing is said`],
    ["Tokens at once", length(model)],
    ["A longer text", longer(model)],
    ["Languages", languages(model)],
    ...Object.entries(model.prompts).map(([kind, prompt]) => [`Prompt of a ${kind}`, prompt ? mono(prompt) : "none"]),
    ["State", state(work)],
    ["Loaded", work ? ago(work.loaded_seconds_ago) : "–"],
    ["Tokens so far", work ? count(work.tokens) : "–"],
    ["Rows so far", work ? count(work.rows) : "–"],
    ["Problem", work?.problem ?? "none"],
  ];
  return h(
    "article",
    { class: "card" },
    h("h3", {}, model.id),
    h("dl", { class: "facts" }, facts.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]).flat()),
  );
}

function state(running) {
  if (!running) return badge("unknown", "");
  return badge(residence(running), running.state === "loaded" ? "good" : "");
}

function health(running) {
  if (running?.problem) return h("span", {}, badge("has a problem", "bad"), ` ${running.problem}`);
  if (running?.state === "loaded") return badge("well", "good");
  return badge("loaded when it is asked for", "");
}

function badge(text, kind) {
  return h("span", { class: `badge ${kind}` }, text);
}

function speed(running) {
  return running?.seconds_per_token ? about(1 / running.seconds_per_token) : "not measured yet";
}

function length(model) {
  return model.max_model_len === null ? "any number" : count(model.max_model_len);
}

function longer({ max_model_len, overflow }) {
  if (max_model_len === null) return "there is none";
  const says = { mean: "is the mean of its parts", truncate: "is cut, and that is said", error: "is refused" };
  return says[overflow] ?? overflow;
}

function languages(model) {
  return model.languages.join(", ") || "not said";
}

function mono(text) {
  return h("span", { class: "mono" }, text);
}
