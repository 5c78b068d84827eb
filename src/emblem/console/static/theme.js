// Sets the colours before anything is drawn. Not a module: those run too late for that.
"use strict";
(function () {
  let chosen = null;
  try {
    chosen = localStorage.getItem("emblem-theme");
  } catch {
    // A browser that keeps nothing: the system's choice holds.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
