// Of each canvas of the parallel coordinates, whether anything is painted on it.
() =>
  [...document.querySelectorAll("#plot-parallel canvas")].map((canvas) => {
    const copy = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
    const pen = copy.getContext("2d");
    pen.drawImage(canvas, 0, 0);
    return pen.getImageData(0, 0, copy.width, copy.height).data.some((value) => value !== 0);
  })
