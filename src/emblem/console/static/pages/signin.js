// Signing in.

import { h, field, problem } from "../dom.js";
import { signIn } from "../api.js";

export const title = "Sign in";

export async function show(element, signal, who) {
  const said = h("div");
  const key = h("input", { type: "password", autocomplete: "off", required: true, spellcheck: "false" });
  const form = h(
    "form",
    { class: "card narrow", onsubmit: submit },
    field("API key", key, "A key of the role admin. It is sent to the server once and kept nowhere in this page."),
    said,
    h("div", { class: "actions" }, h("button", {}, "Sign in")),
  );
  if (who.problem) said.append(problem(new Error(who.problem)));
  const other = who.ways.oidc
    ? h("a", { class: "button", href: who.ways.oidc }, `Sign in through ${who.ways.provider}`)
    : null;
  if (other) element.append(h("p", {}, other), h("p", {}, "Or with a key:"));
  element.append(form);
  (other ?? key).focus();

  async function submit(event) {
    event.preventDefault();
    said.replaceChildren();
    try {
      const state = await signIn(key.value);
      key.value = "";
      document.dispatchEvent(new CustomEvent("emblem:signed-in", { detail: state }));
    } catch (error) {
      if (!signal.aborted) said.append(problem(error));
      key.select();
    }
  }
}
