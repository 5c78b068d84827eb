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
 * Asks in a dialog, and does it. `action` runs when the form is sent; what it raises is shown in the
 * dialog, which then stays. The promise gives what `action` gave, or null where the user left.
 */
export function dialog(title, content, { yes = "", action = null, no = "Cancel", danger = false } = {}) {
  return new Promise((resolve) => {
    let result = null;
    const said = h("div");
    const send = yes ? h("button", { class: danger ? "danger" : null }, yes) : null;
    const leave = h("button", { type: "button", class: yes ? "quiet" : null, onclick: () => made.close() }, no);
    const id = `dialog-${++labels}`;
    const form = h(
      "form",
      { onsubmit: submit },
      h("h2", { id }, title),
      content,
      said,
      h("div", { class: "actions" }, send, leave),
    );
    const made = h("dialog", { "aria-labelledby": id, onclose: closed }, form);
    document.body.append(made);
    made.showModal();

    async function submit(event) {
      event.preventDefault();
      said.replaceChildren();
      send.disabled = true;
      try {
        result = (await action?.()) ?? true;
        made.close();
      } catch (error) {
        said.append(problem(error));
      } finally {
        send.disabled = false;
      }
    }

    function closed() {
      made.remove();
      resolve(result);
    }
  });
}

/** Shows a list that comes in pages, the next one on demand. `row` makes an item's cells. */
export function paged(caption, columns, row, nothing) {
  const place = h("div");
  const more = h("button", { type: "button", class: "quiet", hidden: true }, "More");
  const element = h("div", {}, place, more);
  let latest = 0;
  return {
    element,
    /** Shows what `ask(cursor)` gives: `{data, next_cursor}`. What is shown later counts, whatever comes first. */
    async show(ask) {
      const mine = ++latest;
      const items = [];
      const next = async (cursor) => {
        more.disabled = true;
        const page = await ask(cursor).finally(() => (more.disabled = false));
        if (mine !== latest) return;
        items.push(...page.data);
        place.replaceChildren(items.length ? table(caption, columns, items.map(row)) : empty(nothing));
        more.hidden = !page.next_cursor;
        more.onclick = () => next(page.next_cursor).catch((error) => place.append(problem(error)));
      };
      await next(null);
    },
  };
}

/** Calls a function once nothing was typed for a moment. */
export function settled(action, ms = 250) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(action, ms);
  };
}
