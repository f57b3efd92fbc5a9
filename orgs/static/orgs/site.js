// What scripts add. Every page works without them (UX.md «On every page»).
"use strict";

(() => {
  const find = (selector, root = document) => root.querySelector(selector);
  const tell = (words) => { find("#told").textContent = words; };

  function closableMenu(menu) {
    document.addEventListener("click", (event) => {
      if (!menu.contains(event.target)) menu.open = false;
    });
    menu.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !menu.open) return;
      menu.open = false;
      find("summary", menu).focus();
    });
  }

  function copyButton(source) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    source.after(button);
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(source.textContent.trim());
        button.textContent = "Copied";
        tell("Copied");
        source.dispatchEvent(new Event("copied", { bubbles: true }));
        setTimeout(() => { button.textContent = "Copy"; }, 2000);
      } catch {
        // No clipboard on plain HTTP: selected, it's one key away.
        getSelection().selectAllChildren(source);
        tell("Selected; press the keys that copy");
      }
    });
  }

  const copyButtons = (root) => root.querySelectorAll("[data-copy]").forEach(copyButton);

  // A list that says how its value stands in a match pattern follows what is typed there
  // until the person chooses one.
  function fromPatterns(list, patterns) {
    const place = new RegExp(list.dataset.fromPattern, "i");
    const values = new Set(
      patterns.split(/\s+/).filter(Boolean).map((text) => (place.exec(text) || [])[1]),
    );
    const [only] = values;
    return values.size === 1 && only ? only.toLowerCase() : "";
  }

  function followPattern(form) {
    const patterns = find("[name=patterns]", form);
    const lists = () => form.querySelectorAll("select[data-from-pattern]");
    const chosen = new Set();
    for (const list of lists()) {
      if (list.value !== "" && list.value !== fromPatterns(list, patterns.value)) {
        chosen.add(list.name);
      }
    }

    function follow() {
      for (const list of lists()) {
        const value = fromPatterns(list, patterns.value);
        const first = list.options[0];
        first.dataset.words = first.dataset.words || first.text;
        first.text = value ? `${first.dataset.words} (${value})` : first.dataset.words;
        if (chosen.has(list.name)) continue;
        const known = [...list.options].some((option) => option.value === value);
        list.value = known ? value : "";
      }
    }

    patterns.addEventListener("input", follow);
    form.addEventListener("change", ({ target }) => {
      if (!("fromPattern" in target.dataset)) return;
      if (target.value === "") chosen.delete(target.name);
      else chosen.add(target.name);
    });
    follow();
    return follow;
  }

  // Another registry type: its fields instead, keeping what was typed but secrets.
  function swapFields(form, afterwards) {
    const select = find("[name=registry_type]", form);
    const place = find("#type-fields", form);
    const button = find("#show-fields", form);
    const typed = new Map();
    let asked = new AbortController();

    const shown = () => find("[data-type]", place).dataset.type;
    const plain = () => [...place.querySelectorAll("input, select, textarea")].filter(
      (field) => field.name && !("secret" in field.dataset),
    );

    function address() {
      // Nothing typed goes along.
      const url = new URL(form.dataset.fields || location.pathname, location.origin);
      url.searchParams.set("type", select.value);
      url.searchParams.set("fields", "1");
      if (new URLSearchParams(location.search).has("replace")) url.searchParams.set("replace", "1");
      return url;
    }

    async function swap() {
      asked.abort();
      place.removeAttribute("aria-busy");
      if (shown() === select.value) return;
      asked = new AbortController();
      place.setAttribute("aria-busy", "true");
      try {
        const answer = await fetch(address(), { signal: asked.signal });
        if (!answer.ok || answer.redirected) throw new Error(`status ${answer.status}`);
        const fields = await answer.text();
        for (const field of plain()) typed.set(field.name, field.value);
        place.innerHTML = fields;
        for (const example of place.querySelectorAll("[data-example]")) {
          const former = find(`#${example.dataset.example}-example`, form);
          if (former) former.replaceChildren(example.content.cloneNode(true));
        }
        // A file travels in parts only; without one, parts are counted against what is typed.
        const inParts = find("[data-multipart]", place);
        form.enctype = inParts ? "multipart/form-data" : "application/x-www-form-urlencoded";
        const after = find("#verify-after");
        if (after) after.hidden = Boolean(find("[data-verified-later]", place));
        for (const field of plain()) {
          if (typed.has(field.name)) field.value = typed.get(field.name);
        }
        afterwards();
        tell(`Fields of ${select.selectedOptions[0].text}`);
        place.removeAttribute("aria-busy");
      } catch (error) {
        if (error.name === "AbortError") return;
        place.removeAttribute("aria-busy");
        button.hidden = false;
      }
    }

    button.hidden = true;
    select.addEventListener("change", swap);
    // Going back, browsers give back the choice but not the fields.
    swap();
  }

  // Live help takes the place of what was there: what was unfolded stays so, and what
  // can be copied gets its button again.
  function followLiveHelp() {
    let unfolded = [];
    document.addEventListener("htmx:oobBeforeSwap", ({ detail }) => {
      unfolded = [...detail.target.querySelectorAll("details[open]")].map(({ id }) => id);
    });
    document.addEventListener("htmx:oobAfterSwap", ({ detail }) => {
      copyButtons(detail.target);
      for (const details of detail.target.querySelectorAll("details")) {
        details.open = details.open || unfolded.includes(details.id);
      }
    });
  }

  // What other scripts put into the page.
  document.addEventListener("added", ({ target }) => copyButtons(target));

  function selectAll(heading) {
    const form = heading.closest("form");
    const boxes = [...form.querySelectorAll("input[name=entry]")];
    const whole = find("input[name=all]", form);
    const ticked = () => boxes.filter((box) => box.checked);
    const tickEach = (ticked) => boxes.forEach((box) => { box.checked = ticked; });
    const all = document.createElement("input");
    all.type = "checkbox";
    all.setAttribute("aria-label", "Select all on this page");
    heading.replaceChildren(all);
    const follow = () => {
      const count = ticked().length;
      all.checked = count === boxes.length;
      all.indeterminate = count > 0 && !all.checked;
    };
    // All that fit the filters are more than this page: who then unticks one means the page.
    form.addEventListener("change", ({ target }) => {
      if (target === all || target === whole) tickEach(target.checked);
      if (whole && target !== whole && !target.checked) whole.checked = false;
      follow();
      tell(`${whole && whole.checked ? form.elements.count.value : ticked().length} selected`);
    });
    follow();
  }

  // On phones the organization's pages stand in one line that scrolls.
  function showCurrent(links) {
    const current = find("[aria-current]", links);
    if (current) links.scrollLeft = current.offsetLeft - (links.clientWidth - current.offsetWidth) / 2;
  }

  document.querySelectorAll("[data-select-all]").forEach(selectAll);
  document.querySelectorAll(".tabs-links").forEach(showCurrent);
  document.querySelectorAll(".menu").forEach(closableMenu);
  copyButtons(document);
  followLiveHelp();
  document.querySelectorAll("#entry-form").forEach((form) => swapFields(form, followPattern(form)));
})();
