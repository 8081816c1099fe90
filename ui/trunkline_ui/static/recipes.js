// The recipe wizard's history: back and forward go through its steps and keep every entry; so does a reload.
(() => {
  "use strict";
  const wizard = () => document.getElementById("wizard");
  const form = () => document.querySelector("#wizard form[data-wizard]");
  if (!form()) return;
  const key = `wizard:${location.pathname}`;
  const carried = ["csrf_token", "go"];
  let quiet = false;

  const keep = () => {
    if (!form()) return;
    const entries = [...new FormData(form())].filter(([name, value]) => !carried.includes(name) && typeof value === "string");
    try { sessionStorage.setItem(key, JSON.stringify(entries)); } catch { /* full or forbidden: no restore */ }
  };
  const forget = () => { try { sessionStorage.removeItem(key); } catch { /* as above */ } };
  const go = (step) => {
    const button = form()?.querySelector("[data-go]");
    if (!button) return;
    quiet = true;
    button.value = step;
    button.click(); // htmx learns of the pressed button by its click
  };

  history.replaceState({ wizard: wizard().dataset.step }, "");
  addEventListener("popstate", (event) => { if (event.state?.wizard) go(event.state.wizard); });
  addEventListener("pagehide", keep);
  document.addEventListener("input", keep);

  document.addEventListener("htmx:beforeOnLoad", (event) => {
    if (event.detail.xhr.getResponseHeader("HX-Redirect")) {
      removeEventListener("pagehide", keep);
      forget();
    }
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target.id !== "wizard") return;
    const now = wizard();
    document.title = now.dataset.title;
    const step = now.dataset.step;
    if (history.state?.wizard !== step) {
      const state = { wizard: step };
      if (quiet) history.replaceState(state, "", `?step=${step}`);
      else history.pushState(state, "", `?step=${step}`);
    }
    quiet = false;
    keep();
    const summary = now.querySelector("[data-error-summary]");
    const heading = now.querySelector("h1");
    heading.tabIndex = -1;
    (summary ?? heading).focus({ preventScroll: true });
    scrollTo(0, 0);
  });

  // A reload, or a return from elsewhere, asks for a page without the entries: send them again.
  const wanted = new URLSearchParams(location.search).get("step");
  const kind = performance.getEntriesByType("navigation")[0]?.type;
  if (wanted && (kind === "reload" || kind === "back_forward")) {
    let entries = [];
    try { entries = JSON.parse(sessionStorage.getItem(key) ?? "[]"); } catch { entries = []; }
    if (entries.length) {
      const values = Object.fromEntries(entries.filter(([name]) => name !== "step"));
      values.step = wizard().dataset.step;
      values.go = wanted;
      const start = () => {
        quiet = true;
        htmx.ajax("POST", form().action, { target: "#wizard", swap: "outerHTML", values });
      };
      if (window.htmx) start(); else addEventListener("load", start);
    }
  } else {
    forget();
  }
})();
