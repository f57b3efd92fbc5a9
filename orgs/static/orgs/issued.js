// What is shown once isn't left behind by mistake: leaving before it was copied asks first.
"use strict";

(() => {
  const once = document.querySelector("[data-once]");
  const text = once.textContent.trim();

  const warn = (event) => event.preventDefault();

  function copied() {
    removeEventListener("beforeunload", warn);
    document.querySelector("#once-copied").hidden = false;
  }

  addEventListener("beforeunload", warn);
  // The button's, and the keys'; a script that has it in it is as good.
  document.addEventListener("copied", ({ target }) => {
    if (target.textContent.includes(text)) copied();
  });
  document.addEventListener("copy", () => {
    if (getSelection().toString().includes(text)) copied();
  });
})();
