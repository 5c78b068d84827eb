// The shell: who is signed in, which page is shown, light and dark. Pages are modules of their own:
// each exports `title` and `async function show(element, signal)`; the signal is aborted when the
// page is left.

import { h, problem } from "./dom.js";
import * as api from "./api.js";

// Name, text, and whether only an administrator's session may read what the page shows.
const PAGES = [
  ["playground", "Playground", false],
  ["models", "Models", true],
  ["keys", "Keys", true],
  ["teams", "Teams", true],
  ["usage", "Usage", true],
  ["live", "Live", true],
  ["audit", "Audit", true],
];

const main = document.getElementById("main");
const nav = document.getElementById("nav");
let who = { signed_in: false, ways: {} };
let shown = new AbortController();

const allowed = () => PAGES.filter(([, , admin]) => !admin || who.role === "admin");

function wanted() {
  const name = location.hash.replace(/^#\/?/, "").split(/[/?]/)[0];
  return allowed().some(([one]) => one === name) ? name : "playground";
}

function drawTop() {
  const name = wanted();
  nav.replaceChildren(
    ...(who.signed_in
      ? allowed().map(([one, text]) => h("a", { href: `#/${one}`, "aria-current": one === name ? "page" : null }, text))
      : []),
  );
  document.getElementById("who").textContent = who.signed_in ? who.name : "";
  document.getElementById("leave").hidden = !(who.signed_in && who.may_leave);
}

async function show({ focus = true } = {}) {
  shown.abort();
  const mine = (shown = new AbortController());
  const name = who.signed_in ? wanted() : "signin";
  drawTop();
  const section = h("section", { class: `page ${name}`, "aria-busy": "true" });
  main.replaceChildren(section);
  try {
    const page = await import(`./pages/${name}.js`);
    if (mine.signal.aborted) return;
    document.title = `${page.title} · Emblem`;
    section.append(h("h1", {}, page.title));
    if (focus) main.focus({ preventScroll: true });
    await page.show(section, mine.signal, who);
  } catch (error) {
    if (!mine.signal.aborted) section.append(problem(error));
  } finally {
    section.removeAttribute("aria-busy");
  }
}

function themeButton() {
  const button = document.getElementById("theme");
  const page = document.documentElement;
  const dark = () => (page.dataset.theme ? page.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
  const label = () => (button.textContent = dark() ? "Light" : "Dark");
  const changed = () => {
    label();
    document.dispatchEvent(new CustomEvent("emblem:theme"));
  };
  button.setAttribute("aria-label", "Change between light and dark");
  button.addEventListener("click", () => {
    page.dataset.theme = dark() ? "light" : "dark";
    try {
      localStorage.setItem("emblem-theme", page.dataset.theme);
    } catch {
      // It holds for as long as the page is open.
    }
    changed();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
  label();
}

async function enter(state) {
  who = state;
  await show();
}

async function start() {
  themeButton();
  document.getElementById("skip").addEventListener("click", (event) => {
    event.preventDefault(); // the hash is the page's name
    main.focus();
  });
  document.getElementById("leave").addEventListener("click", async () => {
    shown.abort(); // what the page still asks for would be refused
    try {
      await api.signOut();
    } catch (error) {
      main.replaceChildren(problem(error));
      return;
    }
    location.reload(); // so that nothing of whoever was here is left in the page
  });
  document.addEventListener("emblem:signed-in", (event) => enter(event.detail));
  document.addEventListener("emblem:signed-out", async () => {
    if (who.signed_in) await enter(await api.session());
  });
  addEventListener("hashchange", () => show());
  try {
    who = await api.session();
  } catch (error) {
    main.replaceChildren(problem(error));
    return;
  }
  await show({ focus: false });
}

start();
