// Verify without leaving the page: the answer is the same page, of which only what
// verifying changes is taken over. Without scripts, the form does it by itself.
"use strict";

(() => {
  const PARTS = ["state", "wrong", "verification", "history", "messages", "policy", "set-up"];
  const part = (id, root = document) => root.getElementById(id);

  function show(page) {
    for (const id of PARTS) {
      const [old, fresh] = [part(id), part(id, page)];
      if (!old || !fresh) continue;
      old.replaceWith(document.adoptNode(fresh));
      fresh.dispatchEvent(new Event("added", { bubbles: true }));
    }
    wire();
    part("told").textContent = `Checked. ${part("state").textContent.trim()}`;
  }

  async function verify(form) {
    const section = part("verification");
    section.setAttribute("aria-busy", "true");
    section.querySelector(".checking").hidden = false;
    part("awaiting")?.remove();
    part("told").textContent = "Checking… new keys can take 15 seconds.";
    const inside = section.contains(document.activeElement);
    try {
      const answer = await fetch(form.action, { method: "POST", body: new FormData(form) });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (!part("verification", page)) throw new Error("signed out");
      show(page);
      if (inside) part("verification").focus();
    } catch {
      // Whatever it was, the page itself will say it.
      form.submit();
    }
  }

  function wire() {
    const form = part("verify-form");
    if (!form) return;
    let running = false;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (running) return;
      running = true;
      verify(form);
    });
  }

  wire();
  const form = part("verify-form");
  if (form && "starts" in form.dataset) form.requestSubmit();
})();
