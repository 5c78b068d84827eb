// Charts by plotly, which comes from this server when a page first draws one.
//
// A chart is for the eye: each stands beside a table or a list that says the same.

import { plotlyVersion } from "./api.js";
import { h } from "./dom.js";

/** Okabe and Ito's colours, which colour-blind people tell apart; they do on light and on dark. */
export const COLOURS = [
  "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#8a8a00", "#999999",
];
export const RED = "#d55e00";

const RULES = new URL("plotly.css", import.meta.url).href;
// Where plotly looks for the sheet of its rules, and whether it has written that of its maps, which
// are not used here. Found under these names they are taken, and not made.
const RULES_ID = "plotly.js-style-global";
const MAPS_ID = "9f215cf04c5486422605d13261cb87401f4e7763b6296af81e98efbc0130da53";
const CONFIG = { displayModeBar: false, displaylogo: false, responsive: true };

let loading = null;

function plotly() {
  loading ??= load().catch(() => {
    loading = null; // the next chart tries again
    throw new Error("The charts could not be had from this server.");
  });
  return loading;
}

async function load() {
  if (!document.getElementById(MAPS_ID)) document.head.append(h("meta", { id: MAPS_ID }));
  await arrival(h("link", { id: RULES_ID, rel: "stylesheet", href: RULES }));
  await arrival(h("script", { src: new URL(`plotly.min.js?v=${plotlyVersion()}`, import.meta.url).href }));
}

function arrival(element) {
  return new Promise((resolve, reject) => {
    element.addEventListener("load", resolve);
    element.addEventListener("error", () => {
      element.remove();
      reject(new Error(element.src ?? element.href));
    });
    document.head.append(element);
  });
}

/** Writes a text so that plotly takes nothing in it for markup. */
export function plain(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** One chart: `element` is to be put into the page. It follows light and dark, and ends with `signal`. */
export class Chart {
  #plot = h("div", { class: "plot", role: "img" });
  #signal;
  #drawn = null;

  constructor(title, signal) {
    this.#signal = signal;
    this.#plot.setAttribute("aria-label", title);
    this.element = h("figure", {}, h("figcaption", {}, title), this.#plot);
    document.addEventListener("emblem:theme", () => this.#again(), { signal });
    signal.addEventListener("abort", () => {
      this.#drawn = null;
      globalThis.Plotly?.purge(this.#plot);
    });
  }

  /** Draws, or draws anew. `said` is read out in place of the picture. */
  async draw(traces, layout, said) {
    this.#drawn = [traces, layout];
    this.#plot.setAttribute("aria-label", said);
    try {
      await plotly();
      await this.#again();
    } catch (error) {
      this.#plot.textContent = `${error.message} ${said}`;
    }
  }

  async #again() {
    if (this.#signal.aborted || !this.#drawn || !globalThis.Plotly) return;
    const [traces, layout] = this.#drawn;
    await globalThis.Plotly.react(this.#plot, traces, themed(layout), CONFIG);
  }
}

/** The marks of decimals and of thousands in the reader's language. */
function separators() {
  const parts = new Intl.NumberFormat(undefined, { useGrouping: true }).formatToParts(1234567.5);
  const mark = (type, usual) => parts.find((part) => part.type === type)?.value ?? usual;
  return mark("decimal", ".") + mark("group", "");
}

function themed(layout) {
  const page = getComputedStyle(document.documentElement);
  const colour = (name) => page.getPropertyValue(name).trim();
  const lines = { gridcolor: colour("--line"), zerolinecolor: colour("--line"), linecolor: colour("--line") };
  return {
    autosize: true,
    height: 260,
    margin: { l: 44, r: 12, t: 26, b: 36 },
    paper_bgcolor: colour("--card"),
    plot_bgcolor: colour("--card"),
    colorway: COLOURS,
    font: { family: page.fontFamily, color: colour("--text"), size: 12 },
    legend: { orientation: "h", y: 1, yanchor: "bottom" },
    separators: separators(),
    ...layout,
    xaxis: { ...lines, automargin: true, ...layout.xaxis },
    yaxis: { ...lines, automargin: true, ...layout.yaxis },
  };
}
