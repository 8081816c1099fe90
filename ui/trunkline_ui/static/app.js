// Enhancements only: every page works without this file.
(() => {
  "use strict";
  const root = document.documentElement;
  root.classList.add("js");

  // ---- times: the same words as filters.relative and filters.since ----
  const units = [[60, 1, "s"], [3600, 60, "min"], [86400, 3600, "h"], [2592000, 86400, "d"]];
  const relative = (then, now) => {
    const seconds = (now - then) / 1000;
    const size = Math.abs(seconds);
    if (size < 5) return "just now";
    for (const [limit, divisor, unit] of units) {
      if (size < limit) {
        const amount = `${Math.floor(size / divisor)} ${unit}`;
        return seconds > 0 ? `${amount} ago` : `in ${amount}`;
      }
    }
    return null;
  };
  const clock = { hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short" };
  const refresh = (scope) => {
    const now = Date.now();
    for (const time of scope.querySelectorAll("time[data-ago]")) {
      let text = relative(Date.parse(time.dateTime), now);
      if (time.dataset.ago === "since") text = text?.replace(/^(.*) ago$/, "for $1");
      if (text && time.textContent !== text) time.textContent = text;
    }
    for (const time of scope.querySelectorAll("time[data-clock]")) {
      const text = new Date(time.dateTime).toLocaleTimeString("en-GB", clock);
      if (time.textContent !== text) time.textContent = text;
    }
  };
  refresh(document);
  setInterval(() => { if (!document.hidden) refresh(document); }, 5000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(document); });

  // ---- toasts ----
  const toast = (text, tone) => {
    const shelf = document.getElementById("toasts");
    const mould = document.getElementById("toast-template");
    if (!shelf || !mould) return;
    for (const old of shelf.querySelectorAll("[data-text]")) {
      if (old.textContent === text) return;
    }
    const made = mould.content.firstElementChild.cloneNode(true);
    made.dataset.tone = tone || "danger";
    made.querySelector("[data-text]").textContent = text;
    shelf.append(made);
    setTimeout(() => made.remove(), 10000);
  };
  window.trunkline = { toast };

  // ---- clicks: dialogs, copy, dismiss, menus ----
  const copied = async (button) => {
    const source = button.dataset.copyFrom ? document.getElementById(button.dataset.copyFrom) : null;
    const text = source ? (source.value ?? source.textContent) : button.dataset.copy;
    const label = button.querySelector("[data-label]");
    try {
      await navigator.clipboard.writeText(text);
      label.textContent = "Copied";
    } catch {
      label.textContent = "Press Ctrl+C";
      if (source) getSelection().selectAllChildren(source);
    }
    setTimeout(() => { label.textContent = button.dataset.rest; }, 2000);
  };
  document.addEventListener("click", (event) => {
    const target = event.target instanceof Element ? event.target : null;
    if (!target) return;
    const opener = target.closest("[data-dialog]");
    const dialog = opener && document.getElementById(opener.dataset.dialog);
    if (dialog) {
      event.preventDefault();
      dialog.showModal();
    } else if (target instanceof HTMLDialogElement) {
      target.close();
    } else if (target.closest("[data-close]")) {
      event.preventDefault();
      target.closest("dialog").close();
    } else if (target.closest("[data-dismiss]")) {
      target.closest(".toast, .callout").remove();
    } else if (target.closest("[data-copy], [data-copy-from]")) {
      copied(target.closest("[data-copy], [data-copy-from]"));
    }
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(target)) menu.open = false;
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      const inside = menu.contains(document.activeElement);
      menu.open = false;
      if (inside) menu.querySelector("summary").focus();
    }
  });

  // ---- forms: theme without a reload, no double submit, the first error in focus ----
  document.addEventListener("submit", (event) => {
    const form = event.target;
    const choice = event.submitter;
    if (form.matches("form[data-themes]") && choice) {
      event.preventDefault();
      const theme = choice.value;
      if (theme === "system") delete root.dataset.theme; else root.dataset.theme = theme;
      const age = theme === "system" ? 0 : 31536000;
      document.cookie = `theme=${theme};path=/;max-age=${age};samesite=lax`;
      for (const button of document.querySelectorAll("form[data-themes] button")) {
        button.setAttribute("aria-pressed", String(button.value === theme));
      }
    } else if (form.getAttribute("method") === "post" && !form.hasAttribute("hx-post") && !form.hasAttribute("target") &&
               choice && !event.defaultPrevented) {
      if (form.dataset.sent) { event.preventDefault(); return; }
      form.dataset.sent = "1";
      choice.setAttribute("aria-busy", "true");
    }
  });
  addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) {
      delete form.dataset.sent;
      form.querySelector("[aria-busy]")?.removeAttribute("aria-busy");
    }
  });
  document.querySelector("[data-error-summary]")?.focus();

  // ---- htmx ----
  const token = document.querySelector('meta[name="csrf-token"]')?.content;
  const last = new Map();
  let failures = 0;
  let opened = new Set();
  document.addEventListener("htmx:configRequest", (event) => {
    if (token && event.detail.verb !== "get") event.detail.headers["X-CSRF-Token"] = token;
  });
  document.addEventListener("htmx:beforeRequest", (event) => {
    const config = event.detail.requestConfig;
    const polled = config.triggeringEvent?.type === "hx:poll:trigger" || config.elt.matches("[data-live]");
    if (document.hidden && polled) event.preventDefault();
  });
  // ---- uploads: too large is said before anything is sent, and an end of whatever kind ends the bar ----
  document.addEventListener("change", (event) => {
    const form = event.target.closest("form[data-upload]");
    if (!form || event.target.type !== "file") return;
    const most = Number(form.dataset.upload);
    const large = [...event.target.files].some((file) => most && file.size > most);
    if (large) event.target.value = ""; // the same name may be chosen again, once the file is smaller
    event.target.setCustomValidity(large ? `This file is larger than ${most / 1048576} MB, which is the most that is taken.` : "");
    event.target.reportValidity();
  });
  const progressOf = (element) => element.closest("[data-upload]")?.querySelector("[data-upload-progress]");
  document.addEventListener("htmx:afterRequest", (event) => {
    const place = progressOf(event.detail.elt);
    if (place && !event.detail.successful) place.hidden = true;
  });
  document.addEventListener("htmx:xhr:progress", (event) => {
    const place = progressOf(event.target);
    if (!place || !event.detail.lengthComputable) return;
    const share = Math.round((100 * event.detail.loaded) / event.detail.total);
    place.hidden = false;
    place.querySelector("progress").value = share;
    place.querySelector(".num").textContent = share < 100 ? `${share} %` : "Sent; being read";
  });
  // ---- live parts: nobody loses what is half filled in, nor the place that the keyboard is at ----
  const touched = (field) => {
    if (field === document.activeElement) return true;
    if (field.type === "checkbox" || field.type === "radio") return field.checked !== field.defaultChecked;
    if (field.tagName !== "SELECT") return field.value !== field.defaultValue;
    const preset = [...field.options].findIndex((option) => option.defaultSelected);
    return field.selectedIndex !== Math.max(preset, 0);
  };
  const inUse = (part) =>
    part.querySelector("dialog[open]") !== null ||
    [...part.querySelectorAll("input:not([type=hidden]), textarea, select")].some(touched);
  const like = (part, element) => {
    const of = (found) => [found.tagName, found.id, found.name, found.getAttribute("href"), found.closest("form")?.getAttribute("action")].join(" ");
    return [...part.querySelectorAll("a[href], button, summary, [tabindex]")].filter((found) => of(found) === of(element));
  };
  let place = null;
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { target, xhr, requestConfig } = event.detail;
    place = null;
    if (requestConfig.elt.matches("[data-live]") && target.id) {
      if (inUse(target)) {
        event.detail.shouldSwap = false; // the next answer shows it
        return;
      }
      // The same answer as last time: nothing moves, nobody's focus or selection is disturbed.
      if (last.get(target.id) === xhr.responseText) event.detail.shouldSwap = false;
      last.set(target.id, xhr.responseText);
      const focused = document.activeElement;
      if (target.contains(focused)) place = { part: target.id, focused, nth: like(target, focused).indexOf(focused) };
    }
    opened = new Set([...target.querySelectorAll("details[open][id]")].map((found) => found.id));
  });
  document.addEventListener("htmx:afterSwap", () => {
    for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
    const part = place && document.getElementById(place.part);
    if (part && !part.contains(document.activeElement)) like(part, place.focused)[place.nth]?.focus({ preventScroll: true });
    place = null;
    refresh(document);
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    if (!event.detail.successful) return;
    root.classList.remove("offline");
    failures = 0;
  });
  const sentence = (status) => {
    if (status === 401) return "You have been signed out. Sign in again to go on.";
    if (status === 403) return "You may not do this. Reload the page, or ask an administrator.";
    if (status === 404) return "This no longer exists. Reload the page.";
    if (status === 413) return "This is larger than what is taken here. Nothing was kept.";
    if (status === 429) return "Too many requests. Wait a moment and try again.";
    return "Something went wrong on our side. Try again in a moment.";
  };
  document.addEventListener("htmx:responseError", (event) => {
    const { xhr, requestConfig } = event.detail;
    const live = requestConfig.elt.matches("[data-live]");
    if (!live || xhr.status === 401) toast(sentence(xhr.status), "danger");
    else if (++failures === 3) toast("Live updates are interrupted. What you see may be old; reload the page.", "warning");
  });
  for (const name of ["htmx:sendError", "htmx:timeout"]) {
    document.addEventListener(name, (event) => {
      if (event.detail.elt.closest("[data-upload]")) {
        toast("The upload broke off, and nothing was kept. Send it again.", "danger");
        return;
      }
      if (root.classList.contains("offline")) return;
      root.classList.add("offline");
      toast("The server cannot be reached. This page goes on trying.", "warning");
    });
  }
})();
