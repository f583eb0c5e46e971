// The least contrast of every kind of text against what it lies on, as WCAG 2.2 defines it.
() => {
  const channel = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const luminance = (colour) => {
    const [r, g, b] = colour.match(/[0-9.]+/g).map((text) => channel(Number(text) / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const colour = getComputedStyle(node).backgroundColor;
      if (!colour.endsWith(", 0)")) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const found = {};
  for (const node of document.querySelectorAll("h1, h2, p, td, th, pre, dt, dd, summary, .soft, .value, .state, svg text")) {
    const style = getComputedStyle(node);
    if (!node.textContent.trim() || style.fillOpacity === "0") continue;
    const [light, dark] = [luminance(node.closest("svg") ? style.fill : style.color), luminance(ground(node))].sort((a, b) => b - a);
    const plot = node.closest("[id^=plot-]");
    const name = [plot && plot.id, node.tagName, node.getAttribute("class")].filter(Boolean).join(" ");
    found[name] = Math.min(found[name] || 99, (light + 0.05) / (dark + 0.05));
  }
  return found;
}
