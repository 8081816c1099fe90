// The frame inside the product's page. It speaks to its parent at the session's origin only, and to the
// popup that it opened itself; the token and the frame key live in memory. A message counts only if origin,
// source, nonce and shape are all as they must be.
(() => {
  "use strict";
  const main = document.getElementById("main");
  const { session, origin: product, spent } = main.dataset;
  const TICKET = /^cs_[0-9a-f]{32}_[\w-]{43}$/;
  const CODE = /^cc_[0-9a-f]{32}_[\w-]{43}$/;
  const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
  const hello = crypto.randomUUID();
  const POLL_MS = 1000;
  let key = "";
  let trip = null;
  let done = false;

  const tell = (type, more = {}) => parent.postMessage({ trunkline: 1, type, ...more }, product);
  const fail = (code, message) => tell("error", { code, message });

  const call = async (path, body) => {
    const answer = await fetch(`/widget/sessions/${session}/${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      cache: "no-store",
      redirect: "error",
    });
    const result = await answer.json();
    if (!answer.ok) throw Object.assign(new Error(result.message), { code: result.code });
    return result;
  };

  // ---- the shapes of messages: these members and no others, of these kinds ----
  const text = (most) => (value) => typeof value === "string" && value.length <= most;
  const form = (expression) => (value) => typeof value === "string" && expression.test(value);
  const is = (expected) => (value) => value === expected;
  const SHAPES = {
    open: { trunkline: is(1), type: is("open"), nonce: text(64), token: form(TICKET) },
    done: {
      trunkline: is(1), type: is("finished"), ok: is(true), nonce: text(64), code: form(CODE), message: text(2000),
      connectionId: form(ID), account: text(400),
    },
    not: {
      trunkline: is(1), type: is("finished"), ok: is(false), nonce: text(64), code: form(/^[a-z_]{1,80}$/),
      message: text(2000), connectionId: is(""), account: is(""),
    },
  };
  const fits = (data, shape) => typeof data === "object" && data !== null
    && Object.keys(data).length === Object.keys(shape).length
    && Object.entries(shape).every(([name, holds]) => Object.hasOwn(data, name) && holds(data[name]));

  // ---- views ----
  const view = (name, values = {}) => {
    for (const section of main.querySelectorAll("[data-view]")) section.hidden = section.dataset.view !== name;
    const shown = main.querySelector(`[data-view="${name}"]`);
    for (const [slot, text] of Object.entries(values)) {
      for (const place of shown.querySelectorAll(`[data-slot="${slot}"]`)) place.textContent = text;
    }
    shown.querySelector("h1")?.focus();
  };
  new ResizeObserver(() => tell("resize", { height: document.documentElement.offsetHeight }))
    .observe(document.documentElement);

  // ---- the trip to the provider ----
  const end = () => {
    clearInterval(trip?.timer);
    trip = null;
  };
  const failed = (code, message) => {
    end();
    view("failed", { message });
    fail(code, message);
  };
  const start = (card) => {
    if (trip) { trip.popup.close(); end(); }
    const { connector, label } = card.dataset;
    const nonce = crypto.randomUUID();
    const name = `trunkline-${nonce}`;
    const left = Math.max(0, Math.round(screenX + (outerWidth - 620) / 2));
    const popup = window.open("", name, `popup,width=620,height=760,left=${left},top=${Math.max(0, screenY + 60)}`);
    if (!popup) {
      view("blocked", { provider: label });
      main.querySelector('[data-view="blocked"] [data-connect]').dataset.for = connector;
      return;
    }
    trip = { popup, nonce, connector, label, timer: setInterval(look, POLL_MS), closed: 0 };
    const form = document.getElementById("authorize");
    form.target = name;
    form.elements.frame_key.value = key;
    form.elements.connector.value = connector;
    form.elements.nonce.value = nonce;
    form.submit();
    form.elements.frame_key.value = "";
    view("waiting", { provider: label });
  };
  const look = async () => {
    const mine = trip;
    if (!mine) return;
    mine.closed = mine.popup.closed ? mine.closed + 1 : 0;
    let progress;
    try {
      progress = await call("status", { frame_key: key });
    } catch (error) {
      if (mine === trip && error.code === "connect_session_spent") failed(error.code, error.message);
      return;
    }
    if (mine !== trip) return;
    if (progress.state === "failed") failed(progress.code, progress.message);
    // Two looks after the window has gone: its last message would have come by then.
    else if (mine.closed > 1 && progress.state === "completed") {
      key = "";
      failed("window_lost", "Access was given, but this page did not hear of it, so nothing was connected. Start again.");
    } else if (mine.closed > 1) {
      failed("window_closed", "The window was closed before the account was connected.");
    }
  };
  const finished = (data) => {
    const { connector, label, popup } = trip;
    if (data.ok) {
      done = true;
      end();
      view("connected", { provider: label, account: data.account });
      tell("connected", { connectionId: data.connectionId, code: data.code, connector });
    } else {
      failed(data.code, data.message);
    }
    popup.close();
  };

  // ---- messages ----
  addEventListener("message", ({ origin, source, data }) => {
    if (origin === product && source === parent && parent !== window) {
      if (fits(data, SHAPES.open) && data.nonce === hello && !key && !done) redeem(data.token);
    } else if (origin === location.origin && trip && source === trip.popup) {
      if ((fits(data, SHAPES.done) || fits(data, SHAPES.not)) && data.nonce === trip.nonce) finished(data);
    }
  });
  let asked = false;
  const redeem = async (token) => {
    if (asked) return;
    asked = true;
    try {
      const answer = await call("redeem", { token });
      key = answer.frame_key;
      // Our own server's fragment; scripts in it would not run under this page's policy.
      main.innerHTML = answer.html;
      view("choose");
      tell("ready");
    } catch (error) {
      const message = error.code ? error.message : "Trunkline could not be reached. Close this window and try again.";
      view("failed", { message });
      fail(error.code || "unreachable", message);
    }
  };

  // ---- people ----
  main.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.matches("[data-connect]")) {
      const wanted = button.dataset.for || button.closest("[data-connector]").dataset.connector;
      start(main.querySelector(`[data-connector="${CSS.escape(wanted)}"]`));
    } else if (button.matches("[data-cancel]")) {
      trip?.popup.close();
      end();
      view("choose");
    } else if (button.matches("[data-front]")) {
      trip?.popup.focus();
    } else if (button.matches("[data-retry]")) {
      if (key) view("choose"); else tell("close");
    } else if (button.matches("[data-done]")) {
      tell("close");
    }
  });
  addEventListener("keydown", (event) => { if (event.key === "Escape") tell("close"); });

  if (parent === window) {
    view("failed", { message: "This page only works inside the product that opens it." });
  } else if (spent) {
    view("failed", { message: main.dataset.spentMessage });
    fail("connect_session_spent", main.dataset.spentMessage);
  } else {
    tell("hello", { nonce: hello });
  }
})();
