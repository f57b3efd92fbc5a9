// Offers the zone that this browser is set to, and saves it where that is wanted: never by
// itself, since a browser may run on a machine elsewhere.
"use strict";

(() => {
  const button = document.getElementById("browser-zone");
  const select = button?.form.elements.time_zone;
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (!select || !zone || zone === (select.value || "UTC")) return;
  button.textContent += `: ${zone}`;
  button.hidden = false;
  button.addEventListener("click", () => {
    const value = zone === "UTC" ? "" : zone;
    if (![...select.options].some((option) => option.value === value)) {
      select.add(new Option(zone, value));
    }
    select.value = value;
    button.form.requestSubmit();
  });
})();
