// The product's own page: what it shows of the connection's state. Not needed for the integration.
const acme = (() => {
  const find = (id) => document.getElementById(id);
  const words = {
    none: ["Not connected", "Bring your customers into Acme Desk and keep them up to date."],
    pending: ["Almost there", "Waiting for this product to confirm the connection."],
    setup: ["Setup needed", "The account is connected; a choice is still missing in Trunkline's portal."],
    paused: ["Paused", "Nothing is read at the moment."],
    reconnect_required: ["Reconnect needed", "HubSpot no longer lets us in. Connect the same account again."],
  };
  function say(text, kind) {
    const box = find("message");
    box.textContent = text;
    box.className = text ? `message ${kind}` : "message";
  }

  function show({ connection, contacts, count, running }) {
    const state = connection?.state ?? "none";
    const grouped = count.toLocaleString("en");
    const [badge, text] = words[state] ?? [
      "Connected",
      running ? `Connected, first sync running: ${grouped} contacts` : `Connected: ${grouped} contacts`,
    ];
    find("badge").textContent = badge;
    find("badge").className = `badge ${state === "active" ? "good" : state === "none" ? "" : "warn"}`;
    find("state").textContent = connection?.account ? `${text} (${connection.account})` : text;
    find("connect").textContent = state === "none" ? "Connect HubSpot" : "Connect again";
    find("connect").hidden = state === "active";
    find("contacts").hidden = contacts.length === 0;
    find("rows").replaceChildren(
      ...contacts.map(({ name, email }) => {
        const row = document.createElement("tr");
        for (const value of [name, email]) {
          const cell = document.createElement("td");
          const inner = document.createElement("bdi");
          inner.textContent = value || "–";
          cell.append(inner);
          row.append(cell);
        }
        return row;
      }),
    );
  }

  async function look() {
    try {
      const answer = await fetch("/status");
      const body = await answer.json();
      if (!answer.ok) throw new Error(body.error);
      show(body);
      if (find("message").classList.contains("lost")) say("", "");
    } catch (error) {
      find("badge").textContent = "Unknown";
      find("badge").className = "badge warn";
      find("state").textContent = "The state of the connection is not known at the moment.";
      say(error.message, "bad lost");
    }
  }

  look();
  setInterval(() => document.hidden || look(), 2000);
  return {
    connected: () => { say("HubSpot is connected. The first contacts arrive in a moment.", "good"); look(); },
    failed: ({ message }) => say(message || "The connection was not made.", "bad"),
    closed: () => look(),
  };
})();
