// The images without leaving the entry's page: the answer is the page that the link leads
// to, of which only the list is taken over. Without scripts, the link does it by itself.
"use strict";

(() => {
  const part = (id, root = document) => root.getElementById(id);

  async function show(link) {
    const list = part("images-list");
    list.setAttribute("aria-busy", "true");
    list.querySelector(".checking").hidden = false;
    part("told").textContent = "Asking the registry…";
    try {
      const answer = await fetch(link.href);
      if (!answer.ok || answer.redirected) throw new Error(`status ${answer.status}`);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = document.adoptNode(part("images-list", page));
      list.replaceWith(fresh);
      fresh.dispatchEvent(new CustomEvent("added", { bubbles: true }));
      part("images").focus();
      const named = fresh.querySelector("caption, .callout, .empty, p");
      part("told").textContent = named.textContent.trim().replace(/\s+/g, " ");
    } catch {
      // Whatever it was, the page itself will say it.
      location.assign(link.href);
    }
  }

  const link = part("show-images");
  link?.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    if (part("images-list").getAttribute("aria-busy") !== "true") show(link);
  });
})();
