// A click on a heading (or Enter, or Space) sorts its table, a second one the other way round. The style sheet marks headings
// that can be clicked, by the tabindex that only this script gives them; without scripts the page is whole.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  if (body.rows.length < 3) continue;
  const value = (row, column) => {
    const text = (row.cells[column].firstChild || {}).textContent || "";
    const number = parseFloat(text.replace(/,/g, "").replace("\u2212", "-"));
    return heads[column].className === "number" ? (isNaN(number) ? Infinity : number) : text.trim();
  };
  heads.forEach((head, column) => {
    const sort = () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].sort((a, b) => {
        const [x, y] = [value(a, column), value(b, column)];
        if (x === Infinity || y === Infinity) return (x === Infinity) - (y === Infinity);
        return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1);
      });
      body.append(...rows);
    };
    head.tabIndex = 0;
    head.title = "sort by this column";
    head.addEventListener("click", sort);
    head.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      sort();
    });
  });
}
