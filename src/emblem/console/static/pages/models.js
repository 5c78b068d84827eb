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
    const [{ data, passed_on: elsewhere = [] }, live] = await Promise.all([
      api.json("admin/models", { signal }),
      api.json("admin/live", { signal }),
    ]);
    shown.replaceChildren(...page(data, live), ...passedOn(elsewhere));
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

/** Where each model is computed: in this process, elsewhere, or both. */
function deployments(models) {
  const columns = [
    "Model",
    "Computed",
    "Health",
    { text: "Tokens per second", number: true },
    { text: "Memory", number: true },
    { text: "Requests now", number: true },
    "Last used",
    "Proof",
  ];
  const rows = models.flatMap((one) =>
    one.deployments.length ? one.deployments.map((it) => deployment(one, it)) : [alone(one)],
  );
  return table("Deployments", columns, rows);
}

/** What requests for chat and rankings are passed on to. */
function passedOn(models) {
  if (!models.length) return [];
  const columns = ["Model", "For", "Deployment", "Health", { text: "Requests now", number: true }, "So far"];
  const rows = models.flatMap(({ id, task, deployments: places }) =>
    places.map((one) => {
      const now = `${count(one.requests)} of ${count(one.max_requests)}`;
      return [id, task, place(one), condition(one), now, record(one)];
    }),
  );
  return [table("Chat and rankings", columns, rows)];
}

/** A model that this process alone computes. */
function alone({ id, running }) {
  const now = running ? count(running.requests) : "–";
  return [id, "in this process", health(running), ...engine(running), now, used(running), "–"];
}

/** One of several places, or one that is elsewhere. */
function deployment({ id, running }, one) {
  const here = one.kind === "local" ? running : null;
  const where = here ? "in this process" : place(one);
  const now = `${count(one.requests)} of ${count(one.max_requests)}`;
  return [id, where, condition(one), ...engine(here), now, used(here), proof(one)];
}

function place({ name, kind }) {
  return kind && kind !== name ? `${name} (${kind})` : name;
}

function engine(running) {
  return running ? [speed(running), bytes(running.predicted_bytes)] : ["–", "–"];
}

function used(running) {
  return running ? ago(running.used_seconds_ago) : "–";
}

/** How near its vectors were to those of the space, and when that was last found out. */
function proof({ worst_cosine, proven_seconds_ago }) {
  const near = worst_cosine === null ? "no cosine" : `cosine ${worst_cosine.toFixed(6)}`;
  return proven_seconds_ago === null ? (worst_cosine === null ? "none yet" : near) : `${near}, passed ${ago(proven_seconds_ago)}`;
}

const CONDITIONS = {
  serving: ["well", "good"],
  unproven: ["not proven", "bad"],
  quarantined: ["in quarantine", "bad"],
  open: ["left alone", "bad"],
  probed: ["being tried again", ""],
  resting: ["asked for a pause", ""],
  closed: ["has a problem", "bad"],
};

function condition({ health: name, problem: said, retry_seconds }) {
  const [text, kind] = CONDITIONS[name] ?? [name, ""];
  if (name === "serving") return badge(text, kind);
  const again = retry_seconds === null ? "" : `; asked again in ${Math.ceil(retry_seconds)} s`;
  return h("span", {}, badge(text, kind), ` ${said ?? ""}${again}`);
}

/** What a deployment has done since the server started. */
function record(one) {
  const invalid = one.invalid ? `, ${count(one.invalid)} of them with what could not be right` : "";
  return `${count(one.answered)} requests answered, ${count(one.failures)} failed${invalid}`;
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
    ...model.deployments.map((one) => [`Deployment ${one.name}`, record(one)]),
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
