// What reaches beyond the right edge of the screen without being in a part that scrolls by itself.
() =>
  [...document.querySelectorAll("main *")]
    .filter((node) => !node.closest(".scroll") && !node.closest("svg"))
    .filter((node) => node.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
    .map((node) => node.outerHTML.slice(0, 80))
