// Tooltips at once instead of after the browser's delay; without this script the native ones remain.
(() => {
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.setAttribute("role", "tooltip");
  document.body.append(tip);
  const holders = document.querySelectorAll("svg title");
  for (const title of holders) {
    const target = title.parentElement;
    target.dataset.tip = title.textContent;
    title.remove();
  }
  const move = (event) => {
    const target = event.target.closest("[data-tip]");
    tip.classList.toggle("shown", Boolean(target));
    if (!target) return;
    tip.textContent = target.dataset.tip;
    const box = tip.getBoundingClientRect();
    const left = Math.min(event.clientX + 14, innerWidth - box.width - 8);
    const top = event.clientY + 18 + box.height > innerHeight ? event.clientY - box.height - 12 : event.clientY + 18;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${top}px`;
  };
  document.addEventListener("pointermove", move, { passive: true });
  document.addEventListener("scroll", () => tip.classList.remove("shown"), { passive: true });
  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details")) details.open = true;
  });
})();
