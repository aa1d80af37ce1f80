// Keeps the figures fresh: fetches this very page and replaces what is marked with `data-live`.

const EVERY_MS = 5000;
const lost = document.getElementById("lost");

async function renew() {
  const response = await fetch(window.location.pathname, { credentials: "same-origin", cache: "no-store" });
  if (!response.ok) throw new Error(String(response.status));
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live]")) {
    const found = fresh.querySelector(`[data-live="${part.dataset.live}"]`);
    if (found && found.innerHTML !== part.innerHTML) part.replaceChildren(...found.childNodes);
  }
}

async function tick() {
  if (document.visibilityState === "visible") {
    try {
      await renew();
      lost.hidden = true;
    } catch {
      lost.hidden = false;
    }
  }
  setTimeout(tick, EVERY_MS);
}

setTimeout(tick, EVERY_MS);
