// Pairs of labels of one kind in one plot that lie over one another.
() =>
  [".xtick text", ".ytick text", ".legendtext", ".axis-title"].flatMap((kind) =>
    [...document.querySelectorAll("[id^=plot-]")].flatMap((place) => {
      const boxes = [...place.querySelectorAll(kind)].map((node) => [node.textContent, node.getBoundingClientRect()]);
      return boxes.flatMap(([text, one], index) =>
        boxes
          .slice(index + 1)
          .filter(([, two]) => one.left < two.right && two.left < one.right && one.top < two.bottom && two.top < one.bottom)
          .map(([other]) => `${place.id}: ${text} / ${other}`),
      );
    }),
  )
