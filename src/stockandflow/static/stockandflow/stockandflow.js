/* The read-out of charts: what a period holds, by pointer, touch and keys. All else works without it.
   Text goes in by textContent, places by attributes: no HTML from strings, no inline style. */
(() => {
  "use strict";

  const STEPS = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity };

  const prepare = (chart) => {
    const svg = chart.querySelector("svg");
    const readout = chart.querySelector(".sf-readout");
    const cross = chart.querySelector(".sf-cross");
    const hits = [...chart.querySelectorAll(".sf-hits rect")];
    if (!svg || !readout || !cross || !hits.length) return;

    // The browser's own tooltip would stand in the way of the read-out.
    const texts = hits.map((hit) => {
      const title = hit.querySelector("title");
      title.remove();
      return title.textContent;
    });
    const idle = `${readout.textContent}. ${readout.dataset.sfHint}`;
    let at = -1;

    const show = (place) => {
      if (at >= 0) hits[at].classList.remove("sf-at");
      at = place;
      readout.textContent = at < 0 ? idle : texts[at];
      readout.classList.toggle("sf-reading", at >= 0);
      if (at < 0) {
        cross.setAttribute("visibility", "hidden");
        return;
      }
      const x = `${parseFloat(hits[at].getAttribute("x")) + parseFloat(hits[at].getAttribute("width")) / 2}%`;
      hits[at].classList.add("sf-at");
      cross.setAttribute("x1", x);
      cross.setAttribute("x2", x);
      cross.setAttribute("visibility", "visible");
    };

    const within = (place) => Math.max(0, Math.min(hits.length - 1, place));

    const point = (event) => {
      const box = svg.getBoundingClientRect();
      const place = within(Math.floor(((event.clientX - box.left) / box.width) * hits.length));
      if (place !== at) show(place);
    };

    svg.addEventListener("pointerdown", point);
    svg.addEventListener("pointermove", point);
    svg.addEventListener("pointerleave", (event) => {
      // A finger that is lifted leaves too; what it chose stays.
      if (event.pointerType !== "touch") show(-1);
    });
    chart.addEventListener("blur", () => show(-1));
    chart.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      if (event.key === "Escape" && at >= 0) {
        show(-1);
        event.preventDefault();
      }
      const step = STEPS[event.key];
      if (step === undefined) return;
      event.preventDefault();
      if (at < 0) show(step < 0 && event.key !== "Home" ? hits.length - 1 : within(step === Infinity ? step : 0));
      else show(within(at + step));
    });
    chart.setAttribute("tabindex", "0");
    readout.textContent = idle;
  };

  document.querySelectorAll("[data-sf-chart]").forEach(prepare);
})();
