// Makes elements. Text is always text: nothing here, and nothing that uses it, reads data as HTML.

/**
 * Makes an element: `h("button", {type: "button", onclick: f, class: "quiet"}, "Copy")`.
 * What begins with "on" and is a function becomes a listener, true an empty attribute; false, null
 * and undefined are left out, as attributes and as children.
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function" && name.startsWith("on")) {
      element.addEventListener(name.slice(2), value);
    } else if (name === "value") {
      element.value = value;
    } else if (value === true) {
      element.setAttribute(name, "");
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, String(value));
    }
  }
  element.append(...children.flat().filter((one) => one !== null && one !== undefined && one !== false));
  return element;
}

let labels = 0;

/** A control with its label, and below it a hint where there is one. */
export function field(label, control, hint = "") {
  control.id ||= `control-${++labels}`;
  const parts = [h("label", { for: control.id }, label), control];
  if (hint) {
    const id = `${control.id}-hint`;
    control.setAttribute("aria-describedby", id);
    parts.push(h("small", { id }, hint));
  }
  return h("div", { class: "field" }, ...parts);
}

/** A choice among `[[value, text], …]`. */
export function select(options, chosen = "", attributes = {}) {
  const made = h(
    "select",
    attributes,
    options.map(([value, text]) => h("option", { value }, text)),
  );
  made.value = chosen;
  return made;
}

/**
 * A table that scrolls by itself where it is wider than the page.
 * `columns` are texts or `{text, number: true}`; `rows` are arrays of texts or elements.
 */
export function table(caption, columns, rows) {
  const heads = columns.map((one) => (typeof one === "string" ? { text: one } : one));
  const cell = (value, index) => h("td", { class: heads[index].number ? "number" : null }, value ?? "");
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h(
      "table",
      {},
      h("caption", {}, caption),
      h("thead", {}, h("tr", {}, heads.map((one) => h("th", { scope: "col", class: one.number ? "number" : null }, one.text)))),
      h("tbody", {}, rows.map((row) => h("tr", {}, row.map(cell)))),
    ),
  );
}

/** Says that there is nothing, and what to do about it. */
export function empty(...words) {
  return h("p", { class: "empty" }, ...words);
}

/** Shows an error as the sentence that it is. */
export function problem(error) {
  return h("p", { class: "problem", role: "alert" }, error?.message || String(error));
}

/** A moment in local time, with UTC on hover; seconds since the epoch. */
export function when(seconds, absent = "never") {
  if (seconds === null || seconds === undefined) return absent;
  const date = new Date(seconds * 1000);
  const utc = date.toISOString();
  return h("time", { datetime: utc, title: `${utc.slice(0, 19).replace("T", " ")} UTC` }, date.toLocaleString());
}

/** A number as the user's language writes it. */
export function number(value, options = {}) {
  return value === null || value === undefined ? "–" : value.toLocaleString(undefined, options);
}

/** Tells something in passing; read out by screen readers. */
export function tell(message) {
  const told = document.getElementById("told");
  told.textContent = message;
  clearTimeout(tell.timer);
  tell.timer = setTimeout(() => (told.textContent = ""), 6000);
}

/** A button that copies a text. */
export function copyButton(text, label = "Copy") {
  const source = typeof text === "function" ? text : () => text;
  return h("button", { type: "button", class: "quiet", onclick: () => copy(source()) }, label);
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // There is no clipboard where the page did not come over TLS or from this machine.
    const area = h("textarea", { class: "unseen", value: text });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  tell("Copied.");
}

/**
 * Asks in a dialog; the promise gives true for yes. `content` may hold form controls.
 */
export function confirm(title, content, yes, { danger = false } = {}) {
  return new Promise((resolve) => {
    const dialog = h(
      "dialog",
      { "aria-labelledby": "dialog-title", onclose: () => { dialog.remove(); resolve(dialog.returnValue === "yes"); } },
      h(
        "form",
        { method: "dialog" },
        h("h2", { id: "dialog-title" }, title),
        content,
        h(
          "div",
          { class: "actions" },
          h("button", { value: "yes", class: danger ? "danger" : null }, yes),
          h("button", { value: "no", class: "quiet", formnovalidate: true }, "Cancel"),
        ),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}
