// A list of the administration: what it is searched by, what it shows, and what can be done to each.

import { field, h, paged, problem, settled } from "./dom.js";
import { json } from "./api.js";

/**
 * Shows what the server lists at `path`. `shown` is what `paged` takes. `filters` are
 * `[[name, label, control], …]`, whose values become the question; `add` is a button beside them.
 * Gives `{element, refresh}`.
 */
export function listed(path, shown, { filters, add = null, signal }) {
  const said = h("div");
  const list = paged(...shown);
  const form = h(
    "form",
    { class: "row", role: "search", onsubmit: (event) => event.preventDefault() },
    filters.map(([, label, control]) => field(label, control)),
    add,
  );
  for (const [, , control] of filters) {
    if (control.tagName === "SELECT") control.addEventListener("change", refresh);
    else control.addEventListener("input", settled(refresh));
  }
  return { element: h("div", {}, form, said, list.element), refresh };

  async function refresh() {
    said.replaceChildren();
    const query = new URLSearchParams();
    for (const [name, , control] of filters) if (control.value.trim()) query.set(name, control.value.trim());
    const focused = list.element.contains(document.activeElement) ? document.activeElement.ariaLabel : null;
    try {
      await list.show((cursor) => {
        if (cursor) query.set("cursor", cursor);
        return json(`${path}?${query}`, { signal });
      });
    } catch (error) {
      if (!signal.aborted) said.append(problem(error));
      return;
    }
    // Whoever works by keyboard goes on where they were, or else at the beginning of the list.
    if (focused !== null) (button(focused) ?? filters[0][2]).focus();
  }

  function button(label) {
    return [...list.element.querySelectorAll("button")].find((one) => one.ariaLabel === label);
  }
}

/** A box to search in. */
export function searchBox() {
  return h("input", { type: "search", autocomplete: "off", spellcheck: "false" });
}

/** The buttons of one thing, by its name: `[[label, action, style], …]`. */
export function actions(name, ...all) {
  return h(
    "div",
    { class: "actions tight" },
    all.map(([label, action, style = "quiet"]) =>
      h("button", { type: "button", class: style, "aria-label": `${label} ${name}`, onclick: action }, label),
    ),
  );
}
