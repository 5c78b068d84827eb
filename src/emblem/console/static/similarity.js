// What the vectors of some texts say of them: numbers, nearest pairs, a heat map, a map, tables.

import { Chart, COLOURS, plain } from "./charts.js";
import { copyButton, empty, h, table } from "./dom.js";
import { count, decimals, percent } from "./numbers.js";
import { cosines, nearest, norm, principal } from "./vectors.js";

/** How many texts are compared at most: a hundred are ten thousand cells. */
export const MOST = 100;

const PAIRS = 10;
const CELLS_WITH_NUMBERS = 12;
const NAMED_POINTS = 30; // more names would hide one another
const SHORT = 60;

/** Puts what there is to say of `vectors`, those of `texts`, into an element. */
export function compare(element, texts, vectors, signal) {
  const [shown, of] = [vectors.slice(0, MOST), texts.slice(0, MOST)];
  if (vectors.length > MOST) {
    element.append(h("p", {}, `Of ${count(vectors.length)} texts the first ${MOST} are compared.`));
  }
  const matrix = cosines(shown);
  const map = principal(shown);
  if (shown.length < 2) {
    element.append(empty("One text has nothing to be compared with. Add another one."));
  } else {
    const heat = new Chart("Cosine of every text with every other", signal);
    const plane = new Chart("The vectors in two dimensions (PCA)", signal);
    element.append(
      pairs(matrix, of),
      h("div", { class: "grid" }, card(heat.element), card(plane.element, shares(map))),
      cells(matrix),
    );
    heat.draw(...heatMap(matrix, of));
    plane.draw(...plan(map, of));
  }
  element.append(listing(of, shown, map), h("p", {}, copyButton(() => JSON.stringify(vectors), "Copy the vectors as JSON")));
}

function card(...content) {
  return h("div", { class: "card" }, content);
}

function pairs(matrix, texts) {
  const found = nearest(matrix, PAIRS);
  return table(
    "Nearest pairs",
    [{ text: "Cosine", number: true }, "Text", "Text"],
    found.map(({ a, b, cosine }) => [decimals(cosine, 4), named(texts, a), named(texts, b)]),
  );
}

/** The matrix as a table, made when somebody opens it. */
function cells(matrix) {
  const made = h("details", {}, h("summary", {}, "The cosines as a table"));
  made.addEventListener("toggle", () => {
    if (made.childElementCount > 1) return;
    const heads = ["Text", ...matrix.map((_, i) => ({ text: String(i + 1), number: true }))];
    const rows = matrix.map((row, i) => [String(i + 1), ...row.map((cosine) => decimals(cosine, 4))]);
    made.append(table("Cosines", heads, rows));
  });
  return made;
}

function shares({ explained }) {
  const [first, second] = explained.map(percent);
  return h("p", {}, `The axes hold ${first} and ${second} of what tells these vectors apart.`);
}

function listing(texts, vectors, { points }) {
  return table(
    "Texts",
    [
      { text: "No.", number: true },
      "Text",
      { text: "Norm", number: true },
      { text: "First axis", number: true },
      { text: "Second axis", number: true },
    ],
    texts.map((text, i) => [
      String(i + 1),
      h("span", { class: "text" }, text),
      decimals(norm(vectors[i]), 4),
      decimals(points[i][0], 4),
      decimals(points[i][1] ?? 0, 4),
    ]),
  );
}

function heatMap(matrix, texts) {
  const labels = matrix.map((_, i) => String(i + 1));
  const least = Math.min(0, ...matrix.map((row) => Math.min(...row)));
  const trace = {
    type: "heatmap",
    z: matrix,
    x: labels,
    y: labels,
    zmin: least,
    zmax: 1,
    colorscale: "Viridis",
    customdata: matrix.map((_, i) => matrix.map((__, j) => `${hover(texts, i)}<br>${hover(texts, j)}`)),
    hovertemplate: "%{z:.4f}<br>%{customdata}<extra></extra>",
    texttemplate: matrix.length <= CELLS_WITH_NUMBERS ? "%{z:.2f}" : "",
  };
  const [best] = nearest(matrix, 1);
  const layout = {
    height: 380,
    xaxis: { type: "category", automargin: false },
    yaxis: { type: "category", automargin: false, autorange: "reversed" },
  };
  const said = `Heat map of ${matrix.length} by ${matrix.length} cosines, from ${decimals(least, 2)} to 1. `
    + `Texts ${best.a + 1} and ${best.b + 1} are nearest, with ${decimals(best.cosine, 4)}.`;
  return [[trace], layout, said];
}

function plan({ points }, texts) {
  const trace = {
    type: "scatter",
    mode: points.length <= NAMED_POINTS ? "markers+text" : "markers",
    x: points.map(([x]) => x),
    y: points.map(([, y]) => y ?? 0),
    text: points.map((_, i) => String(i + 1)),
    textposition: "top center",
    customdata: points.map((_, i) => hover(texts, i)),
    hovertemplate: "%{customdata}<extra></extra>",
    marker: { size: 10, color: COLOURS[0] },
    cliponaxis: false,
  };
  const axis = { zeroline: false, automargin: false };
  const layout = { height: 380, xaxis: axis, yaxis: { ...axis, scaleanchor: "x" } };
  return [[trace], layout, `Map of ${points.length} texts; its points are in the table of texts below.`];
}

function named(texts, place) {
  return h("span", { class: "text" }, `${place + 1}: ${shortened(texts[place])}`);
}

function hover(texts, place) {
  return `${place + 1}: ${plain(shortened(texts[place]))}`;
}

function shortened(text) {
  const line = text.replace(/\s+/g, " ");
  const letters = Array.from(line);
  return letters.length > SHORT ? `${letters.slice(0, SHORT).join("")}…` : line;
}
