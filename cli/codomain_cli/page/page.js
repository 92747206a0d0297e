// Puts the parts of the page that change in the place of the old ones, every few seconds.
// A part that holds the focus waits, and nobody's open details are closed.
"use strict";

(() => {
  const SECONDS = 5;
  const state = document.getElementById("live-state");
  const button = document.getElementById("pause");
  const generation = document.body.dataset.generation;
  if (!state || !button || !generation) return;
  let paused = false;

  function show(text, tone) {
    if (state.textContent !== text) state.textContent = text;
    state.className = "pill " + tone;
    document.body.classList.toggle("lost", tone === "bad");
  }

  function put(fresh) {
    const old = document.getElementById(fresh.id);
    if (!old || old.contains(document.activeElement) || old.innerHTML === fresh.innerHTML) return;
    old.replaceWith(document.adoptNode(fresh));
  }

  async function update() {
    if (paused || document.hidden) return;
    try {
      const answer = await fetch("live", { cache: "no-store", signal: AbortSignal.timeout(SECONDS * 1000) });
      if (!answer.ok) throw new Error(answer.statusText);
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (paused) return;
      if (fresh.body.dataset.generation !== generation && !document.activeElement.closest("form")) {
        location.reload();
        return;
      }
      for (const part of [...fresh.querySelectorAll("[data-live]")]) put(part);
      show("Live", "good");
    } catch {
      show("No answer", "bad");
    }
  }

  button.addEventListener("click", () => {
    paused = !paused;
    button.textContent = paused ? "Go on" : "Pause";
    show(paused ? "Paused" : "Live", paused ? "warn" : "good");
    update();
  });
  document.addEventListener("visibilitychange", update);
  state.hidden = button.hidden = false;
  setInterval(update, SECONDS * 1000);
})();
