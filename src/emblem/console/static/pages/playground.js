// Texts in, vectors out: how near texts are to one another, and the same request as code.

import * as api from "../api.js";
import { copyButton, empty, field, h, problem, select, tell } from "../dom.js";
import { count, decimals, milliseconds } from "../numbers.js";
import { compare } from "../similarity.js";
import { curl, javascript, python } from "../snippets.js";
import { norm } from "../vectors.js";

export const title = "Playground";

const EXAMPLE = [
  "How do I reset my password?",
  "I forgot my login and cannot get in.",
  "The invoice for March is attached.",
  "Please find the bill enclosed.",
];
const LANGUAGES = [["curl", curl], ["Python", python], ["JavaScript", javascript]];

// What was written stays while other pages are looked at, and goes with the window.
const kept = { boxes: false, texts: EXAMPLE, model: "", language: "curl" };

export async function show(element, signal) {
  const { data } = await api.json("v1/models", { signal });
  const models = data.filter((one) => one.task === "embedding");
  if (!models.length) {
    element.append(empty("This key may use no model that is served. Give it another list of models."));
    return;
  }
  const form = new Form(models);
  const result = h("div", { class: "result" });
  element.append(form.element, result, code(form));
  let running = null; // ends the charts of the answer before
  const begin = () => {
    running?.abort();
    running = new AbortController();
    return running.signal;
  };
  signal.addEventListener("abort", () => running?.abort());
  form.element.addEventListener("submit", async (event) => {
    event.preventDefault();
    await answer(form, result, begin());
  });
}

async function answer(form, result, signal) {
  const body = form.body();
  if (!body.input.length) {
    result.replaceChildren(problem(new Error("There is no text yet. Write one, or several.")));
    return;
  }
  form.busy(true);
  try {
    const began = performance.now();
    const response = await api.ask("v1/embeddings", { method: "POST", body, signal });
    const content = await response.json();
    const ms = performance.now() - began;
    const vectors = content.data.map((one) => unpacked(one.embedding));
    result.replaceChildren(h("h2", {}, "Answer"), ...said(response.headers, content, vectors, ms));
    compare(result, body.input, vectors, signal);
    tell(`The answer is there: ${count(vectors.length)} vectors in ${milliseconds(ms)}.`);
  } catch (error) {
    if (!signal.aborted) result.replaceChildren(problem(error));
  } finally {
    if (!signal.aborted) form.busy(false); // another request is under way, or the page was left
  }
}

/** What an answer says of itself. */
function said(headers, content, vectors, ms) {
  const norms = vectors.map(norm);
  const [least, most] = [Math.min(...norms), Math.max(...norms)].map((one) => decimals(one, 4));
  const tiles = [
    ["Texts", count(vectors.length)],
    ["Tokens", count(content.usage.prompt_tokens)],
    ["In the server", milliseconds(Number(headers.get("openai-processing-ms")))],
    ["There and back", milliseconds(ms)],
    ["Width", count(vectors[0].length)],
    ["Norm", least === most ? least : `${least} – ${most}`],
  ];
  const facts = [
    ["Model", content.model],
    ["Space", decodeURIComponent(headers.get("x-embedding-space") ?? "")],
    ["From the cache", cached(headers.get("x-embedding-cache"))],
    ["Longer than the model reads at once", overflowed(headers.get("x-embedding-overflow"))],
    ["Request", headers.get("x-request-id")],
  ];
  return [
    h("div", { class: "tiles" }, tiles.map(([name, value]) => h("div", { class: "tile" }, h("strong", {}, value), h("span", {}, name)))),
    h("dl", { class: "facts" }, facts.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]).flat()),
  ];
}

/** Reads "hits=3/10". */
function cached(header) {
  const [, hits, of] = header?.match(/^hits=(\d+)\/(\d+)$/) ?? [];
  return hits ? `${count(Number(hits))} of ${count(Number(of))}` : "the cache is off";
}

/** Reads "mean; count=2; inputs=0,3", which counts from 0, and the tables here from 1. */
function overflowed(header) {
  const [, how, number, places] = header?.match(/^(\w+); count=(\d+); inputs=([\d,]+)/) ?? [];
  if (!how) return header ?? "none";
  const texts = places.split(",").filter(Boolean).map((place) => Number(place) + 1);
  const more = texts.length < Number(number) ? "…" : "";
  return `${count(Number(number))} (${how}): ${texts.join(", ")}${more}`;
}

/** Gives a vector's numbers; base64 holds little-endian float32. */
function unpacked(embedding) {
  if (Array.isArray(embedding)) return embedding;
  const content = Uint8Array.from(atob(embedding), (letter) => letter.charCodeAt(0));
  const view = new DataView(content.buffer);
  return Array.from({ length: content.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
}

/** The request as code, kept as the form is. */
function code(form) {
  const shown = h("code", {});
  const write = () => {
    const [, written] = LANGUAGES.find(([name]) => name === kept.language);
    shown.textContent = written(api.baseUrl, form.body());
  };
  const buttons = LANGUAGES.map(([name]) =>
    h("button", { type: "button", onclick: () => choose(name) }, name),
  );
  const choose = (name) => {
    kept.language = name;
    buttons.forEach((one) => one.setAttribute("aria-pressed", String(one.textContent === name)));
    write();
  };
  form.element.addEventListener("input", write);
  form.element.addEventListener("click", write); // boxes come and go
  choose(kept.language);
  return h(
    "div",
    { class: "card" },
    h("h2", {}, "The same request as code"),
    h("div", { class: "tabs", role: "group", "aria-label": "Language" }, buttons),
    h("pre", { tabindex: "0", "aria-label": "Code" }, shown),
    copyButton(() => shown.textContent, "Copy the code"),
  );
}

class Form {
  #texts = h("div", {});
  #model;
  #hint = h("small", {});
  #kind = select([["", "not said"], ["query", "query"], ["document", "document"]]);
  #dimensions = h("input", { type: "number", min: 1, step: 1, inputmode: "numeric" });
  #overflow = select([["", "as the model has it"], ["mean", "mean of its parts"], ["truncate", "cut, and say so"], ["error", "refuse"]]);
  #encoding = select([["float", "float"], ["base64", "base64"]], "float");
  #send = h("button", { type: "submit" }, "Embed");

  constructor(models) {
    this.#model = select(
      models.map((one) => [one.id, one.alias_of ? `${one.id} (an alias of ${one.alias_of})` : one.id]),
      models.some((one) => one.id === kept.model) ? kept.model : models[0].id,
    );
    const chosen = () => this.#describe(models.find((one) => one.id === this.#model.value));
    this.#model.addEventListener("change", chosen);
    chosen();
    this.element = h(
      "form",
      { class: "card", novalidate: true },
      this.#ways(),
      this.#texts,
      h(
        "div",
        { class: "row" },
        field("Model", this.#model),
        field("What the texts are", this.#kind),
        field("Dimensions", this.#dimensions),
        field("Texts that are too long", this.#overflow),
        field("Encoding", this.#encoding),
      ),
      this.#hint,
      h("div", { class: "actions" }, this.#send),
    );
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.element.requestSubmit();
    });
    this.#draw();
  }

  /** The request's body, with what is to be other than usual. */
  body() {
    kept.texts = this.#written();
    kept.model = this.#model.value;
    const body = { model: kept.model, input: kept.texts.filter((text) => text.trim()) };
    if (this.#kind.value) body.input_type = this.#kind.value;
    if (this.#dimensions.value) body.dimensions = Number(this.#dimensions.value);
    if (this.#overflow.value) body.overflow = this.#overflow.value;
    if (this.#encoding.value !== "float") body.encoding_format = this.#encoding.value;
    return body;
  }

  busy(is) {
    this.#send.disabled = is;
    this.#send.textContent = is ? "Embedding…" : "Embed";
  }

  #describe(model) {
    const { min, max } = model.allowed_dimensions;
    this.#dimensions.placeholder = String(model.dimensions);
    this.#dimensions.max = String(max);
    const widths = min === max ? `${count(max)} dimensions` : `${count(min)} to ${count(max)} dimensions`;
    const apart = Object.keys(model.prompts).length
      ? "embeds queries and documents differently"
      : "embeds queries and documents alike";
    const length = model.max_model_len
      ? `reads ${count(model.max_model_len)} tokens at once`
      : "reads texts of any length at once";
    this.#hint.textContent = `${model.id}: ${widths}, ${length}, ${apart}.`;
  }

  #ways() {
    const name = "way";
    const way = (boxes, text) =>
      h("label", {}, h("input", { type: "radio", name, checked: kept.boxes === boxes, onchange: () => this.#turn(boxes) }), text);
    return h(
      "fieldset",
      {},
      h("legend", {}, "Texts"),
      h("div", { class: "choices" }, way(false, "one a line"), way(true, "one a box, which may have several lines")),
    );
  }

  #turn(boxes) {
    kept.texts = this.#written();
    // A text with several lines would be several texts.
    if (!boxes) kept.texts = kept.texts.map((text) => text.replace(/\s*\n\s*/g, " "));
    kept.boxes = boxes;
    this.#draw();
  }

  #written() {
    const areas = [...this.#texts.querySelectorAll("textarea")].map((area) => area.value);
    return kept.boxes ? areas : areas[0].split("\n").map((line) => line.trim()).filter(Boolean);
  }

  #draw() {
    if (!kept.boxes) {
      const area = h("textarea", { value: kept.texts.join("\n"), rows: 6, spellcheck: "false" });
      this.#texts.replaceChildren(field("Texts, one a line", area, "Ctrl and Enter embed them."));
      return;
    }
    const add = h("button", { type: "button", class: "quiet", onclick: () => this.#add("").focus() }, "Add a text");
    this.#texts.replaceChildren(h("div", { class: "boxes" }), add);
    (kept.texts.length ? kept.texts : [""]).forEach((text) => this.#add(text));
  }

  #add(text) {
    const boxes = this.#texts.querySelector(".boxes");
    const area = h("textarea", { value: text, rows: 2, spellcheck: "false" });
    const box = h("div", { class: "text-box" }, area);
    const remove = () => {
      if (boxes.childElementCount > 1) box.remove();
      else area.value = "";
      this.#number();
      boxes.querySelector("textarea").focus();
    };
    box.append(h("button", { type: "button", class: "quiet", onclick: remove }, "Remove"));
    boxes.append(box);
    this.#number();
    return area;
  }

  #number() {
    this.#texts.querySelectorAll(".text-box").forEach((box, i) => {
      box.querySelector("textarea").setAttribute("aria-label", `Text ${i + 1}`);
      box.querySelector("button").setAttribute("aria-label", `Remove text ${i + 1}`);
    });
  }
}
