// Before the first paint, and so no module: a page must not flash in the wrong colours.
(() => {
  const chosen = localStorage.getItem("polis-theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
})();
