addEventListener("DOMContentLoaded", () => {
  // A line does not break after the hyphens of an option.
  for (const one of document.querySelectorAll("code")) {
    if (one.textContent.startsWith("--") && one.textContent.length <= 20) one.style.whiteSpace = "nowrap";
  }
  // A cell knows its column's title, which stands before it where rows are stacked.
  for (const table of document.querySelectorAll("table.docutils")) {
    const titles = [...table.querySelectorAll("thead th")].map((one) => one.textContent);
    for (const row of table.querySelectorAll("tbody tr")) {
      [...row.children].forEach((cell, place) => (cell.dataset.title = titles[place] ?? ""));
    }
  }
  // The two sides of a page say what they are.
  document.querySelector(".sidebar-drawer")?.setAttribute("aria-label", "Pages");
  document.querySelector(".toc-drawer")?.setAttribute("aria-label", "On this page");
  // What scrolls sideways can be scrolled with the keyboard.
  const reachable = () => {
    for (const one of document.querySelectorAll("pre, .table-wrapper")) {
      if (one.scrollWidth > one.clientWidth) one.tabIndex = 0;
    }
  };
  reachable();
  addEventListener("resize", reachable);
});
