// Points of figures say what they are in a box beside them: under the mouse, tapped (the box stays, so that its text can be
// copied), or reached by Tab and the arrow keys. Without scripts the browser shows their titles.
{
  const box = document.createElement("div");
  box.id = "said";
  box.setAttribute("role", "tooltip");
  box.hidden = true;
  document.body.append(box);
  let shown = null, kept = false;

  const hide = () => {
    if (shown) shown.classList.remove("shown");
    shown = null;
    kept = false;
    box.hidden = true;
  };
  const place = () => {
    if (!shown) return;
    const point = shown.getBoundingClientRect(), page = document.documentElement;
    const most = page.clientWidth - box.offsetWidth - 8, above = point.top - box.offsetHeight - 6;
    box.style.left = `${scrollX + Math.max(8, Math.min(most, (point.left + point.right - box.offsetWidth) / 2))}px`;
    box.style.top = `${scrollY + (above > 8 ? above : point.bottom + 6)}px`;
  };
  const show = (point) => {
    if (point === shown) return;
    hide();
    shown = point;
    point.classList.add("shown");
    box.replaceChildren(...point.getAttribute("aria-label").split("\n").map((line, index) => {
      const part = document.createElement(index ? "div" : "b");
      part.textContent = line;
      return part;
    }));
    box.hidden = false;
    place();
  };

  for (const group of document.querySelectorAll("g.points")) {
    const points = [...group.children], drawing = group.ownerSVGElement;
    points.forEach((point, index) => {
      const title = point.querySelector("title");
      point.setAttribute("aria-label", title.textContent);
      title.remove();
      point.setAttribute("tabindex", index ? "-1" : "0");
    });
    const nearest = (event) => {
      const scale = group.getScreenCTM(), at = new DOMPoint(event.clientX, event.clientY).matrixTransform(scale.inverse());
      const far = points.map((point) => Math.hypot(point.cx.baseVal.value - at.x, point.cy.baseVal.value - at.y));
      const least = Math.min(...far), index = far.indexOf(least);
      return least < Math.max(points[index].r.baseVal.value, 16 / scale.a) ? points[index] : null;
    };
    drawing.addEventListener("pointermove", (event) => {
      if (kept || event.pointerType !== "mouse") return;
      const point = nearest(event);
      if (point) show(point);
      else hide();
    });
    drawing.addEventListener("pointerleave", () => { if (!kept) hide(); });
    drawing.addEventListener("click", (event) => {
      const point = nearest(event);
      if (!point) return;
      show(point);
      kept = true;
      event.stopPropagation();
    });
    group.addEventListener("focusin", (event) => show(event.target));
    group.addEventListener("focusout", () => { if (!kept) hide(); });
    group.addEventListener("keydown", (event) => {
      const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -points.length, End: points.length };
      if (!(event.key in steps)) return;
      const now = points.indexOf(event.target), next = Math.max(0, Math.min(points.length - 1, now + steps[event.key]));
      points[now].setAttribute("tabindex", "-1");
      points[next].setAttribute("tabindex", "0");
      points[next].focus();
      event.preventDefault();
    });
    const wide = drawing.closest(".wide");
    if (wide) wide.addEventListener("scroll", place);
  }
  document.addEventListener("click", (event) => { if (!box.contains(event.target)) hide(); });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  addEventListener("resize", place);
}
