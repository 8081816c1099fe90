// The last page of the popup: tells the window that opened it, nobody else, and closes.
(() => {
  "use strict";
  const { ok, nonce, code, message, connection, account } = document.getElementById("main").dataset;
  const close = document.querySelector("[data-close-window]");
  if (window.opener && nonce) {
    try {
      window.opener.postMessage(
        { trunkline: 1, type: "finished", ok: ok === "yes", nonce, code, message, connectionId: connection, account },
        location.origin,
      );
    } catch {
      // A window of another site cannot hear this; the page itself says what to do.
    }
  } else {
    document.querySelector("[data-alone]")?.removeAttribute("hidden");
    document.querySelector("[data-accompanied]")?.setAttribute("hidden", "");
  }
  if (window.opener) close?.removeAttribute("hidden");
  close?.addEventListener("click", () => window.close());
})();
