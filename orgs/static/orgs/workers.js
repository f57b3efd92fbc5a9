// Looks again by itself for what one waits for, as long as someone may be looking.
"use strict";

(() => {
  const EVERY = 5000; // milliseconds
  const AT_MOST = 600000;

  const words = (node) => node.textContent.replace(/\s+/g, " ").trim();

  function poll(place) {
    const since = Date.now();
    // A page that answers a POST has no address to ask again, and names another.
    const url = new URL(place.dataset.pollAt || location.href, location.href);
    url.searchParams.set(place.dataset.poll, "1");

    async function look() {
      if (Date.now() - since > AT_MOST || !place.querySelector("[data-waiting]")) return;
      try {
        const answer = document.hidden ? null : await fetch(url);
        if (answer && answer.ok && !answer.redirected) {
          const found = document.createElement("template");
          found.innerHTML = await answer.text();
          // Unchanged, it isn't read out again.
          if (words(found.content) !== words(place)) place.replaceChildren(found.content);
        }
      } catch {
        // The server is away; it is asked again.
      }
      setTimeout(look, EVERY);
    }

    setTimeout(look, EVERY);
  }

  document.querySelectorAll("[data-poll]").forEach(poll);
})();
