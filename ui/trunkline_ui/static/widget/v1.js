// Trunkline's connect widget. Trunkline.open({ token, onReady, onConnected, onError, onClose, onResize })
// returns an EventTarget with close(); it also dispatches ready, connected, error, close and resize.
(() => {
  "use strict";
  if (window.Trunkline) return;
  const origin = new URL(document.currentScript.src).origin;
  const NAMES = { ready: "onReady", connected: "onConnected", error: "onError", close: "onClose", resize: "onResize" };
  const READY_MS = 8000;
  const string = (value) => typeof value === "string" && value.length <= 2000;
  // What the frame may say: these members, of these kinds; anything else is not from it.
  const SHAPES = {
    hello: { nonce: string },
    ready: {},
    resize: { height: Number.isFinite },
    connected: { connectionId: string, code: (value) => /^cc_[0-9a-f]{32}_[\w-]{43}$/.test(value), connector: string },
    error: { code: string, message: string },
    close: {},
  };
  const fits = (data) => {
    const shape = data?.trunkline === 1 && Object.hasOwn(SHAPES, data.type) && SHAPES[data.type];
    return shape && Object.keys(data).length === Object.keys(shape).length + 2
      && Object.entries(shape).every(([name, holds]) => holds(data[name]));
  };
  let current = null;

  const style = (element, values) => Object.assign(element.style, values);

  const open = (options = {}) => {
    const { token } = options;
    const id = /^cs_([0-9a-f]{32})_[\w-]{43}$/.exec(token || "");
    if (!id) throw new TypeError("Trunkline.open needs the token of a connect session.");
    if (current) current.close();

    const handle = new EventTarget();
    const emit = (name, detail) => {
      options[NAMES[name]]?.(detail);
      handle.dispatchEvent(new CustomEvent(name, { detail }));
    };
    const dialog = document.createElement("dialog");
    dialog.setAttribute("role", "dialog");
    dialog.setAttribute("aria-modal", "true");
    dialog.setAttribute("aria-label", "Connect an account");
    dialog.dataset.trunkline = "";
    style(dialog, {
      width: "min(30rem, calc(100vw - 1.5rem))", maxWidth: "none", maxHeight: "calc(100vh - 1.5rem)", padding: "0",
      border: "0", borderRadius: "12px", overflow: "hidden", background: "Canvas", colorScheme: "light dark",
      boxShadow: "0 0 0 100vmax rgb(10 12 18 / 50%), 0 24px 64px rgb(10 12 18 / 35%)",
    });
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-label", "Close");
    button.textContent = "\u2715";
    style(button, {
      position: "absolute", top: "8px", right: "8px", width: "32px", height: "32px", border: "0", zIndex: "1",
      borderRadius: "8px", background: "transparent", color: "CanvasText", font: "16px/1 system-ui", cursor: "pointer",
    });
    const frame = document.createElement("iframe");
    frame.title = "Connect an account";
    frame.referrerPolicy = "origin";
    frame.src = `${origin}/widget/frame/${id[1]}`;
    style(frame, { display: "block", width: "100%", height: "22rem", border: "0", colorScheme: "normal" });
    dialog.append(button, frame);

    const back = document.activeElement;
    let ready = false;
    const timer = setTimeout(() => {
      if (!ready) fail("unreachable", "Trunkline's window could not be shown. Try again.");
    }, READY_MS);
    const fail = (code, message) => { emit("error", { code, message }); };

    const receive = ({ origin: from, source, data }) => {
      if (from !== origin || source !== frame.contentWindow || !fits(data)) return;
      const { type } = data;
      if (type === "hello") {
        source.postMessage({ trunkline: 1, type: "open", nonce: data.nonce, token }, origin);
      } else if (type === "ready" && !ready) {
        ready = true;
        clearTimeout(timer);
        frame.focus();
        emit("ready");
      } else if (type === "resize" && data.height > 0) {
        frame.style.height = `${Math.min(Math.ceil(data.height), innerHeight - 24)}px`;
        emit("resize", { height: data.height });
      } else if (type === "connected") {
        emit("connected", { connectionId: data.connectionId, code: data.code, connector: data.connector });
      } else if (type === "error") {
        ready = true;
        clearTimeout(timer);
        fail(data.code, data.message);
      } else if (type === "close") {
        handle.close();
      }
    };
    handle.close = () => {
      if (current !== handle) return;
      current = null;
      clearTimeout(timer);
      removeEventListener("message", receive);
      dialog.remove();
      back?.focus?.();
      emit("close");
    };
    button.addEventListener("click", handle.close);
    dialog.addEventListener("cancel", (event) => { event.preventDefault(); handle.close(); });
    addEventListener("message", receive);
    current = handle;
    document.body.append(dialog);
    dialog.showModal();
    return handle;
  };
  window.Trunkline = { open };
})();
