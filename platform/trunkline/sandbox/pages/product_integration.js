// Everything this product writes in the browser to offer the integration.
async function send(path, body = {}) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  const result = await answer.json();
  if (!answer.ok) throw new Error(result.error);
  return result;
}

document.querySelector("#connect").addEventListener("click", async () => {
  try {
    if (!window.Trunkline) throw new Error("Trunkline's script did not load.");
    const { token } = await send("/connect-session");
    Trunkline.open({
      token,
      onConnected: ({ code }) => send("/confirm", { code }).then(acme.connected, acme.failed),
      onError: acme.failed,
      onClose: acme.closed,
    });
  } catch (error) {
    acme.failed(error);
  }
});
