// What a run comes to, as it comes: only what changed is put in, and the page ends asking
// with the run. Without scripts the page loads itself again.
"use strict";

(() => {
  const EVERY = 1000; // milliseconds
  const SAID_EVERY = 10000; // to those who listen
  const place = document.getElementById("run");
  const told = document.getElementById("told");
  if (!place || place.dataset.run !== "going") return;
  const title = document.title.replace(/^.*? · /, "");
  let said = Date.now();

  function say(text, now) {
    if (!now && Date.now() - said < SAID_EVERY) return;
    said = Date.now();
    told.textContent = text;
  }

  function show(found) {
    const held = place.contains(document.activeElement) && document.activeElement.closest("a, button");
    const key = held && (held.getAttribute("href") || held.textContent.trim());
    place.replaceChildren(found);
    if (!key) return;
    const same = [...place.querySelectorAll("a, button")].find(
      (each) => (each.getAttribute("href") || each.textContent.trim()) === key,
    );
    if (same) same.focus({ preventScroll: true });
  }

  async function look() {
    try {
      const url = new URL(location.href);
      url.searchParams.set("part", "1");
      const answer = document.hidden ? null : await fetch(url);
      if (answer && answer.redirected) return location.reload();
      if (answer && answer.ok) {
        const found = document.createElement("template");
        found.innerHTML = await answer.text();
        const count = found.content.querySelector("[data-count]");
        if (!count) return location.reload(); // over: the page says how it came out
        document.title = `${count.textContent.trim()} · ${title}`;
        say(count.textContent.trim());
        show(found.content);
      }
    } catch {
      // The server is away; it is asked again.
    }
    setTimeout(look, EVERY);
  }

  setTimeout(look, EVERY);
})();
